"""Federated against central, and masked against unmasked: `proper-sim bench central`.

Population and groups are trained on the tagging world in four ways, each from the same
start, with the same cohorts and the same entries drawn in each round:

    central    all entries in one place, one optimiser: see `in_one_place`
    masked     the federation as it runs: clipped, encoded, added under masks
    again      the same under another name of the run, so with other rounding
    unmasked   clipped, added in clear, nothing rounded

Each is asked the queries of people who are in no cohort: the mean loss in nats for each
target token, of stage 1 with the population alone and of stage 2 with people placed by
where their entries lie. Nothing is trained or chosen on these people.

    against central    loss of masked over that of central, less one
    by masks           loss of masked over that of unmasked, less one
    by rounding        loss of masked over that of again, less one
    apart              |difference of trained tensors| / |way from their start|, L2

Masks cancel to the last bit, so masked and unmasked differ by rounding, which training
amplifies. `again` says how far two roundings lead apart: if masks are as far from none,
rounding explains it.

The rates of central were looked at on the world of seed 7 and not searched for, so
what is shown is no best that central training can do.
"""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from proper_client.answer import Answerer
from proper_client.personal import LEVELS, Ground, Personaliser
from proper_coordinator.plan import Plan
from proper_shared.allocator import keep_freed_memory
from proper_shared.grouping import READING
from proper_shared.packing import Arrays
from proper_shared.rounds import Part
from proper_simulations.bench.in_one_place import InOnePlace, Level, Rates
from proper_simulations.bench.measure import circumstances
from proper_simulations.config import RunConfig
from proper_simulations.federation import Job, run_federation
from proper_simulations.report.terminal import aligned
from proper_simulations.site import RunSite

STAGES: tuple[Level, ...] = ("population", "group")
# name of a federated way -> whether under masks
FEDERATED = {"masked": True, "again": True, "unmasked": False}
BETWEEN = {"masks": "unmasked", "rounding": "again"}
Show = Callable[[str], None]


def central(
    seeds: Sequence[int] = (0, 1, 2),
    base: RunConfig | None = None,
    *,
    show: Show = lambda _: None,
) -> dict[str, object]:
    """Train in all ways on the world of each seed, and compare.

    Args:
        seeds: of world, adapters, cohorts and order.
        base: of the runs; their seed is put in.
        show: told of each way before it is trained.

    Returns:
        Circumstances, `rows` with one entry for each seed and stage, and in `mean` the
        mean of each comparison over the seeds, by stage.
    """
    keep_freed_memory()
    base = base or RunConfig()
    rows = [
        row
        for seed in seeds
        for row in _rows(RunSite(base.model_copy(update={"seed": seed})), show)
    ]
    names = ("against_central", "by_masks", "by_rounding")
    quick = " --quick" if base.quick else ""
    listed = ",".join(map(str, seeds))
    return {
        "command": f"proper-sim bench central{quick} --json --seeds {listed}",
        **circumstances(seeds[0]),
        "seeds": list(seeds),
        "central_rates": vars(Rates()),
        "rows": rows,
        "mean": {
            stage: {
                name: float(np.mean([r[name] for r in rows if r["stage"] == stage]))
                for name in names
            }
            for stage in STAGES
        },
    }


def _rows(site: RunSite, show: Show) -> list[dict[str, Any]]:
    """Train in all ways on one world, and compare by stage."""
    show(f"seed {site.config.seed}: central")
    alone = InOnePlace(site)
    found = {"central": alone.train()}
    for name, masked in FEDERATED.items():
        show(f"seed {site.config.seed}: {name}")
        found[name] = federated(site, name, masked=masked)
    losses = {name: held_out(site, part) for name, part in found.items()}
    fresh = site.trainer().blueprint.fresh
    rows = []
    for stage in STAGES:
        loss = {name: by_stage[stage] for name, by_stage in losses.items()}
        row: dict[str, Any] = {"seed": site.config.seed, "stage": stage, "loss": loss}
        row["tokens"] = alone.tokens[stage]
        row["against_central"] = loss["masked"] / loss["central"] - 1
        for name, other in BETWEEN.items():
            row[f"by_{name}"] = loss["masked"] / loss[other] - 1
            row[f"apart_by_{name}"] = apart(
                found["masked"].values, found[other].values, fresh[stage]
            )
        rows.append(row)
    return rows


