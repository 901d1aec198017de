"""The coordinator's half: ask five times, and come to the sum or to nothing.

Whoever is silent or wrong in a phase is lost from then on and not asked again. Below a
quorum the round is over without a sum. A sum is only given out after each secret that
went into it was checked against what its owner had announced.

Covered: members that lie in any message but the vector itself; the round then goes on
without them, or says why not.
Not covered: a vector that is a lie, which nobody can see under masks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from proper_shared.errors import FormatError, ProtocolError
from proper_shared.secagg import messages, shamir
from proper_shared.secagg.binding import RoundId, View, two_bytes
from proper_shared.secagg.keys import STANDARD, Suite, has_low_order
from proper_shared.secagg.messages import NO_SHARE, SEALED_NBYTES, Advert, Phase, Roster
from proper_shared.secagg.quorum import Quorum
from proper_shared.secagg.recovery import Recovery, UnrecoverableError
from proper_shared.secagg.ring import Elements
from proper_shared.secagg.unmasking import Unmasking

Bodies = dict[int, bytes]  # by place
# Why devices that are there may refuse to agree: see the guard on the client.
AGREED_BEFORE = "who agreed to a sum of this order agrees again for the same members"


@dataclass(frozen=True)
class RingSum:
    """What a round came to.

    Attributes:
        total: sum of the vectors that are in it, (Q,), elements of the ring.
        seats: whose vectors they are, ascending.
        lost: the phase in which a seat fell silent or was refused, by seat. From phase
            "agree" on its vector is in the sum nevertheless.
        refused: why what a seat sent was not taken, by seat.
    """

    total: Elements
    seats: tuple[int, ...]
    lost: dict[int, str] = field(default_factory=dict)
    refused: dict[int, str] = field(default_factory=dict)


class Collector:
    """One attempt at one round.

    Args:
        round_id: what everybody has in common.
        roster: identity of each seat that is asked.
        suite: how signatures are verified and secrets agreed on.

    Attributes:
        lost: the phase in which a seat fell silent or was refused, by seat.
        refused: why what a seat sent was not taken, by seat.

    Raises:
        ProtocolError: an identity in two seats, or no quorum exists for so many.
    """

    _roster: Roster  # U1, once they joined
    _sealed: dict[int, Bodies]  # by sender, then by receiver
    _view: View  # with U2, once they dealt shares
    _survivors: tuple[int, ...]  # U3, once their vectors came
    _vectors: Bodies

    def __init__(
        self, round_id: RoundId, roster: Mapping[int, bytes], suite: Suite = STANDARD
    ) -> None:
        self._quorum = Quorum(len(roster))
        self._cohort = tuple(sorted(set(roster.values())))
        if len(self._cohort) < len(roster):
            raise ProtocolError("got an identity in two seats")
        self._seats = sorted(roster, key=lambda seat: roster[seat])  # by place
        self._round, self._ring, self._suite = round_id, round_id.ring, suite
        self._context = round_id.context(self._cohort)
        self.lost: dict[int, str] = {}
        self.refused: dict[int, str] = {}
        self._phase: Phase | None = Phase.JOIN
        self._asked = False
        self._news = b""  # what everybody is told next
        self._alive = tuple(range(len(roster)))
        self._keys: set[bytes] = set()
        self._failure: ProtocolError | None = None
        self._sum: RingSum | None = None

    def requests(self) -> Mapping[int, bytes]:
        """Return what to ask which seat next; empty when the round is over."""
        if (phase := self._phase) is None:
            return {}
        self._asked = True
        bodies = {
            place: self._deal(place) if phase is Phase.MASK else self._news
            for place in self._alive
        }
        return {
            self._seats[place]: messages.write(phase, self._context, body)
            for place, body in bodies.items()
        }

    def receive(self, answers: Mapping[int, bytes]) -> None:
        """Take what came back; a seat that is missing did not answer.

        Raises:
            ProtocolError: nothing was asked.
        """
        if (phase := self._phase) is None or not self._asked:
            raise ProtocolError("got answers, expected a look at the requests first")
        self._asked = False
        sound = self._sound(phase, answers)
        gone = set(self._alive) - sound.keys()
        self.lost |= {self._seats[place]: phase.title for place in sorted(gone)}
        self._alive = tuple(sound)
        size, threshold = self._quorum.size, self._quorum.threshold
        needed = threshold if phase is Phase.OPEN else size
        if len(sound) < needed:
            self._fail(f"got {len(sound)} sound answers", phase, needed)
        else:
            self._take(phase, sound)

    def result(self) -> RingSum:
        """Return the sum.

        Raises:
            ProtocolError: the round is not over, fell below its quorum, or a secret
                that the sum needs cannot be had.
        """
        if self._failure:
            raise self._failure
        if self._sum is None:
            raise ProtocolError("got no sum yet, expected the last phase to be over")
        return self._sum

    def _fail(self, what: str, phase: Phase, needed: int) -> None:
        self._phase = None
        words = (
            f"{what} in the phase {phase.title}, expected {needed} "
            f"of {self._quorum.cohort_size}"
        )
        if phase is Phase.AGREE:
            words += f"; {AGREED_BEFORE}"
        self._failure = ProtocolError(words)

    def _sound(self, phase: Phase, answers: Mapping[int, bytes]) -> Bodies:
        """Return the bodies of answers that pass, in ascending places."""
        for seat in answers.keys() - {self._seats[place] for place in self._alive}:
            self.refused.setdefault(seat, f"answered {phase.title} without being asked")
        sound: Bodies = {}
        for place in self._alive:
            if (seat := self._seats[place]) in answers:
                try:
                    sound[place] = self._checked(phase, place, answers[seat])
                except (FormatError, ProtocolError) as error:
                    self.refused[seat] = f"{phase.title}: {error}"
        return sound

    def _checked(self, phase: Phase, place: int, answer: bytes) -> bytes:
        """Return the body of one answer, or raise what is wrong with it."""
        got, context, body = messages.read(answer)
        if got is not phase or context != self._context:
            raise ProtocolError("got an answer to another request")
        match phase:
            case Phase.JOIN:
                self._check_advert(place, Advert.parse(body))
            case Phase.SHARE:
                messages.read_rows(body, len(self._roster) - 1, SEALED_NBYTES)
            case Phase.MASK:
                nbytes = self._round.length * self._ring.nbytes
                messages.expect_length(body, nbytes, "a vector")
            case Phase.AGREE:
                message = self._view.agreement(self._survivors)
                if not self._suite.verify(self._cohort[place], body, message):
                    raise ProtocolError("got no signature on the view of this round")
            case Phase.OPEN:
                messages.read_rows(body, len(self._view.sharers), shamir.NBYTES)
        return body

    def _check_advert(self, place: int, advert: Advert) -> None:
        message = advert.signed(self._context, place)
        pair = {advert.channel, advert.mask}
        if not self._suite.verify(self._cohort[place], advert.signature, message):
            raise ProtocolError("got keys that this seat did not sign")
        if len(pair) < 2 or pair & self._keys:
            raise ProtocolError("got a key that stands in the roster already")
        if any(map(has_low_order, pair)):
            raise ProtocolError("got a key of low order")
        self._keys |= pair

    def _take(self, phase: Phase, sound: Bodies) -> None:
        """Take up the answers of a phase, and turn to the next."""
        match phase:
            case Phase.JOIN:
                adverts = {place: Advert.parse(body) for place, body in sound.items()}
                self._roster = Roster(adverts)
                self._news = self._roster.dump()
            case Phase.SHARE:
                self._sealed = {place: self._by_peer(place, sound) for place in sound}
                self._view = View(self._context, self._roster.digest, tuple(sound))
            case Phase.MASK:
                self._survivors = tuple(sound)
                self._vectors = sound
                self._news = two_bytes(*self._survivors)
            case Phase.AGREE:
                enough = list(sound)[: self._quorum.size]
                self._news = messages.write_table({p: sound[p] for p in enough})
            case Phase.OPEN:
                self._finish(sound)
        self._phase = Phase(phase + 1) if phase is not Phase.OPEN else None

    def _by_peer(self, place: int, sound: Bodies) -> Bodies:
        peers = [peer for peer in self._roster if peer != place]
        rows = messages.read_rows(sound[place], len(peers), SEALED_NBYTES)
        return dict(zip(peers, rows, strict=True))

    def _deal(self, place: int) -> bytes:
        """Return the request of the phase mask: what others sealed for this place."""
        sharers = self._view.sharers
        others = (peer for peer in sharers if peer != place)
        return messages.write_deal(sharers, (self._sealed[p][place] for p in others))

    def _finish(self, sound: Bodies) -> None:
        sharers = self._view.sharers
        rows: dict[int, dict[int, int]] = {}
        for holder, body in sound.items():
            shares = messages.read_rows(body, len(sharers), shamir.NBYTES)
            pairs = zip(sharers, shares, strict=True)
            rows[holder] = {
                owner: int.from_bytes(share, "big")
                for owner, share in pairs
                if share != NO_SHARE
            }
        recovery = Recovery(rows, len(sharers), self._quorum.threshold)
        unmasking = Unmasking(self._view, self._roster, recovery, self._suite)
        try:
            total = unmasking.sum(self._round, self._vectors)
        except UnrecoverableError as error:
            seat = self._seats[error.owner]
            self.refused[seat] = f"open: {error}"
            self._failure = ProtocolError(f"no sum without seat {seat}: {error}")
        else:
            seats = tuple(sorted(self._seats[place] for place in self._survivors))
            self._sum = RingSum(total, seats, self.lost, self.refused)
        for place in sorted(recovery.liars):
            self.refused[self._seats[place]] = (
                "open: sent a share that does not fit the others'"
            )
