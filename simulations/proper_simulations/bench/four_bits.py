"""How a population LoRA is to meet a backbone in 4 bits: two ways, on held-out entries.

    float32  merged into the plain weights: what the federation trained
    branch   beside weights in 4 bits
    merged   merged in bfloat16, and then quantised

Measured on the starter release over nano, and on entries of the tagging world's test
people, who took part in no training of it. Differences to `float32` are paired over
people, with a bootstrap interval. `first` counts the weights of a layer that shares
scales of 64 weights: nano's smallest has 256 blocks.

Not covered: larger backbones, of which none comes with the project; time on a GPU.
"""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from proper_client.answer import Answerer
from proper_shared.backbone import Backbone, load_backbone
from proper_shared.encoding import Encoder, Example
from proper_shared.method.stages import AdaptedModel
from proper_shared.quantised import quantise
from proper_shared.release import STARTER, Manifest, read_manifest, verify_files
from proper_shared.tasks import get_task
from proper_shared.tensors import unpack
from proper_simulations.bench.measure import circumstances
from proper_simulations.report.terminal import aligned
from proper_simulations.worlds import make_world

Way = Literal["float32", "branch", "merged"]
WORLD, SEED = "tagging", 0  # those of the run that made the starter release
DRAWS = 2000
Numbers = NDArray[np.float64]


def four_bits(
    people: int = 100, *, show: Callable[[str], None] = print
) -> dict[str, object]:
    """Measure both ways.

    Args:
        people: whose entries are read.
        show: told about each way as it begins.
    """
    manifest = read_manifest(STARTER)
    data = verify_files(STARTER, manifest)
    population = unpack(data["population"], "population.safetensors")
    users = make_world(WORLD, SEED, others=0, users=people).users
    found: dict[Way, tuple[Numbers, Numbers]] = {}
    for way in get_args(Way):
        show(way)
        adapted, backbone = _adapted(way, manifest)
        own = population.items()
        adapted.load({name: torch.from_numpy(array)[None] for name, array in own})
        if way != "branch":
            adapted.merge_population()
        if way == "merged":
            quantise(adapted.model, "cpu")
        encoder = Encoder(backbone.tokenizer, get_task(manifest.task))
        examples = [[encoder.example(entry) for entry in u.profile] for u in users]
        found[way] = _judged(adapted, encoder, examples)
    entries = sum(len(user.profile) for user in users)
    rng = np.random.default_rng(SEED)
    rows = [_row(way, found, rng) for way in get_args(Way)]
    return {
        "command": f"proper-sim bench four-bits --people {people} --json",
        **circumstances(SEED),
        "people": people,
        "entries": entries,
        "rows": rows,
    }


def _adapted(way: Way, manifest: Manifest) -> tuple[AdaptedModel, Backbone]:
    """Return the backbone as it is loaded for a way, with a fresh population."""
    loaded = load_backbone(bits=_BITS[way])
    adapted = AdaptedModel(loaded.model, manifest.method, manifest.seed)
    adapted.add("population")
    return adapted, loaded


_BITS: dict[Way, Literal[4, 16, 32]] = {"float32": 32, "branch": 4, "merged": 16}


def _judged(
    adapted: AdaptedModel, encoder: Encoder, examples: list[list[Example]]
) -> tuple[Numbers, Numbers]:
    """Return nats a token and expected errors an entry, (people,) each."""
    answerer = Answerer(adapted, encoder, rows=128)
    losses, errors = [], []
    for own in examples:
        losses += answerer.losses([own])
        errors += [answerer.costs([own])[0] / len(own)]
    return np.array(losses), np.array(errors)


def _row(
    way: Way, found: dict[Way, tuple[Numbers, Numbers]], rng: np.random.Generator
) -> dict[str, object]:
    row: dict[str, object] = {"way": way}
    for name, ours, plain in zip(
        ("nats", "errors"), found[way], found["float32"], strict=True
    ):
        apart = ours - plain
        drawn = rng.choice(apart, size=(DRAWS, len(apart))).mean(1)
        low, high = np.quantile(drawn, (0.025, 0.975))
        row |= {
            name: float(ours.mean()),
            f"{name}_more": float(apart.mean()),
            f"{name}_low": float(low),
            f"{name}_high": float(high),
        }
    return row


def as_lines(found: dict[str, object]) -> str:
    """Return the result as a table."""
    lines = [["way", "nats", "more than float32", "errors", "more than float32"]]
    rows: list[dict[str, float]] = found["rows"]  # type: ignore[assignment]
    for row in rows:
        cells = [str(row["way"])]
        for name in ("nats", "errors"):
            low, high = row[f"{name}_low"], row[f"{name}_high"]
            more = f"{row[f'{name}_more']:+.4f} ({low:+.4f} to {high:+.4f})"
            cells += [f"{row[name]:.4f}", more]
        lines.append(cells)
    return aligned(lines)
