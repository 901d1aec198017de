"""Take part in a federation for as long as the person lets the program run.

One process: it looks for messages, answers those that are ours, and waits out whatever
happens to the network or the coordinator. What decides about answers is elsewhere (see
`flower`, `policy`); here is the loop around it.

Covered: a coordinator that is away, starts anew or answers nonsense, a run that ended
meanwhile, a device that is not admitted (yet), messages of unknown kinds; Ctrl-C at any
moment. What the heart of a client cannot wait out ends the loop, by its name.
Not covered: a message that a killed process had already fetched is not fetched again;
the device is then a drop-out of that round.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from flwr.app import Context, Error, Message, RecordDict

from proper_client.flower import PARTITION, REFUSED, Pair
from proper_client.ledger import Door
from proper_client.ledger_entry import NOWHERE, Place, Purpose
from proper_client.resident import (
    AwayError,
    Fleet,
    GoneError,
    Letter,
    NotYetError,
    UnknownHereError,
)
from proper_shared.errors import ProtocolError
from proper_shared.friendly import one_line
from proper_shared.secagg.checks import Refusal

KINDS = frozenset({"query", "train"})
PAUSES_S = (
    0.1,
    0.4,
    1.0,
    2.0,
    5.0,
    10.0,
    20.0,
    30.0,
)  # between two tries; the last again
BEAT_S = 4.0

_log = logging.getLogger(__name__)

Answer = Callable[[Sequence[Pair]], list[Message]]
T = TypeVar("T")
Sort = Callable[[Message, Message], tuple[Purpose, Place]]


def sort_reply(asked: Message, reply: Message) -> tuple[Purpose, Place]:
    """Return why a reply leaves, and in which round, for the ledger."""
    if reply.has_error():
        return Purpose.ERROR, NOWHERE
    query = asked.metadata.message_type == "query"
    return (Purpose.QUERY if query else Purpose.UPDATE), NOWHERE


@dataclass
class Participation:
    """The loop of one device.

    Attributes:
        fleet: the way to the coordinator.
        door: where refusals are written down.
        answer: answers messages of ours.
        seat: of this device in the federation.
        stop: set it to end the loop.
        sort: says why a reply leaves.
        poll_s: between two looks for messages.
        idle_s: with `once`, how long to wait for more after the last answer.
    """

    fleet: Fleet
    door: Door
    answer: Answer
    seat: int
    stop: threading.Event = field(default_factory=threading.Event)
    sort: Sort = sort_reply
    poll_s: float = 0.25
    idle_s: float = 30.0
    _state: RecordDict = field(default_factory=RecordDict)
    _fault: Exception | None = None  # of the heart

    def run(
        self, *, once: bool = False, arrived: Callable[[int], None] = lambda _: None
    ) -> int:
        """Take part until `stop`; return how many requests were answered.

        Args:
            once: end when something was answered and nothing more comes.
            arrived: told Flower's number of this device, to be kept.

        Raises:
            ConfigError: the ledger cannot be written.
        """
        heart = threading.Thread(target=self._beat, daemon=True)
        answered = 0
        try:
            if not self.stop.is_set():
                self._again(lambda: arrived(self.fleet.arrive()))
                heart.start()
                answered = self._serve(once=once)
        finally:
            self.stop.set()
            if heart.is_alive():
                heart.join()
            self.fleet.leave()
        if self._fault is not None:
            raise self._fault
        return answered

    def _serve(self, *, once: bool) -> int:
        """Look for messages and answer them."""
        answered, idle = 0, 0.0
        while not self.stop.is_set():
            letter = self._look()
            if letter is not None:
                answered, idle = answered + self._handle(letter), 0.0
            elif once and answered and idle >= self.idle_s:
                break
            elif not self.stop.wait(self.poll_s):
                idle += self.poll_s
        return answered

    def _look(self) -> Letter | None:
        """Look for a message; one that cannot even be named is refused."""
        try:
            return self._again(self.fleet.look)
        except Refusal as refusal:
            self.door.refuse_again(refusal)
            return None

    def _handle(self, letter: Letter) -> int:
        """Answer one message, or refuse it; return 1 if it was answered."""
        try:
            message = self._again(lambda: self._opened(letter))
            if message is None:
                return 0
            reply = self._reply(message, letter.run_id)
        except Refusal as refusal:
            self.door.refuse(refusal)
            reply = Message(Error(REFUSED, "refused"), reply_to=letter.header)
        except GoneError as error:
            _log.info("a message came to nothing: %s", error)
            return 0
        return self._send(letter, reply)

    def _opened(self, letter: Letter) -> Message:
        """Return a message with its content, if it is of a run and a kind of ours."""
        self.fleet.check_run(letter.run_id)
        if letter.kind not in KINDS:
            raise Refusal(
                "unknown-message",
                f"got a {letter.kind[:40]!r} message, expected one of "
                f"{', '.join(sorted(KINDS))}",
            )
        message = self.fleet.open(letter)
        self.fleet.confirm(letter)
        return message

    def _reply(self, message: Message, run_id: int) -> Message:
        """Let the message be answered, in a context that stays from one to the next."""
        context = Context(
            run_id=run_id,
            node_id=message.metadata.dst_node_id,
            node_config={PARTITION: self.seat},
            state=self._state,
            run_config={},
        )
        (reply,) = self.answer([(message, context)])
        self._state = context.state
        return reply

    def _send(self, letter: Letter, reply: Message) -> int:
        """Send a reply; return 1 if somebody took it."""
        purpose, place = self.sort(letter.header, reply)
        try:
            self._again(lambda: self.fleet.reply(reply, purpose, place))
        except GoneError as error:
            _log.info("a reply came to nothing: %s", error)
            return 0
        except Refusal as refusal:
            self.door.refuse(refusal)
            return 0
        return 1 if not reply.has_error() else 0

    def _again(self, call: Callable[[], T]) -> T | None:
        """Call until it works or the loop is to end, with growing pauses."""
        for tries in range(10**9):
            try:
                return call()
            except (AwayError, UnknownHereError) as error:
                self._say(error, tries)
                if self.stop.wait(PAUSES_S[min(tries, len(PAUSES_S) - 1)]):
                    break
                if isinstance(error, UnknownHereError):
                    self._arrive_again()
        return None

    def _arrive_again(self) -> None:
        try:
            self.fleet.arrive()
        except (AwayError, UnknownHereError) as error:
            _log.debug("not yet: %s", error)
        except Refusal as refusal:
            self.door.refuse_again(refusal)

    def _say(self, error: AwayError | UnknownHereError, tries: int) -> None:
        """Say what is wrong, once, and what to do about it."""
        if isinstance(error, NotYetError):
            _log.debug("%s", error)
        elif tries in {0, len(PAUSES_S)}:
            hint = f" ({error.hint})" if error.hint else ""
            words = one_line(str(error)).rstrip(". ")
            _log.warning("%s; trying again%s", words, hint)

    def _beat(self) -> None:
        """Say now and then that this device is there, while it may be training."""
        try:
            while not self.stop.wait(BEAT_S):
                self._beat_once()
        except Exception as error:  # noqa: BLE001  it is raised where it is seen
            self._fault = error
            self.stop.set()

    def _beat_once(self) -> None:
        """Say that this device is there; the next time may go better than this one."""
        try:
            if not self.fleet.beat():
                _log.debug("the coordinator forgot this device")
        except Refusal as refusal:
            self.door.refuse_again(refusal)
        except ProtocolError as error:
            _log.debug("no heartbeat: %s", error)
