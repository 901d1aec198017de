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
