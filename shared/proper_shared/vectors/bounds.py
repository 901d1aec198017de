"""Next round's bounds, from a mean of norms and nobody's own.

Beside its update each client sends the log2 of the norm of each of its blocks, as one
more block of the vector, whose own bound is known beforehand; the coordinator reads
their mean in the sum. The first round of a part may consist of that block alone. Norms
are those before clipping, so that bounds that were too low are found out.

A block of zeros has no logarithm and asks for no bound: it is left out of the mean,
which is why each client also sends which of its blocks are not zero.

Covered: norms outside 2^-40 to 2^40, blocks that are zero for some or all.
Not covered: a client that lies about a norm moves the mean log by 80 / n at most.
Not for rounds with noise: there bounds must not follow what was seen.
"""

import math

import numpy as np
from numpy.typing import NDArray

from proper_shared.errors import FormatError
from proper_shared.packing import Layout
from proper_shared.vectors.clip import Blocks, blocks_of

NORMS = "norms"
FACTOR = 4.0  # norms of real updates lie within a factor of 2 of their mean
REACH = 40.0  # largest log2 of a norm, either way
SEEN = 0.01  # share of clients below which nobody has such a block, but for rounding


def norms_layout(layout: Layout) -> Layout:
    """Return the layout of a vector that holds the norms alone, (2, K)."""
    return Layout({NORMS: (2, len(blocks_of(layout)))})


def with_norms(layout: Layout) -> Layout:
    """Return the layout of a vector with the norms behind it."""
    return Layout({**layout.shapes, **norms_layout(layout).shapes})


def norms_bound(layout: Layout) -> float:
    """Return the bound of the block of norms: no client's is longer.

    Args:
        layout: without the norms.
    """
    return math.sqrt(len(blocks_of(layout)) * (REACH**2 + 1))


def log_norms(vector: NDArray[np.floating], layout: Layout) -> NDArray[np.float64]:
    """Return what a client sends beside its vector, (2, K).

    Args:
        vector: (Q,) not clipped.
        layout: of the vector, without the norms.

    Returns:
        The log2 of each block's L2 norm, 0 where the block is zero; and 1, or 0 there.

    Raises:
        FormatError: the vector has another length, or holds NaN or infinity.
    """
    blocks = Blocks.of(layout, dict.fromkeys(blocks_of(layout), 1.0))
    norms = blocks.norms(vector)
    seen = norms > 0
    logs = np.log2(np.where(seen, norms, 1.0))
    return np.stack([np.clip(logs, -REACH, REACH), seen.astype(np.float64)])


def next_bounds(
    mean: NDArray[np.floating], layout: Layout, factor: float = FACTOR
) -> dict[str, float]:
    """Return the bounds of the blocks of `with_norms(layout)`, factor * 2^mean log.

    Args:
        mean: (2, K) of what the clients of a round sent by `log_norms`.
        layout: without the norms.
        factor: above the geometric mean of the norms.

    Returns:
        block -> bound; `factor` itself where nobody's block was other than zero.

    Raises:
        FormatError: the mean has another shape or is not finite, or the factor is not
            positive.
    """
    names = tuple(blocks_of(layout))
    if mean.shape != (2, len(names)) or not np.isfinite(mean).all():
        raise FormatError(f"got a mean of {mean.shape}, expected (2, {len(names)})")
    if not (math.isfinite(factor) and factor > 0):
        raise FormatError(f"got the factor {factor}, expected above 0")
    shares = mean[1]
    logs = np.where(shares > SEEN, mean[0] / np.maximum(shares, SEEN), 0.0)
    logs = np.clip(logs, -REACH, REACH)
    bounds = {n: factor * 2.0 ** float(x) for n, x in zip(names, logs, strict=True)}
    return {**bounds, NORMS: norms_bound(layout)}
