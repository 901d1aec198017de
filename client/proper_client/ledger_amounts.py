"""What the door keeps in mind between two lines of the ledger: amounts, no more.

The ledger shall be exact and yet not grow with each poll. So a line may stand for many
messages, for one that is tried again, or for many refusals of one kind; here is counted
what such a line will have to say.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Self

from proper_client.ledger_entry import Place, Purpose
from proper_shared.secagg.checks import Refusal


class NothingLeftError(Exception):
    """Raised by a wire that did not come about: none of the bytes left.

    Args:
        why: what is told to whoever wanted to send.
    """

    def __init__(self, why: Exception) -> None:
        super().__init__(str(why))
        self.why = why


@dataclass(frozen=True)
class Parcel:
    """One message at the door."""

    purpose: Purpose
    place: Place
    nbytes: int
    sha256: str

    @classmethod
    def of(cls, data: bytes, purpose: Purpose, place: Place) -> Self:
        """Return what is to be said of a message."""
        return cls(purpose, place, len(data), hashlib.sha256(data).hexdigest())


@dataclass
class Reserve:
    """What may still leave under one line of the ledger."""

    purpose: Purpose
    left: int = 0  # bytes
    count: int = 0  # messages that left
    flying: int = 0  # messages of which it is not known yet
    over: bool = False  # nothing more is drawn from it
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def draw(self, nbytes: int) -> None:
        """Take for a message that is about to leave."""
        self.left -= nbytes
        self.flying += 1

    def land(self, data: bytes, *, sent: bool) -> None:
        """Say what became of a message that was drawn for."""
        self.flying -= 1
        if sent:
            self.count += 1
            self.digest.update(data)
        else:
            self.left += len(data)

    @property
    def is_settled(self) -> bool:
        """Whether nothing will change any more."""
        return self.over and not self.flying


@dataclass
class Repeats:
    """Refusals of one name that were not written down yet.

    Attributes:
        last: the newest.
        since: when the name was written down last, seconds of some clock.
        count: how many since then.
    """

    last: Refusal
    since: float
    count: int = 0
