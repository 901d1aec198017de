"""What a round costs beside training: `proper-sim bench round`.

Bytes: what one client sends and receives in a round, all phases of the protocol, as the
contents of the real messages of the memory engine (without Flower's envelopes, TLS and
gRPC). Beside it FlowerTune's way for the same adapter: the whole PEFT LoRA, both
factors, 4 bytes a number, in each direction and round. A federation here alternates the
factors and sends 2 bytes a number; given is the mean of a round for B and one for A.
Round 0 of each factor sends a sum of norms first, from which bounds follow: `probe`.

`by_shape` is arithmetic for published models with FlowerTune's adapter: the numbers of
a factor, and the protocol's own bytes as measured for the same cohort.

Time: seconds between one checkpoint and the next, less those inside the trainer, over
all of them. Clients of the memory engine are trained in one pass and answer one after
the other in one process, and each signature is verified once. Rounds with a probe are
left out of the shares and given apart. Nothing here is a network's.
"""

import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proper_client.trainer import Trainer
from proper_coordinator.plan import Plan
from proper_shared.allocator import keep_freed_memory
from proper_shared.packing import Layout, Vector
from proper_shared.rounds import FederatedPart, Order, Part
from proper_simulations.bench.measure import circumstances
from proper_simulations.config import RunConfig
from proper_simulations.federation import Job, run_federation
from proper_simulations.report.terminal import aligned
from proper_simulations.settings import Settings
from proper_simulations.site import RunSite

if TYPE_CHECKING:
    from proper_client.member import Member
    from proper_coordinator.flower import Progress

COHORTS = (30, 100)
ROUNDS = 8  # of population and of groups; the first two hold a probe each
SEARCH = 4  # rounds of the search for groups, which is not measured
FLOAT32, RING = 4, 2  # bytes a number


@dataclass(frozen=True)
class Decoder:
    """The shape of a published model, as far as its adapter goes.

    Attributes:
        blocks: how many.
        hidden: width of what goes into q and v.
        query: width of what comes out of q.
        value: width of what comes out of v.
    """

    blocks: int
    hidden: int
    query: int
    value: int

    def factors(self, rank: int) -> tuple[int, int]:
        """Return how many numbers all A and all B of a LoRA on q and v hold."""
        return (
            self.blocks * rank * 2 * self.hidden,
            self.blocks * rank * (self.query + self.value),
        )


# From the configurations that the models are published with.
DECODERS = {
    "Llama 3.2 1B": Decoder(blocks=16, hidden=2048, query=2048, value=512),
    "Mistral 7B": Decoder(blocks=32, hidden=4096, query=4096, value=1024),
}
RANK = 32  # FlowerTune's


class Timed:
    """A trainer whose time is taken.

    Args:
        trainer: does the work.
        clock: seconds, monotonic.

    Attributes:
        seconds: spent in training so far.
    """

    def __init__(self, trainer: Trainer, clock: Callable[[], float]) -> None:
        self._trainer, self._clock, self.base = trainer, clock, trainer.base
        self.seconds = 0.0

    def layout(self, order: Order) -> Layout:
        """Return what lies where in an update for this order."""
        return self._trainer.layout(order)

    def train(self, order: Order, members: "Sequence[Member]") -> list[Vector]:
        """Train, and take the time."""
        start = self._clock()
        try:
            return self._trainer.train(order, members)
        finally:
            self.seconds += self._clock() - start


@dataclass(frozen=True)
class Spans:
    """How long a round took.

    Attributes:
        stage: of its part.
        round: from 0.
        seconds: from the checkpoint before to its own.
        training: of these, inside the trainer.
        sent: bytes from one client.
        received: bytes to one client.
    """

    stage: str
    round: int
    seconds: float
    training: float
    sent: float
    received: float


@dataclass
class Watch:
    """Takes a federation's times and bytes, round by round.

    Attributes:
        timed: the trainer.
        clock: seconds, monotonic.
        spans: of all rounds so far.
    """

    timed: Timed
    clock: Callable[[], float]
    spans: list[Spans] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._since, self._trained = self.clock(), self.timed.seconds

    def __call__(self, at: "Progress") -> None:
        """Take down a round that is complete."""
        done = at.outcome
        if done.failed or done.dropped:
            raise RuntimeError(f"{at.stage} {at.round} failed: {done.failed}")
        now, trained = self.clock(), self.timed.seconds
        seconds, training = now - self._since, trained - self._trained
        sent, received = done.bytes_up / done.count, done.bytes_down / done.count
        span = Spans(at.stage, at.round, seconds, training, sent, received)
        self.spans.append(span)
        self._since, self._trained = now, trained


@dataclass(frozen=True)
class TimedSite(RunSite):
    """The people of a run, whose trainer is timed.

    Attributes:
        timed: the trainer.
    """

    timed: Timed

    def trainer(self) -> Timed:  # type: ignore[override]
        """Return the trainer whose time is taken."""
        return self.timed


