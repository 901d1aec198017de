"""What members that lie do to a federation: `proper-sim bench lies`.

Population and groups are trained on the tagging world in the memory engine, under
masks, once honestly and once for each lie. Liars lie in every round of these two parts
and are honest in the search for groups.

    NaN          one    an update of NaN; its own device ends it before it is encoded
    shape        one    an update of (Q, 1); likewise
    length       one    a masked vector that is 2 bytes short
    huge         one    its update backwards, times 10^30; its device clips it
    unclipped    one    any elements of the ring, as only a changed client sends them
    flipped      10 %   their updates backwards
    largest      10 %   their updates backwards and 4 times as long, about the bound
    and norms    10 %   times 10^30: as long as the bound, and their norms raise that

What a liar does before the encoding (all but two) goes through the encoding and the
masks of an honest device. `length` and `unclipped` change what leaves under masks: to
add numbers to a masked vector is to have masked others. A ring has no NaN, so no
masked vector brings one into a sum.

Of each part is shown how many rounds were dropped, and whether what is released is
finite and its loss on public texts within the band of the best so far. `against honest`
is the loss on people who were in no cohort, over that of the honest run, less one: what
a lie inside the band achieves. That is a figure, and nothing that is promised.

Not covered: liars who know of each other, back doors, other worlds and backbones.
"""

import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from proper_client.flower import PARTITION, Participant
from proper_client.letters import reply_of
from proper_client.trainer import Trainer
from proper_coordinator.checks import BAND, Gauge
from proper_coordinator.flower import Coordinator
from proper_coordinator.plan import Plan
from proper_coordinator.store import Round, Store
from proper_shared.allocator import keep_freed_memory
from proper_shared.history import User
from proper_shared.packing import Layout, Vector
from proper_shared.rounds import Order, Part
from proper_shared.secagg.messages import HEADER_NBYTES, Phase
from proper_shared.terms import FACTOR
from proper_simulations.bench.central import STAGES, held_out
from proper_simulations.bench.measure import circumstances
from proper_simulations.bench.round_cost import both_parts, shortened
from proper_simulations.config import RunConfig
from proper_simulations.crowd import suite_for
from proper_simulations.engines import MemoryGrid, NodeMessage
from proper_simulations.members import FolderKeeper
from proper_simulations.report.terminal import aligned
from proper_simulations.site import RunSite

if TYPE_CHECKING:
    from proper_client.flower import Pair
    from proper_client.member import Member

HUGE, SHARE = 1e30, 0.1

Bytes = Callable[[bytes, np.random.Generator], bytes]
Show = Callable[[str], None]


@dataclass(frozen=True)
class Lie:
    """What liars say.

    Attributes:
        name: of the lie.
        share: of all members who lie; None is one member.
        update: makes theirs of an honest update (Q,).
        masked: makes theirs of the bytes of an honest masked vector.
    """

    name: str
    share: float | None = None
    update: Callable[[Vector], NDArray[np.float32]] | None = None
    masked: Bytes | None = None

    def liars(self, members: int, seed: int) -> frozenset[int]:
        """Return the seats of the liars; the same for all lies of as many."""
        share = self.share
        count = 1 if share is None else math.ceil(share * members)
        drawn = np.random.default_rng([seed, 1]).permutation(members)
        return frozenset(drawn[:count].tolist())


def _times(factor: float) -> Callable[[Vector], NDArray[np.float32]]:
    def scale(update: Vector) -> NDArray[np.float32]:
        with np.errstate(over="ignore"):  # clipped to what float32 holds
            wide = update.astype(np.float64) * factor
        most = float(np.finfo(np.float32).max)
        return np.clip(wide, -most, most).astype(np.float32)

    return scale


HONEST = Lie("honest", 0.0)
LIES = (
    Lie("NaN", update=_times(math.nan)),
    Lie("shape", update=lambda update: update[:, None]),
    Lie("length", masked=lambda body, _: body[:-2]),
    Lie("huge", update=_times(-HUGE)),
    Lie("unclipped", masked=lambda body, rng: rng.bytes(len(body))),
    Lie("flipped", SHARE, update=_times(-1.0)),
    Lie("largest", SHARE, update=_times(-FACTOR)),
    Lie("and norms", SHARE, update=_times(-HUGE)),
)


