"""What a round is to this device: which order it adds to, and what it costs.

Covered: noise that is too little for the theorem; norms of an order that are told a
second time, alone or beside an update.
Not covered: a wrap within the probability that the encoding allows; an order that
differs from another by next to nothing.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from proper_shared.errors import ConfigError
from proper_shared.offers import plan_hash
from proper_shared.orders import header_of
from proper_shared.privacy.accounting import Spent
from proper_shared.rounds import Order
from proper_shared.secagg.binding import two_bytes
from proper_shared.secagg.checks import Refusal
from proper_shared.terms import Terms

SAME_ORDER, SAME_NORMS = "same-order", "same-norms"


@dataclass(frozen=True)
class Sum:
    """One sum, whichever attempt at it this is.

    Attributes:
        name: hash of all that decides what a member's vector is, given its update:
            offer and order, but for the numbers of the round and of the attempt.
        parts: what is told by it, and must be told by no other: hash of the order's
            updates, of the order's norms, or of both, by the name of the refusal.
    """

    name: str
    parts: Mapping[str, str]

    @classmethod
    def of(cls, terms: Terms) -> Self:
        """Return the sum that a round is about."""
        offer = terms.offer.model_copy(update={"serial": 0, "attempt": 0})
        header = json.dumps(header_of(terms.order), sort_keys=True).encode()
        digest = hashlib.sha256(b"proper/sum/1")
        digest.update(plan_hash(offer.dump(), header))
        digest.update(_parameters(terms.order))
        parts = {} if terms.probing else {SAME_ORDER: order_hash(terms)}
        if terms.tells_norms:
            parts[SAME_NORMS] = _hash(terms.order, norms=True)
        return cls(digest.hexdigest(), parts)


def order_hash(terms: Terms) -> str:
    """Return what tells an order from others, but for the number of its round.

    A probe of an order is not the order: only norms are in its sum.
    """
    return _hash(terms.order, norms=terms.probing)


def survivors_hash(places: Sequence[int]) -> str:
    """Return a hash of who stands in a sum, by their places in its cohort."""
    return hashlib.sha256(b"proper/survivors/1" + two_bytes(*places)).hexdigest()


def _hash(order: Order, *, norms: bool) -> str:
    digest = hashlib.sha256(b"proper/order/1")
    words = (order.stage, order.factor, order.schedule.model_dump_json(), norms)
    digest.update(repr(words).encode())
    digest.update(_parameters(order))
    return digest.hexdigest()


def _parameters(order: Order) -> bytes:
    return np.ascontiguousarray(order.parameters, "<f4").tobytes()


def spent_in(terms: Terms) -> Spent | None:
    """Return what a round costs this device; None where there is no noise.

    Args:
        terms: of the round, checked.

    Raises:
        Refusal: the noise is too little to be counted.
    """
    offer = terms.offer
    if offer.noise is None:
        return None
    try:
        return terms.query.spent(offer.noise.multiplier)
    except ConfigError as error:
        raise Refusal("noise-too-small", str(error)) from None
