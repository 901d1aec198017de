"""Who the simulated members are to each other: identities, and whom they know.

Everybody knows and vouches for everybody; what a device would refuse is shown where
devices are tested. Rounding is seeded by person and round, so that a run can be
repeated and interrupted; masks are drawn from the system, since they leave no trace in
a sum. In one process each signature is verified once and each secret agreed on once.
"""

import functools
import hashlib

from proper_shared.offers import Offer
from proper_shared.privacy.gaussian import keystream
from proper_shared.secagg.keys import HeldSigner, Suite, memoising
from proper_shared.summing import Me
from proper_shared.terms import Terms
from proper_shared.vectors.rounding import RandomBytes


class Crowd:
    """The members of a simulated federation.

    Args:
        size: how many there are, at seats from 0.
        seed: of their identities and of rounding.
    """

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed = size, seed

    def signer(self, seat: int) -> HeldSigner:
        """Return the identity at a seat.

        Raises:
            IndexError: there is no such seat.
        """
        if not 0 <= seat < self.size:
            raise IndexError(seat)
        return _signer(self.seed, seat)

    def me(self, seat: int, offer: Offer) -> Me:
        """Return the member at a seat as it enters a round.

        Raises:
            IndexError: there is no such seat.
        """
        members = _members(self.size, self.seed)
        return Me(self.signer(seat), members, suite=suite_for(offer))

    def rounding(self, seat: int, terms: Terms) -> RandomBytes:
        """Return the random bytes by which a seat rounds in a round."""
        order = terms.order
        place = f"{self.seed}/{seat}/{order.stage}/{order.round}/{terms.probing}"
        return keystream(_key("rounding", place))


def suite_for(offer: Offer) -> Suite:
    """Return the suite that all members of a round in this process share."""
    return _suite(offer.run, offer.serial)


@functools.lru_cache(maxsize=1)
def _suite(_run: str, _serial: int) -> Suite:
    return memoising()


@functools.lru_cache(maxsize=2)
def _members(size: int, seed: int) -> dict[bytes, bool]:
    return {_signer(seed, seat).identity: True for seat in range(size)}


@functools.lru_cache(maxsize=100_000)
def _signer(seed: int, seat: int) -> HeldSigner:
    return HeldSigner(_key("identity", f"{seed}/{seat}"))


def _key(purpose: str, place: str) -> bytes:
    return hashlib.sha256(f"proper/simulated {purpose}/{place}".encode()).digest()
