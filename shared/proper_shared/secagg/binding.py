"""What every mask and every signature of a round is bound to.

Members who were told different things (another model, plan, cohort, roster) derive
other masks and sign other bytes: what they send adds up to noise, and no quorum agrees.
Pasquini, Francati, Ateniese 2022 ("Eluding secure aggregation in federated learning via
model inconsistency") is why the parameters are among those things.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from proper_shared.errors import ProtocolError
from proper_shared.secagg.ring import Ring

VERSION = "proper/secagg/1"


class Label(StrEnum):
    """One label for each purpose: no two uses of a hash, key or signature meet."""

    CONTEXT = "context"
    JOIN = "join"
    COMMITMENT = "commitment"
    ROSTER = "roster"
    SHARERS = "sharers"
    SURVIVORS = "survivors"
    AGREEMENT = "agreement"
    CHANNEL = "channel"
    SELF_MASK = "self mask"
    PAIR_MASK = "pair mask"
    AUDIT = "audit"


_HEADS = {label: f"{VERSION}/{label}/".encode() for label in Label}
_size = struct.Struct(">I").pack


def framed(label: Label, *parts: bytes) -> bytes:
    """Return label and parts as one string, from which they can be told again."""
    return _HEADS[label] + b"".join([_size(len(part)) + part for part in parts])


def digest(label: Label, *parts: bytes) -> bytes:
    """Return SHA-256 of label and parts, 32 bytes."""
    return hashlib.sha256(framed(label, *parts)).digest()


@dataclass(frozen=True)
class RoundId:
    """One attempt at one round, and all that whoever takes part must have in common.

    Attributes:
        federation: hash of the first entry of the membership log, 32 bytes.
        run: drawn by the coordinator once for each run, 16 bytes.
        stage: the part that is trained.
        serial: number of the round over all stages of the run.
        attempt: 0, or 1 where the round is tried again.
        plan: see `proper_shared.offers.plan_hash`, 32 bytes.
        parameters: hash of the parameters as received, 32 bytes.
        ring_bits: 16 or 24.
        length: Q, numbers in the vector of one member.

    Raises:
        ProtocolError: a field has another length or range.
        FormatError: there is no such ring.
    """

    federation: bytes
    run: bytes
    stage: str
    serial: int
    attempt: int
    plan: bytes
    parameters: bytes
    ring_bits: int
    length: int

    def __post_init__(self) -> None:
        sizes = {"federation": 32, "run": 16, "plan": 32, "parameters": 32}
        for name, size in sizes.items():
            if (got := len(getattr(self, name))) != size:
                raise ProtocolError(f"got {got} bytes as {name}, expected {size}")
        for name in ("serial", "attempt"):
            if not 0 <= (number := getattr(self, name)) < 2**31:
                raise ProtocolError(f"got {number} as {name}, expected 0 to 2^31 - 1")
        if not 0 < self.length < 2**31:
            raise ProtocolError(f"got vectors of {self.length}, expected 1 to 2^31 - 1")
        Ring(self.ring_bits)

    @property
    def ring(self) -> Ring:
        """The ring in which vectors are added."""
        return Ring(self.ring_bits)

    @property
    def order(self) -> tuple[int, int]:
        """What has to grow from one signature of a member to its next."""
        return self.serial, self.attempt

    def context(self, cohort: Sequence[bytes]) -> bytes:
        """Return `ctx`, the 32 bytes to which everything in the round is bound.

        Args:
            cohort: identities that are asked, in the order of their places.
        """
        numbers = (self.serial, self.attempt, self.ring_bits, self.length)
        return digest(
            Label.CONTEXT,
            self.federation,
            self.run,
            self.stage.encode(),
            b"".join(number.to_bytes(4, "big") for number in numbers),
            self.plan,
            self.parameters,
            *cohort,
        )


def two_bytes(*places: int) -> bytes:
    """Return places in the cohort as they stand in hashes and messages."""
    return struct.pack(f">{len(places)}H", *places)


@dataclass(frozen=True)
class View:
    """What one member has seen of who takes part, and what it therefore signs.

    Attributes:
        context: see `RoundId.context`.
        roster: hash of the roster as received.
        sharers: U2, places whose shares were passed on, ascending.
    """

    context: bytes
    roster: bytes
    sharers: tuple[int, ...]

    @cached_property
    def both(self) -> bytes:
        """H(roster) and H(U2), to which pair masks are bound."""
        return self.roster + digest(Label.SHARERS, two_bytes(*self.sharers))

    def agreement(self, survivors: Sequence[int]) -> bytes:
        """Return the bytes to sign when `survivors`, U3, are to be added up."""
        seen = digest(Label.SURVIVORS, two_bytes(*survivors))
        return framed(Label.AGREEMENT, self.context, self.both, seen)
