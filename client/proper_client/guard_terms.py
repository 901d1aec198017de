"""What a round is to this device: which order it adds to, and what it costs.

Covered: noise that is too little for the theorem.
Not covered: a wrap within the probability that the encoding allows.
"""

import hashlib

import numpy as np

from proper_shared.errors import ConfigError
from proper_shared.privacy.accounting import Spent
from proper_shared.secagg.checks import Refusal
from proper_shared.terms import Terms


def order_hash(terms: Terms) -> str:
    """Return what tells an order from others, but for the number of its round.

    A probe of an order is not the order: only norms are in its sum.
    """
    order = terms.order
    digest = hashlib.sha256(b"proper/order/1")
    words = (order.stage, order.factor, order.schedule.model_dump_json(), terms.probing)
    digest.update(repr(words).encode())
    digest.update(np.ascontiguousarray(order.parameters, "<f4").tobytes())
    return digest.hexdigest()


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
