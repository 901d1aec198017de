"""Take the masks off a sum: own masks of who stayed, pair masks of who was lost."""

from collections.abc import Mapping

from proper_shared.secagg import masks, shamir
from proper_shared.secagg.binding import RoundId, View
from proper_shared.secagg.keys import KeyPair, Suite
from proper_shared.secagg.messages import Roster
from proper_shared.secagg.recovery import Recovery
from proper_shared.secagg.ring import Elements


class Unmasking:
    """What the coordinator knows after the last phase.

    Args:
        view: who shared.
        roster: what they announced.
        recovery: the shares that were opened.
        suite: how secrets are agreed on.
    """

    def __init__(
        self, view: View, roster: Roster, recovery: Recovery, suite: Suite
    ) -> None:
        self._view, self._roster = view, roster
        self._recovery, self._suite = recovery, suite

    def sum(self, round_id: RoundId, vectors: Mapping[int, bytes]) -> Elements:
        """Return the sum of the vectors, (Q,).

        Args:
            round_id: says how long they are, and in which ring they are added.
            vectors: of the survivors, under masks, by place.

        Raises:
            UnrecoverableError: a secret does not come together.
        """
        ring = round_id.ring
        total = ring.zeros(round_id.length)
        for place, vector in vectors.items():
            total += ring.from_bytes(vector)
            seed = self._seed(place)
            masks.add(ring, total, masks.self_key(seed, self._view.context, place), -1)
        for gone in self._view.sharers:
            if gone not in vectors:
                pair = self._pair(gone)
                for place in vectors:
                    secret = self._suite.agree(pair, self._roster[place].mask)
                    key = masks.pair_key(secret, self._view, place, gone)
                    masks.add(ring, total, key, -masks.pair_sign(place, gone))
        return ring.reduce(total)

    def _seed(self, place: int) -> bytes:
        """Return b_v of a survivor."""
        committed = self._roster[place].commitment

        def is_right(number: int) -> bool:
            seed = number.to_bytes(shamir.NBYTES, "big")
            return masks.commitment(self._view.context, place, seed) == committed

        return self._recovery.secret(place, is_right).to_bytes(shamir.NBYTES, "big")

    def _pair(self, place: int) -> KeyPair:
        """Return s_v of a lost member."""
        public = self._roster[place].mask

        def is_right(number: int) -> bool:
            return KeyPair.of(number.to_bytes(shamir.NBYTES, "little")).public == public

        number = self._recovery.secret(place, is_right)
        return KeyPair.of(number.to_bytes(shamir.NBYTES, "little"))
