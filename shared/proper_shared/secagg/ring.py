"""Integers modulo 2^b: what is masked, added and packed.

A number of the ring stands for the signed integer that is nearest to zero. Whether a
sum stays inside is for whoever encodes to see to: a wrap cannot be noticed here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proper_shared.errors import FormatError

Elements = NDArray[np.uint16] | NDArray[np.uint32]
WIDTHS = (16, 24)


@dataclass(frozen=True)
class Ring:
    """The integers modulo 2^bits.

    Attributes:
        bits: 16 or 24.

    Raises:
        FormatError: of any other width.
    """

    bits: int

    def __post_init__(self) -> None:
        if self.bits not in WIDTHS:
            raise FormatError(f"got a ring of {self.bits} bits, expected 16 or 24")

    @property
    def nbytes(self) -> int:
        """Bytes of one element on the wire."""
        return self.bits // 8

    def wrap(self, integers: NDArray[np.integer]) -> Elements:
        """Return signed integers (Q,) as elements."""
        if self.bits == 16:
            return integers.astype(np.uint16)
        return integers.astype(np.uint32) & np.uint32(0xFFFFFF)

    def centred(self, elements: Elements) -> NDArray[np.int64]:
        """Return the signed integers nearest to zero, (Q,)."""
        half = 1 << (self.bits - 1)
        return (elements.astype(np.int64) + half) % (1 << self.bits) - half

    def add(self, terms: Sequence[Elements]) -> Elements:
        """Return the sum of one term (Q,) or more."""
        total = terms[0].copy()
        for term in terms[1:]:
            total += term  # wraps at 2^16 or 2^32, and 2^24 divides the latter
        return total if self.bits == 16 else total & np.uint32(0xFFFFFF)

    def negate(self, elements: Elements) -> Elements:
        """Return what added to `elements` is zero."""
        return self.wrap(-elements.astype(np.int64))

    def to_bytes(self, elements: Elements) -> bytes:
        """Return elements as little-endian bytes, `nbytes` for each."""
        if self.bits == 16:
            return elements.astype("<u2").tobytes()
        return elements.astype("<u4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()

    def from_bytes(self, data: bytes) -> Elements:
        """Return the elements that `data` spells.

        Raises:
            FormatError: it ends within an element.
        """
        if len(data) % self.nbytes:
            raise FormatError(f"got {len(data)} bytes, expected {self.nbytes} each")
        if self.bits == 16:
            return np.frombuffer(data, "<u2").astype(np.uint16)
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, :3] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return wide.view("<u4").ravel().astype(np.uint32)

    def stream_nbytes(self, length: int) -> int:
        """Return how many bytes of keystream mask `length` elements."""
        return length * (2 if self.bits == 16 else 4)  # of 4 bytes the ring keeps 3

    def add_stream(self, total: Elements, stream: bytes, sign: int) -> None:
        """Add a keystream to `total` (Q,) in place, or subtract it where `sign` is -1.

        In a ring of 24 bits the top byte collects carries meanwhile: end with `reduce`.
        """
        words = np.frombuffer(stream, "<u2" if self.bits == 16 else "<u4")
        change = np.add if sign > 0 else np.subtract
        change(total, words, out=total)

    def reduce(self, total: Elements) -> Elements:
        """Return `total` (Q,) without what lies above the ring."""
        return total if self.bits == 16 else total & np.uint32(0xFFFFFF)

    def zeros(self, length: int) -> Elements:
        """Return zeros, (Q,)."""
        if self.bits == 16:
            return np.zeros(length, np.uint16)
        return np.zeros(length, np.uint32)

    def expect(self, elements: Elements, length: int) -> None:
        """Raise unless `elements` are `length` elements of this ring.

        Raises:
            FormatError: another type or shape, or a number beyond the ring.
        """
        zeros = self.zeros(0)
        if elements.dtype != zeros.dtype or elements.shape != (length,):
            raise FormatError(
                f"got {elements.dtype} of shape {elements.shape}, expected "
                f"{zeros.dtype} of shape ({length},)"
            )
        if self.bits == 24 and length and elements.max() >> 24:
            raise FormatError("got a number of more than 24 bits")
