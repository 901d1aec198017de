"""Where a member's session stands: what it has no more use for is gone.

Two shapes, before and after the vector left, and the end. `dump` and `load` carry a
session from one process to another where an engine makes processes come and go.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from proper_shared.errors import FormatError
from proper_shared.secagg import keys
from proper_shared.secagg.binding import View, two_bytes
from proper_shared.secagg.keys import Entropy, KeyPair
from proper_shared.secagg.messages import Phase, Roster, read_places, read_table
from proper_shared.secagg.messages import write_table as table
from proper_shared.secagg.quorum import LARGEST
from proper_shared.secagg.ring import Elements, Ring
from proper_shared.secagg.shamir import NBYTES

Pair = tuple[bytes, bytes]  # a share of s_v, a share of b_v


@dataclass(frozen=True)
class Secrets:
    """What a member draws for one round.

    Attributes:
        channel: c_u, under which shares are sealed for it.
        mask: s_u, from which pair masks come.
        seed: b_u, from which its own mask comes: a scalar, 32 bytes, big end first.
    """

    channel: KeyPair
    mask: KeyPair
    seed: bytes = field(repr=False)

    @classmethod
    def draw(cls, entropy: Entropy) -> "Secrets":
        """Return fresh ones."""
        pairs = KeyPair.of(entropy(32)), KeyPair.of(entropy(32))
        (seed,) = keys.draw_scalars(entropy, 1)
        return cls(*pairs, seed.to_bytes(NBYTES, "big"))


@dataclass(frozen=True)
class Unmasked:
    """A session whose vector has not left.

    Attributes:
        due: the phase whose turn it is: join, share or mask.
        elements: the vector, (Q,).
        secrets: of this round.
        roster: its own advert alone, then all as received.
        own: its own shares of its own secrets, once they are dealt.
    """

    due: Phase
    elements: Elements = field(repr=False)
    secrets: Secrets = field(repr=False)
    roster: Roster = field(default_factory=Roster)
    own: Pair = field(default=(b"", b""), repr=False)


@dataclass(frozen=True)
class Masked:
    """A session whose vector has left.

    Attributes:
        due: the phase whose turn it is: agree or open.
        view: who takes part, as this member was told.
        held: shares of the sharers' secrets, by place.
        survivors: U3, once they are agreed on.
    """

    due: Phase
    view: View
    held: Mapping[int, Pair] = field(repr=False)
    survivors: tuple[int, ...] = ()


@dataclass(frozen=True)
class Over:
    """A session that was opened or given up; nothing is left of it."""

    due: None = None


State = Unmasked | Masked | Over


def dump(state: State, ring: Ring) -> bytes:
    """Return a state as bytes, secrets in clear."""
    match state:
        case Unmasked(due, elements, secrets, roster, own):
            pairs = (secrets.channel.secret, secrets.mask.secret)
            fields = (ring.to_bytes(elements), *pairs, secrets.seed)
            return _frame(bytes([due]), *fields, roster.dump(), *own)
        case Masked(due, view, held, survivors):
            seen = (view.context, view.roster, two_bytes(*view.sharers))
            shares = table({place: b"".join(pair) for place, pair in held.items()})
            return _frame(bytes([due]), *seen, shares, two_bytes(*survivors))
        case Over():
            return b""


def load(data: bytes, ring: Ring) -> State:
    """Return the state that `dump` wrote.

    Raises:
        FormatError: it is no such thing.
    """
    if not data:
        return Over()
    try:
        return _load(*_unframe(data), ring=ring)
    except (TypeError, ValueError, IndexError):
        raise FormatError("got a malformed snapshot of a session") from None


def _load(due: bytes, *fields: bytes, ring: Ring) -> State:
    phase = Phase(due[0])
    if phase < Phase.AGREE:
        elements, channel, mask, seed, roster, key_share, seed_share = fields
        return Unmasked(
            phase,
            ring.from_bytes(elements),
            Secrets(KeyPair.of(channel), KeyPair.of(mask), seed),
            Roster.parse(roster, LARGEST),
            (key_share, seed_share),
        )
    context, digest, sharers, shares, survivors = fields
    held = read_table(shares, 2 * NBYTES, LARGEST)
    return Masked(
        phase,
        View(context, digest, read_places(sharers, LARGEST)),
        {place: (pair[:NBYTES], pair[NBYTES:]) for place, pair in held.items()},
        read_places(survivors, LARGEST),
    )


def _frame(*fields: bytes) -> bytes:
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


def _unframe(data: bytes) -> list[bytes]:
    fields, start = [], 0
    while start < len(data):
        end = start + 4 + int.from_bytes(data[start : start + 4], "big")
        if end > len(data):
            raise FormatError("got a snapshot that was cut off")
        fields.append(data[start + 4 : end])
        start = end
    return fields