def federated(site: RunSite, name: str, *, masked: bool) -> Part:
    """Train both stages in a federation; return the group part.

    Args:
        site: whose members, settings and seed these are.
        name: of the run; the public rotation hangs on it, and so does rounding.
        masked: whether only sums can be read.
    """
    plan = Plan(
        cohort_size=site.settings.cohort_size, seed=site.config.seed, masked=masked
    )
    with tempfile.TemporaryDirectory() as folder:
        job = Job(len(site.members()), Path(folder), f"bench central {name}", plan)
        outcome = run_federation(islice(site.parts(), 3), site, job)
    failed = [r.failed for own in outcome.rounds.values() for r in own if r.failed]
    group = outcome.parts[-1]
    if failed or not isinstance(group, Part):
        raise RuntimeError(f"{len(failed)} rounds failed: {failed[:1]}")
    return group


def held_out(site: RunSite, group: Part) -> dict[str, float]:
    """Return the loss of each stage on people who were in no cohort.

    Args:
        site: whose tested people are asked.
        group: finished, holds the tensors of both stages.

    Returns:
        Mean loss over all queries by stage, in nats for each target token.
    """
    trainer, users = site.trainer(), site.data.users
    size = trainer.method.embedding_size
    trainer.open_release(group.values, np.zeros(size, np.float32))
    reading = {name: group.values[name] for name in READING}
    ground = Ground(trainer.adapted, trainer.encoder, reading)
    personaliser = Personaliser(ground, site.settings.personal, trainer.seed)
    personaliser.seat(personaliser.place(users))
    examples = [[trainer.encoder.example(q) for q in user.queries] for user in users]
    weights = [sum(len(x.target) for x in own) for own in examples]
    losses: dict[str, float] = {}
    for stage in STAGES:
        trainer.adapted.users.use(*LEVELS[stage])
        own = Answerer(trainer.adapted, trainer.encoder).losses(examples)
        losses[stage] = float(np.average(own, weights=weights))
    return losses


def apart(one: Arrays, other: Arrays, start: Arrays) -> float:
    """Return how far two trainings lead apart, over how far `other` has come.

    Args:
        one: tensors by name.
        other: likewise.
        start: likewise, from which both went; only these names count.
    """
    gap = sum(np.sum((one[n].astype(float) - other[n]) ** 2) for n in start)
    way = sum(np.sum((other[n].astype(float) - start[n]) ** 2) for n in start)
    return float(np.sqrt(gap / way))


def as_text(result: Mapping[str, Any], *, as_json: bool) -> str:
    """Return one line for each seed and stage, or the JSON of all of it."""
    if as_json:
        return json.dumps(result, indent=1)
    ways = ("central", *FEDERATED)
    numbers = ("against_central", "by_masks", "by_rounding")
    far = ("apart_by_masks", "apart_by_rounding")
    heads = [f"{name.replace('_', ' ')} %" for name in (*numbers, *far)]
    lines = [["stage", "seed", *ways, *heads]]
    for row in result["rows"]:
        losses = [f"{row['loss'][way]:.4f}" for way in ways]
        shares = [f"{100 * row[name]:+.2f}" for name in numbers]
        shares += [f"{100 * row[name]:.2f}" for name in far]
        lines.append([row["stage"], str(row["seed"]), *losses, *shares])
    for stage, mean in result["mean"].items():
        shares = [f"{100 * mean[name]:+.2f}" for name in numbers]
        lines.append([stage, "mean", *[""] * len(ways), *shares, "", ""])
    return aligned(lines)
