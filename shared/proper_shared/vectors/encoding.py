"""From a client's vector to elements of a ring, and from their sum to a sum of vectors.

    encode    clip, scale, rotate, clamp, round, add noise, wrap
    decode    centre, times the step, rotate back, scale back

Letters: n members of the cohort, b bits of the ring, d numbers, D the largest L2 norm
of a scaled vector. A rotated number of a vector at that norm is about normal with
deviation D / sqrt(d). It is clamped beyond c deviations, or not at all where D itself
is less. Where a finer step is worth it, in 16 bits without noise, c is such that of a
hundred vectors that are at all their bounds one has a number beyond (5.3 deviations
for 10^5 numbers), and that number loses a fraction of a deviation; elsewhere of 10^9.
So the sum is unbiased but for that: rounding has no bias.

Without noise a client uses `levels` = floor((2^(b-1) - 1) / n) integers on either side
of zero, so that the sum cannot wrap. With noise of multiplier z the sum stays inside
with k = 7 deviations (2.6e-12 a number) if

    2^b >= 2 k sqrt(n^2 q^2 + n/4 + 3 z^2 d (q^2 + 1/4)),

q the integers' rms, and the step is the finest for which that holds. 3 z^2 is the
noise of all where a third of them may leave: n z^2 / m, m = floor(n/3) + 1 (see
privacy). q below 1 is refused: rounding would cost over 12 % of the noise. Above 16 it
would cost less than 0.1 %: there q stays, and the rest of the ring keeps from wrapping.

Covered: NaN, infinity, wrong lengths, a ring that is too small for cohort and noise.
Not covered: a wrap within that probability, which nobody notices; a client that lies
about its vector within the bounds, since masks hide what it sent.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from proper_shared.errors import FormatError
from proper_shared.secagg.ring import WIDTHS, Elements, Ring
from proper_shared.vectors.clip import Blocks, clip_and_scale
from proper_shared.vectors.rotation import Rotation
from proper_shared.vectors.rounding import RandomBytes, round_randomly, squared_limit

MARGIN = 7  # k: deviations of the sum that the ring holds under noise
LEAST_RMS, MOST_RMS = 1.0, 16.0  # q under noise
CLAMPED = 1e-9  # of vectors at all their bounds, at most, have a number clamped
CLAMPED_NARROW = 0.01  # where levels are few
NARROW = 300  # cohorts up to here are added in 16 bits: errors of 2 % at most


def needed_bits(
    cohort_size: int, length: int, rms: float, noise_multiplier: float = 0.0
) -> int:
    """Return the least b for integers of this rms; see the formula of the module.

    Args:
        cohort_size: n.
        length: d.
        rms: q, of one client's integers.
        noise_multiplier: z.
    """
    noise = 3 * noise_multiplier**2 * length * (rms**2 + 0.25)
    variance = (cohort_size * rms) ** 2 + cohort_size / 4 + noise
    return math.ceil(math.log2(2 * MARGIN * math.sqrt(variance)))


def least_bits(cohort_size: int, length: int, noise_multiplier: float = 0.0) -> int:
    """Return the bits below which a client refuses a ring."""
    return needed_bits(cohort_size, length, LEAST_RMS, noise_multiplier)


def ring_for(cohort_size: int, length: int, noise_multiplier: float = 0.0) -> Ring:
    """Return the ring of a cohort: 16 bits up to 300 members, else 24.

    Raises:
        FormatError: the noise asks for more than 24 bits.
    """
    bits = least_bits(cohort_size, length, noise_multiplier)
    for width in WIDTHS:
        if bits <= width and (width > WIDTHS[0] or cohort_size <= NARROW):
            return Ring(width)
    raise FormatError(
        f"got noise that asks for a ring of {bits} bits, expected {WIDTHS[-1]} or less",
        hint="less noise, fewer parameters or a smaller cohort fits",
    )


@dataclass(frozen=True)
class Encoding:
    """How the vectors of one round are encoded, the same for the whole cohort.

    Attributes:
        blocks: of the vector, with their bounds.
        ring: in which vectors are added.
        cohort_size: n, members that may be in the sum.
        seed: of the rotation, 32 bytes, the hash of the round's context.
        noise_multiplier: z; 0 means that no noise is added.

    Raises:
        FormatError: the ring is too small for cohort and noise, or a value makes no
            sense.
    """

    blocks: Blocks
    ring: Ring
    cohort_size: int
    seed: bytes
    noise_multiplier: float = 0.0

    def __post_init__(self) -> None:
        if self.cohort_size < 1:
            raise FormatError(f"got a cohort of {self.cohort_size}, expected 1 or more")
        if not (math.isfinite(self.noise_multiplier) and self.noise_multiplier >= 0):
            raise FormatError(
                f"got the noise multiplier {self.noise_multiplier}, expected 0 or more"
            )
        _ = self.rotation  # refuses an empty vector and a seed of another length
        least = least_bits(self.cohort_size, self.length, self.noise_multiplier)
        if self.ring.bits < least:
            raise FormatError(
                f"got a ring of {self.ring.bits} bits for {self.cohort_size} clients, "
                f"expected {least} or more"
            )

    @property
    def length(self) -> int:
        """How many numbers a vector has and how many elements are sent, d."""
        return self.blocks.size

    @cached_property
    def rotation(self) -> Rotation:
        """The rotation; made once, since it takes as long as some vectors."""
        return Rotation(self.length, self.seed)

    @cached_property
    def span(self) -> float:
        """Largest rotated number that is not clamped, in scaled units."""
        few = self.ring.bits == WIDTHS[0] and not self.noise_multiplier
        clamped = CLAMPED_NARROW if few else CLAMPED
        deviations = -NormalDist().inv_cdf(clamped / (2 * self.length))
        return self.blocks.sensitivity * min(1, deviations / math.sqrt(self.length))

    @cached_property
    def levels(self) -> int:
        """Largest integer of a client's vector before noise."""
        if self.noise_multiplier:
            return math.ceil(self.span / self.step)
        return ((1 << (self.ring.bits - 1)) - 1) // self.cohort_size

    @cached_property
    def step(self) -> float:
        """What one integer stands for, in scaled units."""
        if self.noise_multiplier:
            return self.blocks.sensitivity / math.sqrt(self.length) / self._rms()
        return self.span / self.levels

    def _rms(self) -> float:
        """Return the largest q that the formula allows under noise, 16 at most."""
        noise = 3 * self.noise_multiplier**2 * self.length
        held = (1 << self.ring.bits) / (2 * MARGIN)
        left = held**2 - self.cohort_size / 4 - noise / 4
        return min(MOST_RMS, math.sqrt(left / (self.cohort_size**2 + noise)))

    @cached_property
    def squared_limit(self) -> int:
        """Largest squared L2 norm of a client's integers before noise; certain."""
        return squared_limit(self.blocks.sensitivity / self.step, self.length)

    @property
    def sensitivity(self) -> float:
        """Largest L2 norm of a client's integers before noise; certain."""
        return math.sqrt(self.squared_limit)

    def encode(
        self,
        vector: NDArray[np.floating],
        random_bytes: RandomBytes,
        noise: NDArray[np.int64] | None = None,
    ) -> Elements:
        """Return a client's vector as elements of the ring, (d,).

        Args:
            vector: (d,) as the layout has it; it is clipped here.
            random_bytes: gives so many fresh random bytes; of the system on a device.
            noise: (d,) integers, where the encoding has noise and only there.

        Raises:
            FormatError: the vector has another length, or holds NaN or infinity; or
                noise is missing or not asked for.
        """
        self._check_noise(noise)
        scaled = clip_and_scale(vector, self.blocks)
        numbers = self.rotation.apply(scaled) / self.step
        np.clip(numbers, -self.levels, self.levels, out=numbers)
        integers = round_randomly(numbers, self.squared_limit, random_bytes)
        return self.ring.wrap(integers if noise is None else integers + noise)

    def decode(self, total: Elements, count: int) -> NDArray[np.float64]:
        """Return the sum of the clients' clipped vectors, (d,).

        Args:
            total: (d,) sum of their elements.
            count: how many are in it.

        Raises:
            FormatError: the sum has another length or type, or more are in it than the
                ring holds.
        """
        self.ring.expect(total, self.length)
        if not 1 <= count <= self.cohort_size:
            raise FormatError(
                f"got a sum of {count} clients, expected 1 to {self.cohort_size}"
            )
        numbers = self.ring.centred(total).astype(np.float64) * self.step
        return self.rotation.undo(numbers) / self.blocks.spread(self.blocks.scales)

    def _check_noise(self, noise: NDArray[np.int64] | None) -> None:
        if (noise is not None) != (self.noise_multiplier > 0):
            has, wants = ("no", "some") if noise is None else ("some", "none")
            raise FormatError(f"got {has} noise, expected {wants}")
        if noise is None:
            return
        if noise.shape != (self.length,) or noise.dtype != np.int64:
            raise FormatError(
                f"got noise of {noise.shape} {noise.dtype}, "
                f"expected ({self.length},) int64"
            )
