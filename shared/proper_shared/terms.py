"""One sum as both sides see it: what is offered, what is ordered, what lies where.

Both sides work out from the same offer and order how vectors are bounded and encoded,
and what all masks and signatures are bound to. A probe is a sum of norms alone, from
which the bounds of the next sum follow; an offer without bounds is one.

Covered: offers whose bounds are not those of the vector, or whose ring is too small.
Not covered: whether the bounds are wise, or the noise enough (see the client's guard).
"""

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from proper_shared.aggregation import Sum
from proper_shared.errors import FormatError, ProtocolError
from proper_shared.offers import Offer, plan_hash
from proper_shared.orders import header_of
from proper_shared.packing import Layout
from proper_shared.privacy.calibration import Query
from proper_shared.rounds import Order
from proper_shared.secagg.binding import RoundId
from proper_shared.secagg.checks import Refusal
from proper_shared.secagg.ring import Ring
from proper_shared.vectors.bounds import (
    NORMS,
    log_norms,
    next_bounds,
    norms_bound,
    norms_layout,
    with_norms,
)
from proper_shared.vectors.clip import Blocks, clip
from proper_shared.vectors.encoding import Encoding, ring_for

Bounds = dict[str, dict[str, float]]  # kind of vector -> block -> largest L2 norm
# Of a bound over the geometric mean of the norms before. Norms of updates lie within
# twice of it; who wrote much has more to say in the search for groups.
FACTOR, FACTOR_GROUPING = 4.0, 8.0
MOST_MOVE = 4.0  # of a bound from one sum to the next: a liar moves it no further
LEAST_BOUND = 2.0**-40


def kind_of(layout: Layout) -> str:
    """Return a name for vectors that have the same norms from round to round."""
    words = repr([(name, *shape) for name, shape in layout.shapes.items()])
    return hashlib.sha256(words.encode()).hexdigest()[:16]


def query_of(encoding: Encoding) -> Query:
    """Return what the accounting of noise has to know of an encoding."""
    return Query(encoding.cohort_size, encoding.length, encoding.sensitivity)


