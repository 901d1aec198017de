"""Round to integers without bias, and hold the norm of what comes out.

A number goes up with the probability of its fraction, so that its mean is itself.
Rounding lengthens a vector; by how much at most, but with probability `BETA`, is known
beforehand, and a draw beyond is drawn again (conditional rounding: Kairouz, Liu,
Steinke 2021, arXiv 2102.06387). The bound on the integers is then certain, which is
what differential privacy is accounted with. Drawing again, with probability `BETA`, is
all that keeps the rounding from being without any bias.
"""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from proper_shared.errors import FormatError

RandomBytes = Callable[[int], bytes]
BETA = 1e-9
DRAWS = 8  # that an honest vector needs more has probability BETA^8


def squared_limit(norm: float, length: int) -> int:
    """Return the largest squared L2 norm of a rounded vector that is let through.

    Args:
        norm: largest L2 norm before rounding, in steps of the grid.
        length: how many numbers.

    Kairouz, Liu, Steinke 2021, on a grid of step 1: the least
    of (c + sqrt(d))^2 and c^2 + d/4 + sqrt(2 log(1/beta)) (c + sqrt(d)/2).
    """
    root = math.sqrt(length)
    certain = (norm + root) ** 2
    likely = norm**2 + length / 4
    likely += math.sqrt(2 * math.log(1 / BETA)) * (norm + root / 2)
    return math.floor(min(certain, likely))


def round_randomly(
    numbers: NDArray[np.float64], limit: int, random_bytes: RandomBytes
) -> NDArray[np.int64]:
    """Return integers (Q,) with the numbers (Q,) as their means.

    Args:
        numbers: in steps of the grid, below 2^53.
        limit: largest squared L2 norm, see `squared_limit`.
        random_bytes: gives so many bytes, fresh at each call; 4 a number are drawn.

    Raises:
        FormatError: no draw came out within the limit.
    """
    low = np.floor(numbers)
    fractions = (numbers - low) * 2.0**32
    for _ in range(DRAWS):
        draws = np.frombuffer(random_bytes(4 * len(numbers)), "<u4")
        rounded = low + (draws < fractions)
        if float(np.dot(rounded, rounded)) <= limit:
            return rounded.astype(np.int64)
    raise FormatError("got a vector whose integers exceed the norm of the encoding")
