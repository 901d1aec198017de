"""What encoding costs: the mean of encoded updates against that of plain ones.

Members of the tagging world train one round of the population and one of the groups.
Their vectors are added twice, as they are and as elements of a ring with bounds from
the mean of their norms, and the means are compared block by block:

    error    |mean of encoded - mean of plain| / |mean of plain|, L2 norms

Clipping counts into the error. Masks do not appear here: they cancel to the last bit,
so they change nothing of it. Bounds come from the norms of the same round; in a
federation they come from the round before.
"""

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from proper_client.member import Member
from proper_shared.packing import Layout, Vector
from proper_shared.rounds import FederatedPart, Part
from proper_shared.vectors.bounds import FACTOR, log_norms, next_bounds, with_norms
from proper_shared.vectors.clip import Blocks, blocks_of
from proper_shared.vectors.encoding import Encoding, ring_for
from proper_simulations.bench.measure import circumstances
from proper_simulations.bench.table import as_text as as_json_text
from proper_simulations.config import RunConfig
from proper_simulations.report.terminal import aligned
from proper_simulations.site import RunSite

COHORTS = (10, 30, 100, 200)
FACTORS = (FACTOR, 2 * FACTOR)
MIXTURE = 20  # first round of the grouping that looks for groups, of 200


class Updates(NamedTuple):
    """What the members of a cohort answered in one round.

    Attributes:
        part: whose round it is.
        layout: of each vector.
        vectors: (U, Q) float32.
    """

    part: str
    layout: Layout
    vectors: NDArray[np.float32]


def encoding_error(
    cohorts: Sequence[int] = COHORTS,
    *,
    factors: Sequence[float] = FACTORS,
    seed: int = 0,
) -> dict[str, object]:
    """Train two rounds and measure the error of each cohort size.

    Args:
        cohorts: how many members are added, the first ones of the world.
        factors: of the bounds above the geometric mean of the norms.
        seed: of the world, the adapters and the encoding.

    Returns:
        Circumstances, and in `rows` one entry for each part, cohort and factor.
    """
    return {
        "command": f"proper-sim bench encoding --json --seed {seed}",
        **circumstances(seed),
        "rows": [
            measured(updates, cohort, factor, seed)
            for updates in real_updates(max(cohorts), seed)
            for cohort in cohorts
            for factor in factors
        ],
    }


def real_updates(count: int, seed: int) -> Iterator[Updates]:
    """Yield the vectors of members in a round of the population and of the groups.

    Args:
        count: how many members.
        seed: of the run.
    """
    site = RunSite(RunConfig(world="tagging", users=1, seed=seed))
    members = [Member(user) for user in site.members()[:count]]
    parts = site.parts()
    population = next(parts)
    yield _updates(population, _train(site, population, members, 0))
    grouping = next(parts)
    for round_ in (0, MIXTURE):
        _train(site, grouping, members, round_)
    group = next(parts)
    yield _updates(group, _train(site, group, members, 0))


def _train(
    site: RunSite, part: FederatedPart, members: Sequence[Member], round_: int
) -> list[Vector]:
    """Let all members answer a round, fold it into the part, return the vectors."""
    order, at_once = part.order(round_), site.settings.cohort_size
    vectors: list[Vector] = []
    for start in range(0, len(members), at_once):
        vectors += site.trainer().train(order, members[start : start + at_once])
    part.apply(round_, np.sum(vectors, axis=0, dtype=np.float64), len(vectors))
    return vectors


def _updates(part: FederatedPart, vectors: Sequence[Vector]) -> Updates:
    if not isinstance(part, Part):
        raise TypeError(f"got the part {part.stage}, expected one that is trained")
    layout = part.shape.incoming(part.factor(0))
    return Updates(part.stage, layout, np.stack(vectors))


def measured(
    updates: Updates, cohort: int, factor: float, seed: int
) -> dict[str, object]:
    """Encode, add and decode the first vectors, and compare the means.

    Args:
        updates: of at least `cohort` members.
        cohort: how many are added.
        factor: of the bounds above the geometric mean of the norms.
        seed: of rotation and rounding.
    """
    vectors, layout = updates.vectors[:cohort], updates.layout
    norms = [log_norms(vector, layout) for vector in vectors]
    bounds = next_bounds(np.mean(norms, axis=0), layout, factor)
    wide = with_norms(layout)
    ring = ring_for(cohort, wide.size)
    blocks = Blocks.of(wide, bounds)
    encoding = Encoding(blocks, ring, cohort, seed.to_bytes(32, "big"))
    own = np.stack([np.ravel(norm) for norm in norms])
    sent = np.concatenate([vectors, own], axis=1)
    total, seconds = _added(encoding, sent, np.random.default_rng(seed))
    mean: NDArray[np.float64] = sent.mean(0, dtype=np.float64)
    miss = blocks.norms(encoding.decode(total, cohort) / cohort - mean)
    errors = miss / np.maximum(blocks.norms(mean), np.finfo(np.float64).tiny)
    limits = [block.bound for block in blocks.blocks]
    clipped = sum(int(np.sum(blocks.norms(vector) > limits)) for vector in sent)
    found = {b.name: float(e) for b, e in zip(blocks.blocks, errors, strict=True)}
    return {
        "part": updates.part,
        "cohort": cohort,
        "factor": factor,
        "numbers": wide.size,
        "ring_bits": ring.bits,
        "clipped_blocks": clipped,
        "error": found[next(iter(blocks_of(layout)))],
        "errors": found,
        "encode_ms": 1000 * statistics.median(seconds),
    }


def _added(
    encoding: Encoding, vectors: NDArray[np.floating], rng: np.random.Generator
) -> tuple[Any, list[float]]:
    """Return the sum of the encoded vectors, and the seconds that each took."""
    terms, seconds = [], []
    encoding.encode(vectors[0], rng.bytes)  # makes the rotation
    for vector in vectors:
        start = time.perf_counter()
        terms.append(encoding.encode(vector, rng.bytes))
        seconds.append(time.perf_counter() - start)
    return encoding.ring.add(terms), seconds


def as_text(result: Mapping[str, Any], *, as_json: bool) -> str:
    """Return one line for each part, cohort and factor, or the JSON of all of it."""
    if as_json:
        return as_json_text(result, as_json=True)
    heads = ["part", "cohort", "factor", "numbers", "bits", "clipped", "error %"]
    lines = [[*heads, "worst block", "error %", "ms"]]
    for row in result["rows"]:
        worst = max(row["errors"], key=row["errors"].__getitem__)
        names = ("part", "cohort", "factor", "numbers", "ring_bits", "clipped_blocks")
        error, largest = 100 * row["error"], 100 * row["errors"][worst]
        found = [f"{error:.3f}", worst, f"{largest:.3f}", f"{row['encode_ms']:.1f}"]
        lines.append([*(str(row[name]) for name in names), *found])
    return aligned(lines)
