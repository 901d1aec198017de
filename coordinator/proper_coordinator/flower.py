"""The coordinator's half of a federation, as a Flower ServerApp.

The parts are trained one after the other. A round offers one order to a block of
nodes, lets a collector add what comes back, looks at the sum, moves the part by it, and
is complete once the store has it. Everything before that can be repeated.

Nodes are called by their seat, a number that they keep; Flower's own numbers are drawn
anew at each start, and a block chosen by them could not be chosen again. Who is here is
looked up before each round (see `attendance`).

How much one vector may weigh is agreed upon before it is sent: the first round of each
kind begins with a probe, a sum of the norms alone, from which the bounds follow; after
that each round brings the norms for the next.

Covered: nodes that drop out of a round, whatever the reason; the log names them. Sums
that cannot come from honest nodes, which are dropped and logged. Noise, see `noise`.
Not covered: who lies within the bounds of an honest update.
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from proper_coordinator.attendance import Attendance, Seats
from proper_coordinator.checks import Gauge, check_norms, way_on
from proper_coordinator.conversation import Conversation
from proper_coordinator.line import (
    AWAY,
    Line,
    Node,
    StoppedError,
)
from proper_coordinator.names import Names
from proper_coordinator.noise import Purse, SpentError
from proper_coordinator.plan import Plan, blocks, cohorts
from proper_coordinator.store import Checkpoint, Dropout, Round, Store
from proper_shared.aggregation import Sum
from proper_shared.errors import ProtocolError
from proper_shared.friendly import one_line
from proper_shared.offers import Offer
from proper_shared.packing import Layout
from proper_shared.privacy.budget import Budget, without_privacy
from proper_shared.rounds import FederatedPart, Order, Outline, Part
from proper_shared.secagg.keys import STANDARD, Suite
from proper_shared.terms import Bounds, Terms, kind_of
from proper_shared.vectors.bounds import NORMS
from proper_shared.vectors.encoding import ring_for

__all__ = ["Coordinator", "Progress", "StoppedError", "server_app"]

MIN_COHORT = 10  # that a device's policy asks for, unless its person changed it
ATTEMPTS = 2  # at one sum; under noise each is paid for, so there is one
NO_BASE = "0" * 64  # where there is no backbone

Limits = Mapping[str, float]  # block -> largest L2 norm

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """One complete round, for whoever watches.

    Attributes:
        stage: Of the part.
        round: From 0.
        rounds: How many the part has.
        outcome: What happened in it.
    """

    stage: str
    round: int
    rounds: int
    outcome: Round


@dataclass
class Coordinator:
    """Leads a federation from wherever its store says that it stands.

    Attributes:
        plan: Who takes part, and how long to wait.
        store: Where complete rounds go.
        watch: Called after each complete round.
        gauge: Judges a part by public texts after each round; None where there are
            none.
        stop: Set it from another thread to end the run with `StoppedError`.
        names: Of federation and run; None for a federation in one machine.
        base: What is adapted and how; see `offers.base_hash`.
        log: Of the federation's members, shown to the nodes; empty in a simulation.
        seats: Who sits where; None takes the nodes' word for it.
        suite_for: How signatures of a round are verified and secrets agreed on.
        outline: What all parts will ask for; only noise needs it.
        say: Told what an operator should know: of the noise, and who is waited for.
    """

    plan: Plan
    store: Store
    watch: Callable[[Progress], None] = lambda _: None
    gauge: Gauge | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    names: Names | None = None
    base: str = NO_BASE
    log: bytes = b""
    seats: Seats | None = None
    suite_for: Callable[[Offer], Suite] = lambda _: STANDARD
    outline: Sequence[Outline] = ()
    say: Callable[[str], None] = _log.info
    purse: Purse | None = field(default=None, init=False)

    def run(self, grid: Grid, parts: Iterable[FederatedPart]) -> None:
        """Train the parts in their order, each from its last complete round.

        Args:
            grid: The nodes.
            parts: Taken one at a time, after the one before is finished, so that a
                generator can build each from the result of the last. They are changed
                in place.

        Raises:
            ConfigError: there is no noise for the privacy that the plan wants, or too
                many members are gone for good.
            ProtocolError: too few nodes came, or round after round failed.
            StoppedError: the run was asked to stop.
        """
        line = Line(grid, self.plan.poll_s, self.stop)
        here = Attendance(line, self.plan, self.log, self.seats, self.say)
        here.gather()
        here.check_blocks(divided := self._blocks(here))
        if self.seats is not None and (least := min(map(len, divided))) < MIN_COHORT:
            self.say(
                f"a block has {least} members: devices with the default policy refuse "
                f"to be asked with fewer than {MIN_COHORT}"
            )
        self._open_purse(divided)
        spent = False  # from there on parts stay as they begin
        for number, part in enumerate(parts):
            if spent:
                continue
            try:
                self._run_part(here, part, number)
            except SpentError as error:
                self.say(f"training ends here: {error}")
                spent = True
        if self.purse is not None:
            self.say(self.purse.standing())

    @property
    def budget(self) -> Budget:
        """What a release of this run says of its privacy."""
        return without_privacy() if self.purse is None else self.purse.budget()

    def _open_purse(self, divided: tuple[tuple[int, ...], ...]) -> None:
        if (wanted := self.plan.privacy) is None:
            return
        seed = self.plan.seed
        self.purse = Purse.of(wanted, self.store, divided, self.outline, seed)
        for words in self.purse.opening(self.outline):
            self.say(words)

    def _run_part(self, here: Attendance, part: FederatedPart, number: int) -> None:
        """Train one part to its end; its number keeps its order of blocks apart.

        Raises:
            SpentError: a block has nothing left for its next round.
        """
        log: list[Round] = []
        bounds = self.store.bounds(part.stage)
        if saved := self.store.load(part.stage):
            part.restore(saved.state)
            log = list(saved.rounds)
            if self.gauge is not None and log:
                self.gauge.recall(part.stage, log[-1].public_best)
        rounds = part.schedule.rounds
        chosen = cohorts(self._blocks(here), (self.plan.seed, number))
        for round_, cohort in enumerate(islice(chosen, rounds)):
            if round_ < len(log):
                continue
            members = here.members(cohort)
            log.append(_Round(self, here, members, bounds).run(part, round_))
            checkpoint = Checkpoint(part.state(), tuple(log), bounds)
            self.store.save(part.stage, checkpoint)
            self.watch(Progress(part.stage, round_, rounds, log[-1]))
            self._give_up(log)

    def _blocks(self, here: Attendance) -> tuple[tuple[int, ...], ...]:
        """Return the blocks of the run, which are divided once.

        All who belong to the federation are in them, also those who are away now.
        """
        size, seed = self.plan.cohort_size, self.plan.seed
        return self.store.blocks(lambda: blocks(here.everybody, size, seed))

    def _give_up(self, log: list[Round]) -> None:
        """End a run in which round after round fails.

        Raises:
            ProtocolError: with the reason of the last failure.
        """
        last = log[-self.plan.max_failures :]
        # A sum that public texts speak against is a failure, but no surprise in noise.
        odd = [r for r in last if r.failed and not (self.purse and r.count)]
        if len(odd) == self.plan.max_failures:
            raise ProtocolError(
                f"{len(last)} rounds failed one after the other; the last: "
                f"{last[-1].failed}",
                hint=way_on(last[-1].failed or ""),
            )


@dataclass
class _Round:
    """One round from its offer to its end.

    Attributes:
        lead: Whose round it is.
        here: Who is here.
        members: The block, by seat.
        bounds: Of all kinds of vectors so far; a round brings its own up to date.
    """

    lead: Coordinator
    here: Attendance
    members: Mapping[int, Node]
    bounds: Bounds
    dropped: dict[int, str] = field(default_factory=dict)
    _next: tuple[str, dict[str, float]] = ("", {})

    def run(self, part: FederatedPart, round_: int) -> Round:
        """Try to move the part by one sum; say how it went."""
        started = time.monotonic()
        line = self.here.line
        down, up = line.bytes_down, line.bytes_up
        loss, count, failed = math.nan, 0, None
        if (gauge := self.lead.gauge) is not None:
            gauge.last = None  # a round without a sum is not measured
        try:
            total = self._sum(part, round_)
            count = total.count
            loss = self._move(part, round_, total)
            self.bounds |= dict([self._next])
        except ProtocolError as error:
            failed = str(error)
            _log.warning("%s %d failed: %s", part.stage, round_ + 1, failed)
        return Round(
            loss=loss if math.isfinite(loss) else None,
            count=count,
            failed=failed,
            public_best=gauge.best(part.stage) if gauge else None,
            public=gauge.last if gauge else None,
            dropped=self._dropouts(),
            seconds=time.monotonic() - started,
            bytes_down=line.bytes_down - down,
            bytes_up=line.bytes_up - up,
        )

    def _sum(self, part: FederatedPart, round_: int) -> Sum:
        """Return the sum of the block's vectors, and fit the bounds to it.

        Raises:
            ProtocolError: there is none, or it cannot come from honest nodes.
        """
        self.dropped = {s: AWAY for s, n in self.members.items() if n.number is None}
        self.here.expect_quorum(self.members)
        order, layout = part.order(round_), part.layout(round_)
        done = self._attempts(order, part, self._bounds_for(order, part, layout))
        check_norms(done.terms, done.sum)
        self._next = kind_of(layout), done.terms.next_bounds(done.sum)
        if self.lead.purse is not None and isinstance(part, Part):
            part.noise = done.terms.deviations(done.sum.count)
        return done.terms.update_of(done.sum)

    def _bounds_for(self, order: Order, part: FederatedPart, layout: Layout) -> Limits:
        """Return the bounds of a round: fixed under noise, else from sums before."""
        if self.lead.purse is not None:
            return self.lead.purse.bounds(order, layout)
        if (kind := kind_of(layout)) in self.bounds:
            return self.bounds[kind]
        probe = self._attempts(order, part, {})
        check_norms(probe.terms, probe.sum)
        fresh = probe.terms.next_bounds(probe.sum)
        self.bounds[kind] = {name: fresh[name] for name in fresh if name != NORMS}
        self.lead.store.keep_bounds(part.stage, self.bounds)
        return self.bounds[kind]

    def _attempts(self, order: Order, part: FederatedPart, bounds: Limits) -> "_Done":
        layout, serial = part.layout(order.round), self.lead.store.next_serial()
        attempts = 1 if self.lead.purse else ATTEMPTS
        for attempt in range(attempts):
            offer = self._offer(serial, attempt, bounds, layout.size)
            terms = Terms(offer, order, layout)
            if self.lead.purse is not None:  # before anything of the round leaves
                self.lead.purse.pay(tuple(self.members), terms)
            self.dropped = {}  # who was missing in a sum before may be in this one
            try:
                return _Done(terms, self._converse(terms))
            except ProtocolError as error:
                if attempt == attempts - 1:
                    raise
                _log.warning("attempt %d failed: %s", attempt + 1, error)
        raise ProtocolError("no attempt was made")

    def _offer(self, serial: int, attempt: int, bounds: Limits, length: int) -> Offer:
        store, plan = self.lead.store, self.lead.plan
        noise = self.lead.purse.noise if self.lead.purse else None
        multiplier = noise.multiplier if noise else 0.0
        names = self.lead.names or Names.of(store.identity)
        return Offer(
            federation=names.federation,
            base=self.lead.base,
            run=names.run,
            serial=serial,
            attempt=attempt,
            cohort=tuple(sorted(node.identity for node in self.members.values())),
            masked=plan.masked,
            ring_bits=ring_for(len(self.members), length, multiplier).bits,
            bounds=dict(bounds),
            noise=noise,
        )

    def _converse(self, terms: Terms) -> Sum:
        """Return the sum of the block on these terms.

        Raises:
            ProtocolError: there is none.
        """
        suite, plan = self.lead.suite_for(terms.offer), self.lead.plan
        talk = Conversation(self.here.line, plan, self.members, self.dropped)
        return talk.run(terms, suite)

    def _move(self, part: FederatedPart, round_: int, total: Sum) -> float:
        """Move the part by a sum, and back if public texts then fare badly."""
        if self.lead.gauge is not None:
            self.lead.gauge.begin(part)
        before = {name: array.copy() for name, array in part.state().items()}
        loss = part.apply(round_, total.total, total.count)
        if self.lead.gauge is not None:
            try:
                self.lead.gauge.check(part)
            except ProtocolError:
                part.restore(before)
                raise
        return loss

    def _dropouts(self) -> tuple[Dropout, ...]:
        """Write down who is not in the sum, and say it."""
        dropped = tuple(
            Dropout(seat=seat, node_id=self.members[seat].number or 0, reason=reason)
            for seat, reason in sorted(self.dropped.items())
        )
        for drop in dropped:
            seat = (self.lead.seats or {}).get(drop.seat)
            name = f"{seat.name} (seat {drop.seat})" if seat and seat.name else ""
            who = one_line(name) or f"seat {drop.seat}"
            _log.warning("%s dropped out: %s", who, drop.reason)
        return dropped


@dataclass(frozen=True)
class _Done:
    terms: Terms
    sum: Sum


def server_app(run: Callable[[Grid, Context], None]) -> ServerApp:
    """Return a ServerApp that does nothing but `run`."""
    app = ServerApp()
    app.main()(run)
    return app
