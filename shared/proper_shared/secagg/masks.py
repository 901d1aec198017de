"""The masks of one vector, as its member adds them and the coordinator takes them off.

    masked = x_u + PRG(b_u) + sum_{v > u} PRG(k_uv) - sum_{v < u} PRG(k_uv)

u and v are places; k_uv comes from s_u and s_v, the same for both, so that over all who
are in the sum it vanishes. Whoever is lost is known to the coordinator by its s_v.
"""

from proper_shared.secagg import keys
from proper_shared.secagg.binding import Label, View, digest, two_bytes
from proper_shared.secagg.keys import Derive
from proper_shared.secagg.ring import Elements, Ring


def commitment(context: bytes, place: int, seed: bytes) -> bytes:
    """Return what is announced of `seed`, b_u; it hides all of its 256 bits."""
    return digest(Label.COMMITMENT, context, two_bytes(place), seed)


def channel_key(  # noqa: PLR0913, it is bound to all of this
    secret: bytes,
    context: bytes,
    roster: bytes,
    sender: int,
    receiver: int,
    *,
    derive: Derive = keys.derive,
) -> bytes:
    """Return the key under which `sender` seals shares for `receiver`, once.

    Args:
        secret: that both agreed on.
        context: of the round.
        roster: hash of the roster.
        sender: place of the sender; what it sealed is of no use in the other direction.
        receiver: place of the receiver.
        derive: of a suite.
    """
    ends = two_bytes(sender, receiver)
    return derive(secret, context, Label.CHANNEL, roster, ends)


def self_key(seed: bytes, context: bytes, place: int) -> bytes:
    """Return the key of a member's own mask."""
    return keys.derive(seed, context, Label.SELF_MASK, two_bytes(place))


def pair_key(
    secret: bytes, view: View, one: int, other: int, derive: Derive = keys.derive
) -> bytes:
    """Return the key of the mask that two members share, in either order."""
    ends = two_bytes(min(one, other), max(one, other))
    return derive(secret, view.context, Label.PAIR_MASK, view.both, ends)


def pair_sign(own: int, other: int) -> int:
    """Return the sign with which the member at `own` adds the mask of a pair."""
    return 1 if own < other else -1


def add(ring: Ring, total: Elements, key: bytes, sign: int) -> None:
    """Add the mask of `key` to `total` (Q,) in place, or take it off."""
    nbytes = ring.stream_nbytes(len(total))
    ring.add_stream(total, keys.keystream(key, nbytes), sign)
