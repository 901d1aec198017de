"""Bound each block of a vector in L2 norm, and put all blocks on one scale.

A block is what is bounded together: all expert updates, all routers, the use of the
experts. Divided by its bound and times its weight w_k, block k has norm w_k at most, so
that no block drowns the others, and the whole vector sqrt(sum of w_k^2). What comes
after spreads its error evenly over all numbers; a block of m numbers then has the
relative error sqrt(m) / w_k times sqrt(sum of w_j^2), and the squares of these are
least in sum for w_k ~ m^(1/4) (Cauchy-Schwarz). That is the weight unless another one
is given.

Covered: NaN, infinity, a wrong length, bounds that are not those of the layout.
Not covered: whether a bound is a wise one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Self

import numpy as np
from numpy.typing import NDArray

from proper_shared.errors import FormatError
from proper_shared.packing import Layout

Floats = NDArray[np.float64]
ROUTERS = (".w_x", ".w_u", ".w_l")
FACTORS = (".a", ".b")


def blocks_of(layout: Layout) -> dict[str, tuple[str, ...]]:
    """Return the blocks of a client's vector, block -> names of its tensors.

    Factors of LoRA are `experts` where use is sent along, else `update`; all routers
    are `routers`; any other tensor is a block of its own name.
    """
    factors = "experts" if "use" in layout.shapes else "update"
    found: dict[str, list[str]] = {}
    for name in layout.shapes:
        block = name
        if name.endswith(FACTORS):
            block = factors
        elif name.endswith(ROUTERS):
            block = "routers"
        found.setdefault(block, []).append(name)
    return {block: tuple(names) for block, names in found.items()}


@dataclass(frozen=True)
class Block:
    """What is bounded together.

    Attributes:
        name: of the block.
        size: m, how many numbers.
        bound: largest L2 norm.
        weight: L2 norm of a block at its bound, once scaled.
    """

    name: str
    size: int
    bound: float
    weight: float


@dataclass(frozen=True)
class Blocks:
    """Where the blocks of a vector lie; blocks may interleave.

    Attributes:
        blocks: K of them, in the order of their first numbers.
        spans: (place in `blocks`, how many numbers), in the order of the vector.
    """

    blocks: tuple[Block, ...]
    spans: tuple[tuple[int, int], ...]

    @classmethod
    def of(
        cls,
        layout: Layout,
        bounds: Mapping[str, float],
        weights: Mapping[str, float] | None = None,
    ) -> Self:
        """Return the blocks of `blocks_of`.

        Args:
            layout: of the vector.
            bounds: block -> largest L2 norm, for exactly the blocks of the layout.
            weights: block -> weight, likewise; by size if not given.

        Raises:
            FormatError: a block has no bound, or one that is no positive number.
        """
        names = blocks_of(layout)
        check_positive(names, bounds, "bound")
        sizes = {n: math.prod(shape) for n, shape in layout.shapes.items()}
        counts = {b: sum(sizes[n] for n in names[b]) for b in names}
        if weights is None:
            most = max(counts.values(), default=1)
            weights = {b: (m / most) ** 0.25 for b, m in counts.items()}
        check_positive(names, weights, "weight")
        place = {n: k for k, block in enumerate(names) for n in names[block]}
        runs = groupby(layout.shapes, key=place.__getitem__)
        found = [(k, sum(sizes[n] for n in run)) for k, run in runs]
        return cls(
            tuple(Block(b, counts[b], bounds[b], weights[b]) for b in names),
            tuple((k, count) for k, count in found if count),
        )

    @property
    def size(self) -> int:
        """How many numbers the vector holds, Q."""
        return sum(block.size for block in self.blocks)

    @cached_property
    def sensitivity(self) -> float:
        """Largest L2 norm of a clipped and scaled vector, sqrt(sum of w_k^2)."""
        return math.sqrt(sum(block.weight**2 for block in self.blocks))

    @cached_property
    def _places(self) -> NDArray[np.intp]:
        return np.array([k for k, _ in self.spans], np.intp)

    @cached_property
    def _lengths(self) -> NDArray[np.intp]:
        return np.array([length for _, length in self.spans], np.intp)

    @cached_property
    def scales(self) -> Floats:
        """Weight over bound of each block, (K,)."""
        return np.array([block.weight / block.bound for block in self.blocks])

    def spread(self, factors: Floats) -> Floats:
        """Return one factor for each block (K,) as one for each number (Q,)."""
        spread: Floats = np.repeat(factors[self._places], self._lengths)
        return spread

    def norms(self, vector: NDArray[np.floating]) -> Floats:
        """Return the L2 norm of each block, (K,), in float64.

        Raises:
            FormatError: the vector has another length, or holds NaN or infinity, or
                numbers whose squares are not finite.
        """
        if vector.shape != (self.size,):
            raise FormatError(f"got {vector.shape} numbers, expected ({self.size},)")
        if not np.isfinite(vector).all():
            raise FormatError("got NaN or infinity in a vector, expected numbers")
        wide = vector.astype(np.float64)
        with np.errstate(over="ignore"):
            squares = np.square(wide)
            starts = np.cumsum(self._lengths) - self._lengths
            parts = np.add.reduceat(squares, starts)
            sums = np.bincount(self._places, parts, len(self.blocks))
        if not np.isfinite(sums).all():
            raise FormatError("got numbers whose squares are too large in a vector")
        return np.sqrt(sums)


def check_positive(
    names: Mapping[str, object], values: Mapping[str, float], word: str
) -> None:
    """Refuse values that are not one positive number for each name.

    Raises:
        FormatError: a name is missing or too many, or its value not above zero.
    """
    if odd := sorted(names.keys() ^ values.keys()):
        raise FormatError(
            f"each block needs one {word}, got another set: {', '.join(odd[:3])}"
        )
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise FormatError(f"got the {word} {value} of {name}, expected above 0")


def clip(vector: NDArray[np.floating], blocks: Blocks) -> Floats:
    """Return the vector (Q,) with each block scaled down to its bound, in float64.

    Directions stay: a block is scaled as a whole, or not at all.

    Raises:
        FormatError: see `Blocks.norms`.
    """
    return vector * blocks.spread(_shrinkage(vector, blocks))


def clip_and_scale(vector: NDArray[np.floating], blocks: Blocks) -> Floats:
    """Return the clipped vector (Q,) in the units in which blocks are added.

    Raises:
        FormatError: see `Blocks.norms`.
    """
    return vector * blocks.spread(_shrinkage(vector, blocks) * blocks.scales)


def _shrinkage(vector: NDArray[np.floating], blocks: Blocks) -> Floats:
    """Return the factor of each block, (K,), 1 where it is within its bound."""
    norms = blocks.norms(vector)
    bounds = np.array([block.bound for block in blocks.blocks])
    factors: Floats = bounds / np.maximum(norms, bounds)
    return factors