@dataclass(frozen=True)
class Size:
    """How much is trained.

    Attributes:
        members: of the federation; few, so that a liar's block is due often.
        cohort: members of a round.
        rounds: of population and of groups.
    """

    members: int = 60
    cohort: int = 30
    rounds: int = 24


QUICK = Size(members=30, cohort=15, rounds=8)


class Lying:
    """A trainer whose liars' updates are replaced.

    Args:
        trainer: does the work.
        lie: what they say.
        liars: names of the people.
    """

    def __init__(self, trainer: Trainer, lie: Lie, liars: frozenset[str]) -> None:
        self._trainer, self._lie, self._liars = trainer, lie, liars
        self.base = trainer.base

    def layout(self, order: Order) -> Layout:
        """Return what lies where in an update for this order."""
        return self._trainer.layout(order)

    def train(
        self, order: Order, members: "Sequence[Member]"
    ) -> list[NDArray[np.float32]]:
        """Train all members, and let liars say something else."""
        updates: list[NDArray[np.float32]] = [*self._trainer.train(order, members)]
        if self._lie.update is None or order.stage not in STAGES:
            return updates
        for place, member in enumerate(members):
            if member.user.user_id in self._liars:
                updates[place] = self._lie.update(updates[place])
        return updates


@dataclass(frozen=True)
class LyingSite(RunSite):
    """The first people of a run, some of whom lie.

    Attributes:
        learner: their trainer.
        people: how many.
    """

    learner: Lying
    people: int

    def members(self) -> tuple[User, ...]:
        """Return who trains population and groups."""
        return super().members()[: self.people]

    def trainer(self) -> Lying:  # type: ignore[override]
        """Return the trainer of liars and others."""
        return self.learner


@dataclass
class Changed:
    """Devices of which some change a masked vector before it leaves.

    Attributes:
        answer: of all devices.
        lie: what they make of it.
        liars: their seats.
        rng: draws.
    """

    answer: "Callable[[Sequence[Pair]], list[NodeMessage]]"
    lie: Lie
    liars: frozenset[int]
    rng: np.random.Generator
    _stage: str = ""

    def __call__(self, pairs: "Sequence[Pair]") -> "list[NodeMessage]":
        """Answer, and change what leaves."""
        replies = self.answer(pairs)
        for (message, node), reply in zip(pairs, replies, strict=True):
            if (order := message.content.config_records.get("order")) is not None:
                self._stage = str(order["stage"])
            if node.node_config[PARTITION] in self.liars and reply.has_content():
                self._change(reply)
        return replies

    def _change(self, reply: NodeMessage) -> None:
        """Change a reply if it is a masked vector of a part in which liars lie."""
        if self.lie.masked is None or self._stage not in STAGES:
            return
        answers = reply.content.array_records.get("answer")
        if answers is None or answers["bytes"].data[0] != Phase.MASK:
            return
        data = answers["bytes"].data
        head, body = data[:HEADER_NBYTES], data[HEADER_NBYTES:]
        reply.content = reply_of(head + self.lie.masked(body, self.rng))


def lies(
    size: Size | None = None,
    base: RunConfig | None = None,
    wanted: Sequence[Lie] = LIES,
    *,
    show: Show = lambda _: None,
) -> dict[str, object]:
    """Train honestly and with each lie; return what became of it.

    Args:
        size: how much is trained.
        base: of the runs: people, backbone and seed.
        wanted: the lies.
        show: told of each lie before it is trained.

    Returns:
        Circumstances, and `rows` with one entry for each lie and part.
    """
    keep_freed_memory()
    size, base = size or Size(), base or RunConfig()
    site = RunSite(base)
    rows: list[dict[str, Any]] = []
    honest: dict[str, float] = {}
    for lie in (HONEST, *wanted):
        show(lie.name)
        found = _rows(site, size, lie)
        honest = honest or {row["part"]: row["loss"] for row in found}
        for row in found:
            row["against_honest"] = row["loss"] / honest[row["part"]] - 1
        rows += found
    quick = " --quick" if base.quick else ""
    return {
        "command": f"proper-sim bench lies{quick} --json --seed {base.seed}",
        **circumstances(base.seed),
        **vars(size),
        "band": BAND,
        "rows": rows,
    }


def _rows(site: RunSite, size: Size, lie: Lie) -> list[dict[str, Any]]:
    """Train population, search and groups with liars; return one row for each part."""
    canary = site.canary()
    if canary is None:
        raise ValueError("got people without public texts, expected a world")
    gauge = Gauge(canary.measure)
    with tempfile.TemporaryDirectory() as folder:
        parts, rounds = _train(site, size, lie, Path(folder), gauge)
    losses = held_out(site, parts[-1])
    return [
        {
            "lie": lie.name,
            "part": part.stage,
            "liars": len(lie.liars(size.members, site.config.seed)),
            **_log(rounds[part.stage]),
            **_released(part, gauge),
            "loss": losses[part.stage],
        }
        for part in parts
    ]


def _train(
    site: RunSite, size: Size, lie: Lie, folder: Path, gauge: Gauge
) -> tuple[list[Part], Mapping[str, tuple[Round, ...]]]:
    """Run a federation with liars; return both parts, and the log of all rounds."""
    seed, nodes = site.config.seed, size.members
    liars = lie.liars(nodes, seed)
    names = frozenset(site.members()[seat].user_id for seat in liars)
    learner = Lying(site.trainer(), lie, names)
    people = LyingSite(site.config, learner, nodes)
    participant = Participant(people, FolderKeeper(folder))
    changed = Changed(participant.answer, lie, liars, np.random.default_rng(seed))
    plan = Plan(
        cohort_size=size.cohort,
        seed=seed,
        min_nodes=nodes,
        max_failures=size.rounds + 1,  # a block with a liar may fail whenever it is due
    )
    store = Store(folder / "store", f"bench lies {lie.name}")
    lead = Coordinator(plan, store, gauge=gauge, base=learner.base, suite_for=suite_for)
    schedules = shortened(site.settings, size.rounds)
    parts: list[Part] = []
    source = both_parts(site.trainer().blueprint.parts(schedules), parts)
    lead.run(MemoryGrid(changed, nodes), source)
    return parts, store.rounds()


def _log(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return how many rounds came to nothing, why the last, and who was missing."""
    failed = [done.failed for done in rounds if done.failed]
    return {
        "rounds": len(rounds),
        "dropped_rounds": len(failed),
        "why": failed[-1] if failed else None,
        "dropouts": sum(len(done.dropped) for done in rounds if not done.failed),
    }


def _released(part: Part, gauge: Gauge) -> dict[str, Any]:
    """Return whether what a part came to is sound."""
    loss = gauge.measure(part)
    finite = all(np.isfinite(array).all() for array in part.values.values())
    inside = loss is not None and gauge.holds(part.stage, loss)
    return {"finite": bool(finite), "canary": loss, "inside": inside}


def as_text(result: Mapping[str, Any], *, as_json: bool) -> str:
    """Return one line for each lie and part, or the JSON of all of it."""
    if as_json:
        return json.dumps(result, indent=1)
    heads = ["part", "lie", "liars", "rounds dropped", "dropouts", "released"]
    lines = [[*heads, "canary", "held out", "against honest %"]]
    for row in sorted(result["rows"], key=lambda row: STAGES.index(row["part"])):
        sound = "finite" if row["finite"] else "NOT FINITE"
        band = "in band" if row["inside"] else "OUT OF BAND"
        lines.append(
            [
                row["part"],
                row["lie"],
                str(row["liars"]),
                f"{row['dropped_rounds']} of {row['rounds']}",
                str(row["dropouts"]),
                f"{sound}, {band}",
                f"{row['canary']:.4f}",
                f"{row['loss']:.4f}",
                f"{100 * row['against_honest']:+.2f}",
            ]
        )
    return aligned(lines)
