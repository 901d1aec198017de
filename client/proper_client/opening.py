"""Open a release on a device: backbone, population and group, checked and loaded.

A release names its backbone, but the fingerprint decides. A name that is no folder on
this machine is looked up on the hub, so opening a release can use the network; `nano`
and local folders never do. A release made over somebody's folder gives the folder's
name alone, which no hub is asked for: the person has to say where the folder lies.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from proper_client.footprint import Bits, Work, shape_of
from proper_client.machine import this_machine
from proper_client.personal import Ground
from proper_client.placement import Placement, Wanted, place
from proper_client.reading import ROWS
from proper_client.standing import Base
from proper_shared.backbone import (
    Backbone,
    load_backbone,
    local_folder,
    look_at,
    public_name,
)
from proper_shared.blank import blank_release, digest_of_blank
from proper_shared.encoding import Encoder
from proper_shared.errors import ModelError
from proper_shared.grouping import READING, Sizes
from proper_shared.history import Entry, split_for_validation
from proper_shared.method.job import Limits
from proper_shared.method.stages import EMBEDDING, AdaptedModel
from proper_shared.packing import Arrays, Shapes
from proper_shared.parts import widths_of
from proper_shared.quantised import quantise
from proper_shared.release import (
    PARTS,
    BackboneId,
    Header,
    Release,
    digest_of,
    read_manifest,
    read_release,
    split_by_part,
)
from proper_shared.tasks import get_task

UNREAD = "0" * 64  # in the place of a fingerprint
MOST_ASKED = 512  # rows that are answered at once; more are no faster


@dataclass(frozen=True)
class Aim:
    """What a release is opened for: it decides where it fits.

    Attributes:
        wanted: where to compute, and in how many bits.
        entries: that are read at once or learnt; their longest counts.
        trains: whether something is learnt.
    """

    wanted: Wanted = field(default_factory=Wanted)
    entries: Sequence[Entry] = ()
    trains: bool = False


@dataclass(frozen=True)
class Opened:
    """A release, ready to be personalised.

    Attributes:
        adapted: population merged, group loaded, the mean embedding in its seat.
        encoder: of the release's task and the backbone's tokenizer.
        reading: the arrays that tell where a user lies.
        header: what the release says about itself.
        digest: SHA-256 (hex) of its manifest, or of what a blank one follows from.
        placement: where it computes; None on the CPU in float32, whatever it takes.
    """

    adapted: AdaptedModel
    encoder: Encoder
    reading: Arrays
    header: Header
    digest: str
    placement: Placement | None = None


def open_release(
    base: Base, backbone: str | None = None, aim: Aim | None = None
) -> Opened:
    """Load a release over its backbone.

    Args:
        base: A release folder, or a blank release.
        backbone: `nano`, a folder or a hub id; None for the one that the release names.
        aim: What for; None computes on the CPU in float32.

    Raises:
        ConfigError: there is no release, or the device that is asked for.
        FormatError: the release is damaged, or was made for another backbone.
        ModelError: the backbone is not there or does not fit.
    """
    said = _said(base, backbone)
    name = _name(backbone, said.backbone.name)
    placement = None if aim is None else placement_of(said, name, aim)
    late = placement is not None and is_merged_first(said, placement.bits)
    loaded = _load(name, placement, late=late)
    adapted = AdaptedModel(loaded.model, said.method, said.seed)
    release, digest = _read(base, loaded, expected_of(adapted))
    adapted.add("population")
    adapted.add("group")
    for part in PARTS:
        arrays = getattr(release, part)
        tensors = {n: a for n, a in arrays.items() if n not in READING}
        adapted.load({n: torch.from_numpy(a)[None] for n, a in tensors.items()})
    reading = {name: release.embedding[name] for name in READING}
    adapted.merge_population(keep=not late and not (aim and aim.trains))
    if placement is not None and late:
        quantise(adapted.model, placement.device)
        adapted.move(placement.device)
    encoder = Encoder(loaded.tokenizer, get_task(said.task))
    return Opened(adapted, encoder, reading, release.header, digest, placement)


def _said(base: Base, backbone: str | None) -> Header:
    """Return what a release says about itself, before any weight is read."""
    if isinstance(base, Path):
        return read_manifest(base)
    return base.header(BackboneId(name=backbone or "nano", fingerprint=UNREAD))


def _read(
    base: Base, loaded: Backbone, expected: Mapping[str, Shapes]
) -> tuple[Release, str]:
    """Return a release that fits a backbone, and its digest."""
    if isinstance(base, Path):
        return read_release(base, loaded.fingerprint, expected), digest_of(base)
    own = BackboneId(name=public_name(loaded.name), fingerprint=loaded.fingerprint)
    header = base.header(own)
    return blank_release(header, expected), digest_of_blank(header)


def placement_of(header: Header, backbone: str, aim: Aim) -> Placement:
    """Decide where a release fits; no weight is read.

    Raises:
        ConfigError: the device that is asked for is not there.
        ModelError: the backbone is not there, or nothing fits.
    """
    _, config, tokenizer = look_at(backbone)
    encoder = Encoder(tokenizer, get_task(header.task))
    work = work_of(encoder, aim, _batch(header))
    shape = shape_of(config)
    placement = place(aim.wanted, this_machine(), shape, header.method, work)
    aim.wanted.tell(placement.line())
    return placement


def work_of(encoder: Encoder, aim: Aim, batch: int) -> Work:
    """Measure what is to be computed.

    Args:
        encoder: of the task.
        aim: what for.
        batch: examples in a step of training, at most.
    """
    rows = [encoder.example(entry) for entry in aim.entries]
    lengths = [len(row.prompt) + len(row.target) for row in rows]
    writes = encoder.task.kind == "text"
    asked = split_for_validation(aim.entries)[1] if aim.trains else aim.entries
    return Work(
        tokens=max(lengths, default=encoder.task.max_text_tokens),
        answer=max((len(row.target) for row in rows), default=1),
        batch=min(batch, len(rows)) if aim.trains else 0,
        written=encoder.task.max_output_tokens if writes else 0,
        asked=max(1, min(MOST_ASKED, max(len(asked), min(ROWS, len(rows))))),
    )


def ground_of(opened: Opened) -> Ground:
    """Return what the user level stands on, within the memory that there is."""
    ground = Ground(opened.adapted, opened.encoder, opened.reading)
    if opened.placement is None:
        return ground
    share = opened.placement.share
    limits = Limits(opened.placement.rows, share.checkpointing)
    return replace(ground, limits=limits, asked=share.asked)


def is_merged_first(header: Header, bits: Bits) -> bool:
    """Tell whether the population is merged before the weights go into 4 bits."""
    return bits == 4 and header.four_bits == "merged"


def _batch(header: Header) -> int:
    """Return the examples in a step, as far as the recipe of a release is known."""
    phases = [value for value in header.personal.values() if isinstance(value, dict)]
    sizes = [phase.get("batch") for phase in phases]
    return max((size for size in sizes if isinstance(size, int)), default=1)


def expected_of(adapted: AdaptedModel) -> dict[str, Shapes]:
    """Return what a release over this backbone holds, by part; no memory is taken."""
    method = adapted.method
    shapes = {**adapted.shapes("population"), **adapted.shapes("group")}
    shapes[EMBEDDING] = (method.embedding_size,)
    shapes |= Sizes(*widths_of(adapted.model), method.experts).reading()
    return {**split_by_part(shapes)}


def _name(chosen: str | None, named: str) -> str:
    """Return the backbone that the person chose, or else the one that is named."""
    is_folder = chosen is None and named != "nano" and "/" not in named
    if is_folder and local_folder(named) is None:
        raise ModelError(
            f"the release was made over the model folder {named}, which is not here",
            hint="say where the folder lies: --backbone FOLDER",
        )
    return chosen or named


def _load(name: str, placement: Placement | None, *, late: bool) -> Backbone:
    """Load a backbone to where it computes; what is quantised late waits on the CPU."""
    if placement is None:
        return load_backbone(name)
    if late:
        return load_backbone(name, bits=16)
    return load_backbone(name, bits=placement.bits, device=placement.device)
