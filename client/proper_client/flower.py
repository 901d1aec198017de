"""A device's half of a federated round, as a Flower ClientApp.

One function answers a list of messages: a resident client passes one, a simulation that
sees a whole cohort passes all, and then the cohort trains in one pass. The first letter
of a round brings an offer and an order: the device looks at the offer, trains, and
opens a session, from which it answers the later letters. What it learns about its
person is kept in the node's `Context.state`.

Covered: messages that are not exactly a letter of ours get an error that names the
fault; an error in training says only its kind, because its words may quote a history;
an order that is sent twice starts from the same state and gives the same update; a
state moves on when the round's sum may be opened, and not before.
Not covered: what may be read from a sum, and from a single update without masks.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from flwr.app import ConfigRecord, Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from numpy.typing import NDArray

from proper_client.letters import (
    Letter,
    Opening,
    check_session,
    introduction,
    read_letter,
    read_log,
    reply_of,
)
from proper_client.member import Member, State
from proper_client.memory import from_bytes, to_bytes
from proper_client.node_state import (
    NOTHING,
    Keeper,
    Memory,
    When,
    read_memory,
    write_memory,
)
from proper_client.site import Gate, Learner, Site, Update
from proper_shared.aggregation import Contribution
from proper_shared.errors import ProtocolError
from proper_shared.history import User
from proper_shared.offers import Offer
from proper_shared.orders import parse_order, read_parameters
from proper_shared.secagg.checks import Refusal
from proper_shared.secagg.keys import Signer
from proper_shared.summing import contribute, offer_of, resume
from proper_shared.terms import Terms

if TYPE_CHECKING:
    from proper_shared.rounds import Order

REFUSED = 1001  # the message is not one that we answer
FAILED = 1002  # the message is sound, training was not possible
SESSION = "session"  # name of an open session in a node's context
MEMORY = "memory"  # in it: what is remembered if it comes to its end
PARTITION = "partition-id"  # Flower's key in a simulated node's configuration

_log = logging.getLogger(__name__)

Pair = tuple[Message, Context]
OrderKey = tuple[str, bytes]


@dataclass(frozen=True)
class Session:
    """One round that a seat is in.

    Attributes:
        number: serial and attempt.
        contribution: answers.
        memory: what is remembered if it comes to its end; None of a probe.
        terms: of the round; None where the session came from another process.
    """

    number: tuple[int, int]
    contribution: Contribution
    memory: Memory | None
    terms: Terms | None = None


@dataclass(frozen=True)
class _Trained:
    """What a member learnt from an order, and will remember if it counts."""

    key: OrderKey
    update: Update
    memory: Memory


@dataclass(frozen=True)
class _Task:
    """One member of a cohort that has to train."""

    index: int  # of the message
    letter: Letter
    seat: int
    terms: Terms
    member: Member
    start: State  # what the member's state was before this round


class Participant:
    """Answers the coordinator for all nodes of this process.

    Args:
        site: Users, identities and trainer.
        keeper: Where states go besides the node's context; None where that is enough.
        gate: What refuses offers; None in a simulation, where nobody is at risk.
        portable: Keep open sessions in the node's context too, for simulations whose
            processes take turns with a node; a device never does.
    """

    def __init__(
        self,
        site: Site,
        keeper: Keeper | None = None,
        gate: Gate | None = None,
        *,
        portable: bool = False,
    ) -> None:
        self._site, self._keeper, self._gate = site, keeper, gate
        self._portable = portable
        self._orders: dict[OrderKey, Order] = {}  # of this call: parsed once,
        self._terms: dict[tuple[bytes, OrderKey], Terms] = {}  # and worked out once
        self._trained: dict[int, _Trained] = {}  # the last, by seat
        self._sessions: dict[int, Session] = {}

    @cached_property
    def _trainer(self) -> Learner:
        return self._site.trainer()

    def warm_up(self) -> None:
        """Load what trains now, which else takes its minutes out of the first round.

        Raises:
            ProperError: it cannot be loaded.
        """
        _ = self._trainer.base

    def answer(self, pairs: Sequence[Pair]) -> list[Message]:
        """Answer each message, training all who got the same order in one pass.

        Never raises for what a message says: the reply is then an error.
        """
        self._orders.clear()
        self._terms.clear()
        contents: list[RecordDict | Error] = [Error(REFUSED)] * len(pairs)
        cohorts: dict[OrderKey, list[_Task]] = defaultdict(list)
        for index, (message, context) in enumerate(pairs):
            try:
                done = self._read(index, message, context)
            except ProtocolError as error:
                contents[index] = self._refuse(error)
                continue
            if isinstance(done, _Task):
                opening = done.letter.opening
                cohorts[opening.order_key if opening else ("", b"")].append(done)
            else:
                contents[index] = done
        for key, tasks in cohorts.items():
            for task, update in zip(tasks, self._train(key, tasks), strict=True):
                context = pairs[task.index][1]
                contents[task.index] = self._first(key, task, update, context)
        return [
            Message(content, reply_to=message)
            for content, (message, _) in zip(contents, pairs, strict=True)
        ]

    def _read(
        self, index: int, message: Message, context: Context
    ) -> RecordDict | Error | _Task:
        """Answer what needs no training, and return a task for what does."""
        seat = _seat(context)
        if message.metadata.message_type == "query":
            if self._gate is not None:
                self._gate.see(read_log(message))
            return introduction(seat, self._signer(seat).identity.hex())
        letter = read_letter(message)
        if letter.opening is None:
            return self._later(seat, letter, context)
        terms = self._open(letter, letter.opening)
        key, when = letter.opening.order_key, When.of(terms)
        trained = self._trained.get(seat)
        if trained and (trained.key, trained.memory.last) == (key, when):
            return self._begin(seat, terms, trained, letter.request, context)
        user = self._user(seat)
        start = self._recall(seat, context).start_of(when)
        return _Task(index, letter, seat, terms, Member(user, dict(start)), start)

    def _open(self, letter: Letter, opening: Opening) -> Terms:
        """Return the terms of an offered round, unless they are refused."""
        offer = Offer.parse(opening.offer)
        check_session(letter, offer)
        if offer.base != self._trainer.base:
            raise Refusal("other-model", "got an offer for another backbone or task")
        key = opening.order_key
        if key not in self._orders:
            parameters = read_parameters(opening.parameters)
            self._orders[key] = parse_order(opening.header, parameters)
        order = self._orders[key]
        if (opening.offer, key) not in self._terms:
            terms = Terms(offer, order, self._trainer.layout(order))
            terms.check()
            self._terms[opening.offer, key] = terms
        terms = self._terms[opening.offer, key]
        if self._gate is not None:
            self._gate.admit(terms)
        return terms

    def _later(self, seat: int, letter: Letter, context: Context) -> RecordDict:
        """Answer a later letter from the session that the first one opened."""
        session = self._sessions.get(seat)
        if self._portable:
            session = self._take_up(seat, context)
        if session is None or session.number != letter.session:
            raise ProtocolError("got a letter of a session that is not open here")
        return self._answer(seat, session, letter.request, context)

    def _train(self, key: OrderKey, tasks: list[_Task]) -> list[Update | Error]:
        """Train the cohort of one order; if somebody spoils it, each trains alone."""
        order = self._orders[key]
        try:
            updates = self._trainer.train(order, [task.member for task in tasks])
            for task, update in zip(tasks, updates, strict=True):
                _check_finite(update, *task.member.state.values())
        except Exception as error:  # noqa: BLE001  one member's fault ends one answer
            if len(tasks) == 1:
                _log.exception("training failed for seat %d", tasks[0].seat)
                return [Error(FAILED, f"training failed: {type(error).__name__}")]
        else:
            return list(updates)
        for task in tasks:
            task.member.state = dict(task.start)
        return [self._train(key, [task])[0] for task in tasks]

    def _first(
        self, key: OrderKey, task: _Task, update: Update | Error, context: Context
    ) -> RecordDict | Error:
        """Answer the first letter of a round after training, for the next one too."""
        if isinstance(update, Error):
            return update
        memory = Memory(When.of(task.terms), task.start, task.member.state)
        trained = _Trained(key, update, memory)
        try:
            request = task.letter.request
            reply = self._begin(task.seat, task.terms, trained, request, context)
        except ProtocolError as error:
            return self._refuse(error)
        self._trained[task.seat] = trained
        return reply

    def _begin(
        self,
        seat: int,
        terms: Terms,
        trained: _Trained,
        request: bytes,
        context: Context,
    ) -> RecordDict:
        """Open a session with an update and answer its first request."""
        if self._gate is not None:
            self._gate.adding(terms, trained.update)
        me, rounding = self._site.me(seat, terms.offer), self._site.rounding
        contribution = contribute(terms, me, trained.update, rounding(seat, terms))
        number = terms.offer.serial, terms.offer.attempt
        if (old := self._sessions.pop(seat, None)) is not None:
            old.contribution.abort()
        memory = None if terms.probing else trained.memory  # a probe moves nothing
        self._sessions[seat] = Session(number, contribution, memory, terms)
        return self._answer(seat, self._sessions[seat], request, context)

    def _answer(
        self, seat: int, session: Session, request: bytes, context: Context
    ) -> RecordDict:
        """Answer from a session; one that refuses is over, and its secrets are gone.

        The answer is made first: a request that nobody can answer costs nothing. What
        it costs is on the disk before it is returned.
        """
        try:
            answer = session.contribution.answer(request)
            if self._gate is not None and session.terms is not None:
                self._gate.leaving(session.terms, request)
        except BaseException:  # a full disk too: what was made must not be answered on
            session.contribution.abort()
            raise
        if session.memory is not None and session.contribution.done:
            write_memory(context.state, session.memory)
            if self._keeper:
                self._keeper.save(seat, session.memory)
        if self._portable:
            away = session.contribution.suspend()
            if away and session.memory is not None:
                away[MEMORY] = to_bytes(session.memory)
            context.state[SESSION] = ConfigRecord({**away})
        return reply_of(answer)

    def _take_up(self, seat: int, context: Context) -> Session | None:
        """Return the session in the context, if there is one."""
        record = context.state.config_records.get(SESSION, ConfigRecord())
        found = {name: data for name, data in record.items() if isinstance(data, bytes)}
        if not found:
            return None
        offer = offer_of(found)
        contribution = resume(found, self._site.me(seat, offer))
        kept = found.get(MEMORY)
        memory = None if kept is None else from_bytes(kept, "a session")
        return Session((offer.serial, offer.attempt), contribution, memory)

    def _refuse(self, error: ProtocolError) -> Error:
        if self._gate is None:
            return Error(REFUSED, str(error))
        self._gate.refused(error)
        return Error(REFUSED, "refused")  # why would tell about the person

    def _user(self, seat: int) -> User:
        try:
            return self._site.user(seat)
        except IndexError:
            raise ProtocolError(f"there is no user at seat {seat}") from None

    def _signer(self, seat: int) -> Signer:
        try:
            return self._site.signer(seat)
        except IndexError:
            raise ProtocolError(f"there is no user at seat {seat}") from None

    def _recall(self, seat: int, context: Context) -> Memory:
        """Return the state of the node, from its context or from what was saved."""
        if (memory := read_memory(context.state)) is not None:
            return memory
        saved = self._keeper.load(seat) if self._keeper else None
        return saved or NOTHING


def client_app(open_participant: Callable[[Context], Participant]) -> ClientApp:
    """Return the ClientApp of a node.

    Args:
        open_participant: Gives the participant of this process; it is called for each
            message, so it should remember. A Ray simulation pickles it.
    """
    app = ClientApp()

    @app.train()
    @app.query()
    def handle(message: Message, context: Context) -> Message:
        """Answer one message: a cohort of one."""
        return open_participant(context).answer([(message, context)])[0]

    return app


def _check_finite(*arrays: NDArray[np.floating]) -> None:
    if not all(np.isfinite(array).all() for array in arrays):
        raise FloatingPointError("training left NaN or infinity")


def _seat(context: Context) -> int:
    seat = context.node_config.get(PARTITION)
    if type(seat) is not int:
        raise ProtocolError(f"this node has no {PARTITION}, expected a number")
    return seat
