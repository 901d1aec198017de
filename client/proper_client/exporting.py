"""A personal model as others load it: a stock PEFT folder, or a merged model.

    1. seat the personal model over its release
    2. replace the routers by static gates (`method.collapse`)
    3. measure what that costs, on the person's own entries
    4. write factors or merged weights, with a card that says what they are

Covered: what is written answers like what was measured; nothing is written where
something else lies, see `export_folder`.
Not covered: secrecy. An export is in clear, and an adapter remembers some of what it
was trained on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from proper_client.answer import Answerer
from proper_client.export_card import Card, card
from proper_client.export_folder import check_place, write_export
from proper_client.kept import Level
from proper_client.opening import Aim, Opened
from proper_client.personal import LEVELS
from proper_client.placement import Wanted
from proper_client.seated import Seated, seat
from proper_client.standing import base_of
from proper_client.vault import Vault
from proper_shared.backbone import look_at, public_name
from proper_shared.encoding import Example
from proper_shared.errors import ConfigError
from proper_shared.history import Entry
from proper_shared.method.collapse import (
    Factors,
    collapsed,
    gates_of_embedding,
    gates_of_entries,
    install,
    merge,
)
from proper_shared.metrics import summarise
from proper_shared.release import read_manifest, verify_files
from proper_shared.stock import write_factors, write_merged
from proper_shared.tensors import unpack

MOST_ENTRIES = {"label": 256, "score": 256, "text": 24}  # the newest are measured on


@dataclass(frozen=True)
class ExportWish:
    """What a person asks `export` for.

    Attributes:
        out: the folder.
        merged: a whole model in the place of an adapter.
        task: which of the models.
        level: which level; None for the one that was chosen in training.
    """

    out: Path
    merged: bool = False
    task: str | None = None
    level: Level | None = None


@dataclass(frozen=True)
class Quality:
    """How entries are answered.

    Attributes:
        metric: name of the score.
        score: over the entries.
        nats: mean loss of an answer's token.
    """

    metric: str
    score: float
    nats: float


@dataclass(frozen=True)
class Exported:
    """What was exported, and what it cost.

    Attributes:
        card: what the folder says about itself.
        folder: where it lies.
        nbytes: of all its files.
        entries: how many were measured on.
        routed: quality of the personal model; None where there are no entries.
        static: likewise, of what was exported.
    """

    card: Card
    folder: Path
    nbytes: int
    entries: int
    routed: Quality | None
    static: Quality | None


def export(wish: ExportWish, vault: Vault, entries: Sequence[Entry]) -> Exported:
    """Write a personal model as a folder that others load.

    Args:
        wish: What is asked for.
        vault: Holds the personal model.
        entries: Of the person, oldest first: gates are taken and measured on them. May
            be empty: then gates follow from the embedding and nothing is measured.

    Raises:
        ConfigError: something else lies in the folder, or as `seat`.
        DataError: as `seat`.
        FormatError: as `seat`.
        ModelError: as `seat`.
        OSError: the disk is full or not writable; nothing has changed.
    """
    check_place(wish.out)
    wanted = Wanted("cpu" if wish.merged else "auto", plain=True)
    seated = seat(vault, wish.task, Aim(wanted, entries))
    opened, level = seated.opened, wish.level or seated.about.level
    newest = entries[-MOST_ENTRIES[opened.encoder.task.kind] :]
    examples = [opened.encoder.example(entry) for entry in newest]
    opened.adapted.users.use(*LEVELS[level])
    routed = quality(opened, newest)
    factors = _collapsed(opened, examples)
    install(opened.adapted, factors)
    whole = _with_population(seated, factors)
    if not whole:
        raise ConfigError(
            f"the level {level} adds nothing to the plain backbone",
            hint="choose another: --level personal",
        )
    dtype = _stored(seated)
    if wish.merged:
        _merge(opened, whole, dtype)
    static = quality(opened, newest)
    about = _card(wish, seated, level, whole, dtype if wish.merged else "float32")

    def fill(empty: Path) -> None:
        text = card(about, _measured(routed, static, len(newest)))
        (empty / "README.md").write_text(text, encoding="utf-8")
        if wish.merged:
            write_merged(empty, opened.adapted, dtype)
            opened.encoder.tokenizer.save_pretrained(empty)
        else:
            write_factors(empty, whole, about.base)

    write_export(wish.out, fill)
    nbytes = sum(path.stat().st_size for path in wish.out.iterdir())
    return Exported(about, wish.out, nbytes, len(newest), routed, static)


def quality(opened: Opened, entries: Sequence[Entry]) -> Quality | None:
    """Judge the model as it stands, on entries; None without any."""
    if not entries:
        return None
    task = opened.encoder.task
    asked = 16 if opened.placement is None else opened.placement.share.asked
    answerer = Answerer(opened.adapted, opened.encoder, asked)
    answers = answerer.answers([[entry.text for entry in entries]])[0]
    score = summarise(task, [entry.output for entry in entries], answers)
    examples = [opened.encoder.example(entry) for entry in entries]
    metric = task.metrics[0]
    return Quality(metric, score[metric], answerer.losses([examples])[0])


def _collapsed(opened: Opened, examples: Sequence[Example]) -> Factors:
    """Return experts and user LoRA as one LoRA a layer; nothing for the population."""
    adapted = opened.adapted
    if not adapted.users.uses:
        return {}
    gates = gates_of_embedding(adapted)
    if examples:
        gates = gates_of_entries(adapted, examples, opened.encoder.padding)
    return collapsed(adapted, gates)


def _with_population(seated: Seated, factors: Factors) -> Factors:
    """Return the collapsed LoRAs with the population's before them.

    The model holds the population merged, so its factors come from the release.
    """
    base = base_of(seated.about)
    if not isinstance(base, Path):  # a blank release adds nothing
        return dict(factors)
    manifest = read_manifest(base)
    data = verify_files(base, manifest)["population"]
    arrays = unpack(data, "population.safetensors")
    scale = manifest.method.population.scale
    whole = dict(factors)
    for name, array in arrays.items():
        layer, _, kind = name.rpartition(".")
        if kind != "a":
            continue
        a = torch.from_numpy(array)
        b = torch.from_numpy(arrays[f"{layer}.b"]) * scale
        layer = layer.removesuffix(".population")
        if layer in whole:
            later = [tensor.cpu() for tensor in whole[layer]]
            a, b = torch.cat([a, later[0]]), torch.cat([b, later[1]], dim=1)
        whole[layer] = a, b
    return whole


def _merge(opened: Opened, whole: Factors, dtype: str) -> None:
    """Merge everything into the plain weights, as precise as the files will be."""
    adapted = opened.adapted
    adapted.split_population()  # so that each weight is rounded once
    merge(adapted, whole, dtype)


def _stored(seated: Seated) -> str:
    """Return the type of the weights in the backbone's own files."""
    _, config, _ = look_at(seated.about.backbone)
    said = str(getattr(config, "dtype", None) or "float32")
    return said.removeprefix("torch.")


def _card(
    wish: ExportWish, seated: Seated, level: Level, whole: Factors, dtype: str
) -> Card:
    header = seated.opened.header
    return Card(
        task=seated.opened.encoder.task,
        level=level,
        merged=wish.merged,
        base=public_name(seated.about.backbone),
        fingerprint=header.backbone.fingerprint,
        release=seated.about.release_sha256,
        learnt=seated.about.entries,
        rank=max(len(a) for a, _ in whole.values()),
        dtype=dtype,
        protection=header.protection,
    )


def _measured(routed: Quality | None, static: Quality | None, count: int) -> str | None:
    """Say what the static gates cost; None where it was not measured."""
    if routed is None or static is None:
        return None
    return (
        f"on {count} of its owner's entries, which it has learnt,\n"
        f"  {routed.metric} {static.score:.3f} ({routed.score:.3f} with routers) and "
        f"{static.nats:.4f} nats a token ({routed.nats:.4f})"
    )