@dataclass(frozen=True)
class Terms:
    """What one sum is about.

    Attributes:
        offer: as the coordinator made it.
        order: beside it.
        layout: of an update for this order, (Q,).
    """

    offer: Offer
    order: Order
    layout: Layout

    def check(self) -> None:
        """Refuse an offer that does not fit the order.

        Raises:
            Refusal: its bounds are not those of the vector, or the sum could wrap.
        """
        if self.offer.noise and (self.probing or not self.offer.masked):
            raise Refusal("odd-noise", "got noise without masks or without bounds")
        if any(bound < LEAST_BOUND for bound in self.offer.bounds.values()):
            raise Refusal("odd-bounds", f"got a bound below {LEAST_BOUND:.3g}")
        try:
            blocks = self.blocks
        except FormatError as error:
            raise Refusal("odd-bounds", str(error)) from None
        multiplier = self.offer.noise.multiplier if self.offer.noise else 0.0
        try:
            needed = ring_for(len(self.offer.cohort), blocks.size, multiplier).bits
            _ = self.encoding
        except FormatError as error:
            raise Refusal("ring-too-small", str(error)) from None
        if self.offer.ring_bits < needed:
            raise Refusal(
                "ring-too-small",
                f"got a ring of {self.offer.ring_bits} bits, expected {needed} or more",
            )

    @property
    def probing(self) -> bool:
        """Whether norms alone are added."""
        return not self.offer.bounds

    @cached_property
    def sent(self) -> Layout:
        """The layout of what is added, (Q',)."""
        if self.probing:
            return norms_layout(self.layout)
        return with_norms(self.layout) if self._adds_norms else self.layout

    @cached_property
    def blocks(self) -> Blocks:
        """The blocks of what is added, with their bounds."""
        bounds = dict(self.offer.bounds)
        if self.probing:
            bounds = {NORMS: norms_bound(self.layout)}
        return Blocks.of(self.sent, bounds)

    @cached_property
    def encoding(self) -> Encoding:
        """How what is added becomes elements of the ring.

        The rotation is public; it hangs on the round and not on the attempt, so that a
        run that was interrupted comes to the same sums.
        """
        offer, order = self.offer, self.order
        place = f"{offer.run}/{order.stage}/{order.round}/{self.probing}"
        return Encoding(
            self.blocks,
            Ring(offer.ring_bits),
            len(offer.cohort),
            hashlib.sha256(f"proper/rotation/{place}".encode()).digest(),
            offer.noise.multiplier if offer.noise else 0.0,
        )

    @property
    def query(self) -> Query:
        """What is summed, as the accounting of noise sees it."""
        return query_of(self.encoding)

    def deviations(self, count: int) -> dict[str, float]:
        """Return the deviation of noise on one number of each block, in a sum.

        Args:
            count: vectors in the sum; the offer has noise.
        """
        variance = self.query.variance(self.encoding.noise_multiplier)
        each = self.encoding.step * math.sqrt(count * variance)
        return {b.name: each * b.bound / b.weight for b in self.blocks.blocks}

    @cached_property
    def round_id(self) -> RoundId:
        """What every mask and every signature is bound to."""
        header = json.dumps(header_of(self.order), sort_keys=True).encode()
        parameters = np.ascontiguousarray(self.order.parameters, "<f4")
        return RoundId(
            federation=bytes.fromhex(self.offer.federation),
            run=bytes.fromhex(self.offer.run),
            stage=self.order.stage,
            serial=self.offer.serial,
            attempt=self.offer.attempt,
            plan=plan_hash(self.offer.dump(), header),
            parameters=hashlib.sha256(parameters.tobytes()).digest(),
            ring_bits=self.offer.ring_bits,
            length=self.encoding.length,
        )

    @property
    def tells_norms(self) -> bool:
        """Whether norms are in the sum, alone or beside the updates."""
        return self.probing or self._adds_norms

    @property
    def _adds_norms(self) -> bool:
        """Whether the norms for the next bounds are in the vector.

        Not under noise, and not right after a probe of the same order: whoever left
        between two sums with the same norms would show theirs. A coordinator that asks
        for them nevertheless is refused by the devices.
        """
        return NORMS in self.offer.bounds

    @property
    def _factor(self) -> float:
        return FACTOR_GROUPING if self.order.stage == "grouping" else FACTOR

    def vector_of(self, update: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return what a device adds for its update (Q,), not yet clipped, (Q',).

        Raises:
            FormatError: the update has another length, or holds NaN or infinity.
        """
        if not self.tells_norms:
            return update.astype(np.float64)
        norms = log_norms(update, self.layout).ravel()
        return norms if self.probing else np.concatenate([update, norms])

    def clipped(self, update: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return what a device adds without masks, (Q',)."""
        return clip(self.vector_of(update), self.blocks)

    def update_of(self, total: Sum) -> Sum:
        """Return the sum of the updates (Q,) from the sum of what was added."""
        return Sum(total.total[: self.layout.size], total.seats, total.refused)

    def next_bounds(self, total: Sum) -> dict[str, float]:
        """Return the bounds that follow from the mean of the norms in a sum.

        Raises:
            ProtocolError: they are not finite.
        """
        if self.offer.noise:
            return dict(self.offer.bounds)
        if not self.tells_norms:
            return {**self.offer.bounds, NORMS: norms_bound(self.layout)}
        mean = self.sent.unpack(total.total)[NORMS] / total.count
        try:
            found = next_bounds(mean, self.layout, self._factor)
        except FormatError as error:
            raise ProtocolError(f"got norms that make no sense: {error}") from None
        return {name: self._near(name, bound) for name, bound in found.items()}

    def _near(self, name: str, bound: float) -> float:
        """Return a bound that is not far from the one before, if there was one."""
        old = self.offer.bounds.get(name, bound)
        return min(max(bound, old / MOST_MOVE, LEAST_BOUND), old * MOST_MOVE)
