"""What the two sides say, in one binary form for each message.

    phase | coordinator asks with          | a member answers with
    1     | nothing                        | its advert
    2     | roster: place, advert of each  | sealed shares for each other in the roster
    3     | sharers (U2), what they sealed | its vector under masks
    4     | survivors (U3)                 | a signature on its view
    5     | Q signatures on that view      | one share for each of the sharers

Before each stand the phase (1 byte) and `ctx` (32 bytes). A member is named by its
place in the cohort (2 bytes, big end first), lists run in ascending places, and where
a list follows from an earlier message it is not repeated.

Covered: every other length, order or place; nothing is read beyond 1,000 entries.
Not covered: what a message means; that is for `checks`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import pairwise

from proper_shared.errors import FormatError
from proper_shared.secagg.binding import Label, digest, framed, two_bytes
from proper_shared.secagg.keys import TAG_NBYTES
from proper_shared.secagg.quorum import LARGEST
from proper_shared.secagg.shamir import NBYTES

HEADER_NBYTES = 1 + 32
SIGNATURE_NBYTES = 64
SEALED_NBYTES = 2 * NBYTES + TAG_NBYTES  # a share of the key, a share of the seed
NO_SHARE = b"\xff" * NBYTES  # in the place of a share that was not received


class Phase(IntEnum):
    """The phases of a round, in their order."""

    JOIN = 1
    SHARE = 2
    MASK = 3
    AGREE = 4
    OPEN = 5

    @property
    def title(self) -> str:
        """How the phase is called in errors."""
        return self.name.lower()


def write(phase: Phase, context: bytes, body: bytes) -> bytes:
    """Return a message of a phase."""
    return bytes([phase]) + context + body


def read(data: bytes) -> tuple[Phase, bytes, bytes]:
    """Return phase, context and body of a message.

    Raises:
        FormatError: it is too short, or there is no such phase.
    """
    if len(data) < HEADER_NBYTES:
        raise FormatError(f"got {len(data)} bytes, expected {HEADER_NBYTES} or more")
    try:
        phase = Phase(data[0])
    except ValueError:
        raise FormatError(f"got the unknown phase {data[0]}") from None
    return phase, data[1:HEADER_NBYTES], data[HEADER_NBYTES:]


@dataclass(frozen=True)
class Advert:
    """What a member makes known of itself for one round.

    Attributes:
        channel: X25519 key under which shares are sealed for it, 32 bytes.
        mask: X25519 key from which pair masks come, 32 bytes.
        commitment: hash of the seed of its own mask, 32 bytes.
        signature: of its identity on all that, 64 bytes.
    """

    channel: bytes
    mask: bytes
    commitment: bytes
    signature: bytes = b""

    NBYTES = 32 + 32 + 32 + SIGNATURE_NBYTES

    def signed(self, context: bytes, place: int) -> bytes:
        """Return the bytes that the signature is on."""
        keys = (self.channel, self.mask, self.commitment)
        return framed(Label.JOIN, context, two_bytes(place), *keys)

    def dump(self) -> bytes:
        """Return the advert as bytes."""
        return self.channel + self.mask + self.commitment + self.signature

    @classmethod
    def parse(cls, data: bytes) -> "Advert":
        """Return the advert in `data`.

        Raises:
            FormatError: of any other length.
        """
        expect_length(data, cls.NBYTES, "an advert")
        return cls(data[:32], data[32:64], data[64:96], data[96:])


class Roster(dict[int, Advert]):
    """The adverts of those who joined, by place, ascending; never changed later."""

    def dump(self) -> bytes:
        """Return the roster as bytes."""
        return write_table({place: advert.dump() for place, advert in self.items()})

    @classmethod
    def parse(cls, data: bytes, cohort_size: int) -> "Roster":
        """Return the roster in `data`.

        Raises:
            FormatError: it is malformed.
        """
        table = read_table(data, Advert.NBYTES, cohort_size)
        return cls({place: Advert.parse(entry) for place, entry in table.items()})

    @cached_property
    def digest(self) -> bytes:
        """The hash to which masks and signatures are bound, 32 bytes."""
        return digest(Label.ROSTER, self.dump())


def write_table(entries: Mapping[int, bytes]) -> bytes:
    """Return entries of one size, each after its place, in ascending places."""
    return b"".join(two_bytes(place) + entries[place] for place in sorted(entries))


def read_table(data: bytes, nbytes: int, cohort_size: int) -> dict[int, bytes]:
    """Return entries of `nbytes` by place.

    Raises:
        FormatError: a cut entry, an unknown place, or not in ascending order.
    """
    rows = _cut(data, 2 + nbytes)
    places = _ascending([row[:2] for row in rows], cohort_size)
    return {place: row[2:] for place, row in zip(places, rows, strict=True)}


def read_places(data: bytes, cohort_size: int) -> tuple[int, ...]:
    """Return places.

    Raises:
        FormatError: a cut or unknown place, or not in ascending order.
    """
    return _ascending(_cut(data, 2), cohort_size)


def write_deal(sharers: Sequence[int], sealed: Iterable[bytes]) -> bytes:
    """Return the request of phase 3; `sealed` runs over the other sharers."""
    return two_bytes(len(sharers), *sharers) + b"".join(sealed)


def read_deal(
    data: bytes, place: int, cohort_size: int
) -> tuple[tuple[int, ...], dict[int, bytes]]:
    """Return the sharers, and what each but the member at `place` sealed for it.

    Raises:
        FormatError: it is malformed.
    """
    if len(data) < 2:
        raise FormatError(f"got {len(data)} bytes, expected how many sharers there are")
    end = 2 + 2 * int.from_bytes(data[:2], "big")
    sharers = read_places(data[2:end], cohort_size)
    others = [other for other in sharers if other != place]
    if len(sharers) * 2 + 2 != end:
        raise FormatError(f"got {len(sharers)} places, expected {(end - 2) // 2}")
    return sharers, dict(zip(others, read_rows(data[end:], len(others)), strict=True))


def read_rows(
    data: bytes, count: int, nbytes: int = SEALED_NBYTES
) -> tuple[bytes, ...]:
    """Return `count` rows of `nbytes`.

    Raises:
        FormatError: of any other length.
    """
    expect_length(data, count * nbytes, f"{count} rows")
    return _cut(data, nbytes)


def expect_length(data: bytes, nbytes: int, what: str) -> None:
    """Raise unless there are so many bytes; `what` names them in the error.

    Raises:
        FormatError: of any other length.
    """
    if len(data) != nbytes:
        raise FormatError(f"got {len(data)} bytes as {what}, expected {nbytes}")


def _cut(data: bytes, nbytes: int) -> tuple[bytes, ...]:
    if len(data) % nbytes or len(data) // nbytes > LARGEST:
        raise FormatError(
            f"got {len(data)} bytes, expected {nbytes} for each of {LARGEST} at most"
        )
    return tuple(data[i : i + nbytes] for i in range(0, len(data), nbytes))


def _ascending(fields: Sequence[bytes], cohort_size: int) -> tuple[int, ...]:
    places = tuple(int.from_bytes(field, "big") for field in fields)
    if any(a >= b for a, b in pairwise(places)):
        raise FormatError("got places that do not ascend")
    if places and places[-1] >= cohort_size:
        raise FormatError(f"got place {places[-1]} in a cohort of {cohort_size}")
    return places
