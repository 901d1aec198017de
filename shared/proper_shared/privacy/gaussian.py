"""Draw the discrete Gaussian over the integers, P(k) ~ exp(-k^2 / (2 s^2)).

By inversion: 127 uniform bits are looked up in the cumulative law of |k|, one more bit
is the sign. Bits come from a stream that the caller passes, in practice AES-256-CTR
under 32 fresh bytes from the system; whoever keeps the key can subtract the noise, so
it is destroyed after the round.

Covered: the law of one draw is within 2^-100 of the exact one in total variation, so
10^9 draws are within 2^-70. Floating point takes no part in it.
Not covered: timing and other side channels; a poor source of bytes.

Source: Canonne, Kamath, Steinke 2020 (arXiv 2004.00010), definition 1.
"""

import math
from collections.abc import Callable
from decimal import Context, Decimal, localcontext
from functools import lru_cache

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR
from numpy.typing import NDArray

from proper_shared.errors import ConfigError

Stream = Callable[[int], bytes]  # how many bytes -> the next so many

KEY_BYTES = 32
SMALLEST, LARGEST = 0.25, 2.0**44  # variance; the least is that of the accounting
_WIDE = 2.0**30  # from here on of two tables, since one would hold a million entries
_FINE, _STEP = 2.0**28, 1024  # variance of x; what y counts
_BITS = 127  # of a look-up
_TAIL = 13.4  # deviations; exp(-13.4^2 / 2) < 2^-129
_WORKING = 256  # fractional bits in which the table is made


def keystream(key: bytes) -> Stream:
    """Return the stream of AES-256-CTR from counter 0.

    Args:
        key: 32 bytes, used for nothing else.

    Raises:
        ConfigError: the key has another length.
    """
    if len(key) != KEY_BYTES:
        raise ConfigError(f"got a key of {len(key)} bytes, expected {KEY_BYTES}")
    encryptor = Cipher(AES256(key), CTR(bytes(16))).encryptor()
    return lambda count: encryptor.update(bytes(count))


def draw(variance: float, count: int, stream: Stream) -> NDArray[np.int64]:
    """Draw `count` independent numbers, 16 bytes of the stream for each, or 32.

    A law wider than any table is x + 1024 y of two narrower ones. Completing the square
    in the sum over y leaves a Gaussian of variance w >= 192 over shifted integers, so
    each probability is that of the wide law to a part in 2^5000 (Micciancio, Walter
    2017 build wide laws so).

    Args:
        variance: s^2, from 1/4 to 2^44. The numbers' own variance is a little less:
            by 15 % at 1/4, by less than 1e-6 of it from 1 on.
        count: how many.
        stream: of uniform bytes.

    Returns:
        (count,) integers.

    Raises:
        ConfigError: the variance is outside of the range, or count is negative.
    """
    _check(variance, count)
    if variance < _WIDE:
        return _look_up(float(variance), _words(stream, count, 2))
    words = _words(stream, count, 4)
    fine = _look_up(_FINE, words[:, :2])
    coarse = _look_up((variance - _FINE) / _STEP**2, words[:, 2:])
    return fine + _STEP * coarse


def _check(variance: float, count: int) -> None:
    if not SMALLEST <= variance <= LARGEST:  # NaN is refused too
        raise ConfigError(
            f"got noise of variance {variance:g}, expected {SMALLEST} to {LARGEST:g}",
            hint="encode on a finer or a coarser grid",
        )
    if count < 0:
        raise ConfigError(f"got {count} numbers to draw, expected 0 or more")


def _words(stream: Stream, count: int, each: int) -> NDArray[np.uint64]:
    """Return (count, each) words of 64 bits."""
    words = np.frombuffer(stream(8 * each * count), "<u8")
    return words.astype(np.uint64).reshape(count, each)


def _look_up(variance: float, words: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return the numbers that uniform words (n, 2) stand for, (n,)."""
    high, low = _table(variance)
    tops, rests = words[:, 0], words[:, 1] >> np.uint64(1)
    negative = (words[:, 1] & np.uint64(1)) == 1
    sizes = np.searchsorted(high, tops, side="left")
    nearest = high[np.minimum(sizes, len(high) - 1)]
    for i in np.flatnonzero(nearest == tops):  # one in 2^45: the low half decides
        end = np.searchsorted(high, tops[i], side="right")
        sizes[i] += np.searchsorted(low[sizes[i] : end], rests[i], side="right")
    return np.where(negative, -sizes, sizes).astype(np.int64)


@lru_cache(maxsize=4)
def _table(variance: float) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return the cumulative law of |k| times 2^127, in high and low halves.

    Entry j is P(|k| <= j), rounded down, in 64 + 63 bits: a uniform number of 127 bits
    is j where it is not less than j entries. Beyond the last entry lies less than
    2^-127. Rounding costs one unit for each entry.
    """
    weights = _weights(variance)
    total = sum(weights)
    running, cumulative = 0, []
    for weight in weights[:-1]:
        running += weight
        cumulative.append((running << _BITS) // total)
    mask = (1 << 63) - 1
    high = np.array([value >> 63 for value in cumulative], np.uint64)
    low = np.array([value & mask for value in cumulative], np.uint64)
    return high, low


def _weights(variance: float) -> list[int]:
    """Return P(|k| = 0), P(|k| = 1), ... up to a factor, as integers.

    exp(-(k+1)^2 / 2v) = exp(-k^2 / 2v) g_k with g_k = exp(-(2k+1) / 2v), and g_k+1 =
    g_k exp(-1/v): two products a step, in fixed point; each rounds once, so after K
    steps less than K^2 units of 2^-256 are lost, below 2^-200.
    """
    with localcontext(Context(prec=120)):
        exact = Decimal(variance)
        unit = Decimal(2) ** _WORKING
        ratio = int((-1 / (2 * exact)).exp() * unit)  # g_0
        fall = int((-1 / exact).exp() * unit)
    weight = 1 << _WORKING
    weights = [weight]
    for _ in range(math.ceil(_TAIL * math.sqrt(variance)) + 1):
        weight = (weight * ratio) >> _WORKING
        ratio = (ratio * fall) >> _WORKING
        weights.append(2 * weight)  # both signs
    return weights