def round_cost(
    cohorts: Sequence[int] = COHORTS,
    base: RunConfig | None = None,
    *,
    rounds: int = ROUNDS,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, object]:
    """Run a few rounds of each part for each cohort, with masks and without.

    Args:
        cohorts: members of a round.
        base: of the runs.
        rounds: of population and of groups; 3 or more.
        clock: seconds, monotonic.

    Returns:
        Circumstances, `rows` with one entry for each part, cohort and way, and in
        `by_shape` the bytes for published models.
    """
    keep_freed_memory()  # as a run does
    base = base or RunConfig(users=1)
    rows = [
        row
        for cohort in cohorts
        for masked in (True, False)
        for row in _rows(base, cohort, rounds, clock, masked=masked)
    ]
    return {
        "command": f"proper-sim bench round --json --seed {base.seed}",
        **circumstances(base.seed),
        "rounds": rounds,
        "rows": rows,
        "by_shape": [
            by_shape(name, row["cohort"], row["protocol_sent"])
            for name in DECODERS
            for row in rows
            if row["masked"] and row["part"] == "population"
        ],
    }


def _rows(
    base: RunConfig,
    cohort: int,
    rounds: int,
    clock: Callable[[], float],
    *,
    masked: bool,
) -> list[dict[str, Any]]:
    """Run population, search and groups for one cohort; return both parts' costs."""
    site = RunSite(base)
    trainer = site.trainer()
    timed = Timed(trainer, clock)
    parts: list[Part] = []
    schedules = shortened(site.settings, rounds)
    source = both_parts(trainer.blueprint.parts(schedules), parts)
    plan = Plan(cohort_size=cohort, seed=base.seed, masked=masked)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(len(site.members()), Path(folder), "bench round", plan)
        watch = Watch(timed, clock)
        run_federation(source, TimedSite(base, timed), job, watch)
    who = {"cohort": cohort, "masked": masked}
    return [
        {"part": part.stage, **who, **_cost(part, watch, masked=masked)}
        for part in parts
    ]


def shortened(settings: Settings, rounds: int) -> Settings:
    """Return settings whose parts have only so many rounds."""
    counts = {"population": rounds, "grouping": SEARCH, "group": rounds}
    changed = {
        name: getattr(settings, name).model_copy(update={"rounds": count})
        for name, count in counts.items()
    }
    return settings.model_copy(update=changed)


def both_parts(
    source: Iterator[FederatedPart], kept: list[Part]
) -> Iterator[FederatedPart]:
    """Pass on population, search and groups, and keep those that are measured."""
    for part in islice(source, 3):
        if isinstance(part, Part):
            kept.append(part)
        yield part


def _cost(part: Part, watch: Watch, *, masked: bool) -> dict[str, Any]:
    """Return what the rounds of a part cost."""
    own = [span for span in watch.spans if span.stage == part.stage]
    probes, usual = own[:2], own[2:]
    rests = [span.seconds - span.training for span in usual]
    shares = [rest / s.seconds for rest, s in zip(rests, usual, strict=True)]
    pair = usual[:2]  # one for each factor
    sent = statistics.mean(span.sent for span in pair)
    vector = statistics.mean(part.layout(span.round).size for span in pair)
    numbers = sum(map(math.prod, part.shape.trained.values()))
    return {
        "round_s": statistics.median(span.seconds for span in usual),
        "training_s": statistics.median(span.training for span in usual),
        "rest_s": statistics.median(rests),
        "share": statistics.median(shares),
        "probe_rest_s": statistics.mean(s.seconds - s.training for s in probes),
        "numbers": numbers,
        "sent": sent,
        "received": statistics.mean(span.received for span in pair),
        "probe_sent": probes[0].sent - usual[0].sent,
        "protocol_sent": sent - (RING if masked else FLOAT32) * vector,
        "flowertune": FLOAT32 * numbers,
        "sent_share": sent / (FLOAT32 * numbers),
    }


def by_shape(name: str, cohort: int, protocol: float) -> dict[str, Any]:
    """Return the bytes that a client sends for a published model's adapter.

    Args:
        name: of `DECODERS`.
        cohort: members of a round.
        protocol: bytes that are not the vector.
    """
    numbers = sum(DECODERS[name].factors(RANK))
    sent = RING * numbers / 2 + protocol
    flower = FLOAT32 * numbers
    return {
        "model": name,
        "rank": RANK,
        "cohort": cohort,
        "numbers": numbers,
        "sent": sent,
        "flowertune": flower,
        "sent_share": sent / flower,
    }


def as_text(result: Mapping[str, Any], *, as_json: bool) -> str:
    """Return one line for each part, cohort and way, or the JSON of all of it."""
    if as_json:
        return json.dumps(result, indent=1)
    heads = ["part", "cohort", "masks", "round s", "training s", "rest s", "rest %"]
    lines = [
        [
            *heads,
            "rest s with probe",
            "sent kB",
            "FlowerTune kB",
            "sent %",
            "received kB",
        ]
    ]
    lines += [_line(row) for row in result["rows"]]
    lines += [
        [row["model"], str(row["cohort"]), "yes", *["-"] * 5, *_bytes(row), "-"]
        for row in result["by_shape"]
    ]
    return aligned(lines)


def _line(row: Mapping[str, Any]) -> list[str]:
    seconds = [f"{row[name]:.2f}" for name in ("round_s", "training_s", "rest_s")]
    share, probe = f"{100 * row['share']:.1f}", f"{row['probe_rest_s']:.2f}"
    masks, received = "yes" if row["masked"] else "no", f"{row['received'] / 1e3:,.1f}"
    who = [row["part"], str(row["cohort"]), masks]
    return [*who, *seconds, share, probe, *_bytes(row), received]


def _bytes(row: Mapping[str, Any]) -> list[str]:
    sizes = [f"{row[name] / 1e3:,.1f}" for name in ("sent", "flowertune")]
    return [*sizes, f"{100 * row['sent_share']:.2f}"]
