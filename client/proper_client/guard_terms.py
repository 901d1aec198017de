"""Under which terms a vector would leave: its blocks, its ring, what it costs.

Covered: bounds that are not those of the vector, a ring in which the sum could wrap,
noise that is too little for the theorem.
Not covered: a wrap within the probability that the encoding allows.
"""

from dataclasses import dataclass, replace

from proper_shared.errors import ConfigError, FormatError
from proper_shared.offers import Noise, Offer
from proper_shared.packing import Layout
from proper_shared.privacy.accounting import Spent
from proper_shared.privacy.calibration import Query
from proper_shared.rounds import Order
from proper_shared.secagg.checks import Refusal
from proper_shared.secagg.ring import Ring
from proper_shared.vectors.clip import Blocks
from proper_shared.vectors.encoding import Encoding, ring_for

_ANY_SEED = bytes(32)  # of a rotation: no norm depends on it


@dataclass(frozen=True)
class Proposal:
    """One round as it was offered.

    Attributes:
        offer: who is asked, and under which terms.
        order: what is to be trained.
        layout: of the vector that the device is to send.
    """

    offer: Offer
    order: Order
    layout: Layout


def check_encoding(proposal: Proposal) -> None:
    """Refuse blocks without bounds, and a ring in which the sum could wrap.

    Raises:
        Refusal: bounds or ring do not fit.
    """
    _check_ring(proposal.offer, proposal.layout.size)
    _blocks(proposal)


def spent_in(proposal: Proposal) -> Spent | None:
    """Return what the round costs this device; None where there is no noise.

    Raises:
        Refusal: the noise is too little to be counted, or bounds or ring do not fit.
    """
    offer = proposal.offer
    if offer.noise is None:
        return None
    cohort_size = len(offer.cohort)
    try:
        encoding = _encoding(proposal, offer.noise)
        query = Query(cohort_size, encoding.length, encoding.sensitivity)
        spent = query.spent(offer.noise.multiplier)
    except ConfigError as error:
        raise Refusal("noise-too-small", str(error)) from None
    # In clear nobody else's noise is added to this device's own.
    return spent if offer.masked else replace(spent, cohort_size=1)


def _check_ring(offer: Offer, length: int) -> None:
    multiplier = offer.noise.multiplier if offer.noise else 0.0
    try:
        Ring(offer.ring_bits)
        needed = ring_for(len(offer.cohort), length, multiplier).bits
    except FormatError as error:
        raise Refusal("ring-too-small", str(error)) from None
    if offer.ring_bits < needed:
        raise Refusal(
            "ring-too-small",
            f"got a ring of {offer.ring_bits} bits, expected {needed} or more",
        )


def _blocks(proposal: Proposal) -> Blocks:
    try:
        return Blocks.of(proposal.layout, proposal.offer.bounds)
    except FormatError as error:
        raise Refusal("odd-bounds", str(error)) from None


def _encoding(proposal: Proposal, noise: Noise) -> Encoding:
    offer, blocks = proposal.offer, _blocks(proposal)
    try:
        ring = Ring(offer.ring_bits)
        size = len(offer.cohort)
        return Encoding(blocks, ring, size, _ANY_SEED, noise.multiplier)
    except FormatError as error:
        raise Refusal("ring-too-small", str(error)) from None
