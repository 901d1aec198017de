"""Add the updates of one round, and know nothing else about them.

A round is a conversation of one or more phases. The coordinator alternates between
`requests` (what to ask whom) and `receive` (what came back) until nothing is left to
ask; `result` is then the sum and who is in it. A device answers each request from its
half of the conversation. Whoever carries the messages needs no more than this.

Here is the way without masks, which exists for comparison: one phase, everybody sends
the vector as it is. For both ways see `summing`.

Covered by the plain way: answers of the wrong length, with NaN or infinity, or from
strangers; each costs its sender the round, never the others.
Not covered by the plain way: privacy. The coordinator sees every single update.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from proper_shared.errors import ProtocolError

PLAIN = b""  # the one request of a round without masks


@dataclass(frozen=True)
class Sum:
    """What a round came to.

    Attributes:
        total: Sum of the vectors that are in it, (Q,).
        seats: Whose vectors are in it, ascending.
        refused: What was wrong with an answer, by the seat that sent it; whoever erred
            after their vector was added is in the sum all the same.
    """

    total: NDArray[np.float64]
    seats: tuple[int, ...]
    refused: dict[int, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many vectors are in it."""
        return len(self.seats)


class Collector(Protocol):
    """The coordinator's half of one round."""

    def requests(self) -> Mapping[int, bytes]:
        """Return what to ask which seat next; empty when the round is over."""
        ...

    def receive(self, answers: Mapping[int, bytes]) -> None:
        """Take what came back; a seat that is missing did not answer."""
        ...

    def result(self) -> Sum:
        """Return the sum.

        Raises:
            ProtocolError: the round is not over, or nothing in it can be added.
        """
        ...


class Contribution(Protocol):
    """One device's half of one round."""

    @property
    def done(self) -> bool:
        """Whether all is said, so that a sum with this vector in it may be opened."""
        ...

    def answer(self, request: bytes) -> bytes:
        """Return what the device sends to this request.

        Raises:
            ProtocolError: the request makes no sense at this point of the round.
        """
        ...

    def abort(self) -> None:
        """Forget all secrets; nothing is answered after that."""
        ...

    def suspend(self) -> dict[str, bytes]:
        """Return what another process needs to go on; for simulations alone.

        Empty where nothing more will be asked.
        """
        ...


class PlainContribution:
    """One vector, sent in clear.

    Args:
        vector: (Q,) what is sent.

    Attributes:
        done: Whether it was sent.
    """

    def __init__(self, vector: NDArray[np.floating]) -> None:
        self._vector = vector.astype("<f4")
        self.done = False

    def answer(self, request: bytes) -> bytes:
        """Return the vector as it is.

        Raises:
            ProtocolError: the request is one under masks.
        """
        if request != PLAIN:
            raise ProtocolError("got a request under masks, expected a plain one")
        self.done = True
        return self._vector.tobytes()

    def abort(self) -> None:
        """Do nothing: a vector in clear is no secret."""

    def suspend(self) -> dict[str, bytes]:
        """Return nothing: there is one phase."""
        return {}


class PlainCollector:
    """One phase: everybody is asked once, what is sound is added.

    The sum runs over the seats in ascending order, whenever they answered: float64
    additions do not commute to the last bit, and a resumed run shall repeat them.

    Args:
        roster: The seats that are asked.
        length: Q, how many numbers each owes.
    """

    def __init__(self, roster: Sequence[int], length: int) -> None:
        self._waiting = frozenset(roster)
        self._length = length
        self._asked = False
        self._sound: dict[int, NDArray[np.float32]] = {}
        self._refused: dict[int, str] = {}

    def requests(self) -> Mapping[int, bytes]:
        """Ask the whole roster the first time, nobody after that."""
        if self._asked:
            return {}
        self._asked = True
        return dict.fromkeys(sorted(self._waiting), PLAIN)

    def receive(self, answers: Mapping[int, bytes]) -> None:
        """Keep what is sound, note why the rest is not."""
        for seat, answer in answers.items():
            try:
                self._sound[seat] = self._read(seat, answer)
            except ProtocolError as error:
                self._refused[seat] = str(error)

    def result(self) -> Sum:
        """Add what is sound.

        Raises:
            ProtocolError: there is nothing to add.
        """
        if not self._sound:
            raise ProtocolError(
                f"none of {len(self._waiting)} nodes sent an update that can be added"
            )
        total = np.zeros(self._length, np.float64)
        for seat in sorted(self._sound):
            total += self._sound[seat]
        return Sum(total, tuple(sorted(self._sound)), dict(self._refused))

    def _read(self, seat: int, answer: bytes) -> NDArray[np.float32]:
        if seat not in self._waiting:
            raise ProtocolError("not in the roster of this round")
        if len(answer) != 4 * self._length:
            raise ProtocolError(
                f"got {len(answer)} bytes, expected {self._length} numbers of 4"
            )
        vector = np.frombuffer(answer, "<f4")
        if not np.isfinite(vector).all():
            raise ProtocolError("got NaN or infinity")
        return vector
