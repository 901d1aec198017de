"""Make all numbers of a vector alike: a public permutation, signs and Hadamard.

One number of the ring serves all places of a vector, so no place may be much larger
than the others. After permutation and random signs, the orthonormal Hadamard transform
makes of any vector one whose numbers are about normal with the same deviation (Suresh
et al. 2017, arXiv 1611.00429). The transform runs over the first blocks of 2^k numbers
and, after fresh signs, over the last ones, which overlap the first: so nothing is
padded. Without the permutation a tensor that is large alone would stay in its block.

Nothing here is secret. Both sides derive it from the round's context by SHAKE-256
(FIPS 202) and integer sorting, which come out the same on every machine.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from proper_shared.errors import FormatError

Floats = NDArray[np.float64]
SEED_BYTES = 32
LARGEST = 16  # k: 2^16 numbers of 8 bytes lie in a processor's second cache
BY_PRODUCT = 6  # levels that are one matrix product, faster than short strides


@dataclass(frozen=True)
class Rotation:
    """An orthonormal map of vectors (Q,), public and the same for a whole cohort.

    Attributes:
        size: Q.
        seed: 32 bytes, the hash of the round's context.

    Raises:
        FormatError: the size is not positive, or the seed has another length.
    """

    size: int
    seed: bytes

    def __post_init__(self) -> None:
        if self.size < 1:
            raise FormatError(f"got a vector of {self.size} numbers, expected some")
        if len(self.seed) != SEED_BYTES:
            raise FormatError(f"got a seed of {len(self.seed)} bytes, expected 32")

    @property
    def block(self) -> int:
        """How many numbers one transform spans, 2^k."""
        return 1 << min(LARGEST, self.size.bit_length() - 1)

    def apply(self, vector: Floats) -> Floats:
        """Return the rotated vector (Q,)."""
        rotated = vector[self.order]
        for part, signs in zip(self._parts, self._signs, strict=True):
            rotated[part] = self._transform(rotated[part] * signs)
        return rotated

    def undo(self, rotated: Floats) -> Floats:
        """Return the vector (Q,) of which this is the rotation."""
        mixed = rotated.copy()
        for part, signs in zip(self._parts[::-1], self._signs[::-1], strict=True):
            mixed[part] = self._transform(mixed[part]) * signs
        vector = np.empty_like(mixed)
        vector[self.order] = mixed
        return vector

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """The permutation, (Q,).

        Random 64-bit keys are sorted. Their lowest bits are replaced by the place, so
        that no two are equal and a sorted key says where it came from.
        """
        places = np.arange(self.size, dtype=np.uint64)
        low = np.uint64((1 << self.size.bit_length()) - 1)
        keys = np.frombuffer(self._stream("order", 8 * self.size), "<u8")
        keys = np.sort(keys & ~low | places)
        return (keys & low).astype(np.int64)

    @cached_property
    def _parts(self) -> tuple[slice, ...]:
        """First and last whole blocks; once is enough where nothing is left over."""
        whole = self.size - self.size % self.block
        if whole == self.size:
            return (slice(0, whole),)
        return slice(0, whole), slice(self.size - whole, self.size)

    @cached_property
    def _signs(self) -> tuple[Floats, ...]:
        return tuple(self._drawn_signs(f"signs {i}") for i in range(len(self._parts)))

    def _drawn_signs(self, label: str) -> Floats:
        """Return one or minus one for each number of all whole blocks."""
        count = self.size - self.size % self.block
        bits = np.frombuffer(self._stream(label, -(-count // 8)), np.uint8)
        drawn = np.unpackbits(bits, count=count, bitorder="little")
        return 1.0 - 2.0 * drawn.astype(np.float64)

    def _stream(self, label: str, nbytes: int) -> bytes:
        name = f"proper/rotation/1/{self.size}/{label}/".encode()
        return hashlib.shake_256(name + self.seed).digest(nbytes)

    def _transform(self, numbers: Floats) -> Floats:
        return hadamard(numbers.reshape(-1, self.block)).ravel()


def hadamard(rows: Floats) -> Floats:
    """Return the orthonormal Hadamard transform of rows (n, 2^k); it undoes itself.

    The first levels are one product with a small matrix, the others sums and
    differences (Fino and Algazi 1976).
    """
    width = rows.shape[-1]
    low = min(width, 1 << BY_PRODUCT)
    small = _matrix(low) / np.sqrt(width)
    mixed: Floats = rows.reshape(-1, low) @ small
    while low < width:
        pairs = mixed.reshape(-1, 2, low)
        mixed = np.empty_like(pairs)
        np.add(pairs[:, 0], pairs[:, 1], out=mixed[:, 0])
        np.subtract(pairs[:, 0], pairs[:, 1], out=mixed[:, 1])
        low *= 2
    return mixed.reshape(rows.shape)


@lru_cache(maxsize=8)
def _matrix(size: int) -> Floats:
    """Return Sylvester's Hadamard matrix of ones and minus ones."""
    matrix = np.ones((1, 1))
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix
