"""Shamir's secret sharing over the scalars of P-256 (Shamir 1979).

A secret is the value at 0 of a random polynomial with t coefficients; a share is its
value at a place from 1 on. t shares give the secret back, fewer fit every secret.
The field is that of FROST(P-256, SHA-256), for which RFC 9591 publishes shares, and it
holds every X25519 private key: with its bits clamped that is below 2^255.

`decode` finds the polynomial when some shares are wrong: Reed-Solomon decoding after
Gao 2003 ("A new algorithm for decoding Reed-Solomon codes").

Not covered: side channels. Python's integers take longer when they are longer.
"""

from collections.abc import Iterable, Mapping, Sequence

from proper_shared.errors import ProtocolError

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
NBYTES = 32

Polynomial = list[int]  # coefficients, the constant one first, the last one not 0


def evaluate(coefficients: Sequence[int], x: int) -> int:
    """Return the value of a polynomial at x."""
    value = 0
    for coefficient in reversed(coefficients):
        value = value * x + coefficient  # x is small: one reduction at the end is less
    return value % ORDER


def weights(places: Sequence[int]) -> list[int]:
    """Return what to multiply the shares at distinct `places` by, to add up to f(0)."""
    found = []
    for own in places:
        above, below = 1, 1
        for other in places:
            if other != own:
                above = above * other % ORDER
                below = below * (other - own) % ORDER
        found.append(above * pow(below, -1, ORDER) % ORDER)
    return found


def combine(weighing: Iterable[int], shares: Iterable[int]) -> int:
    """Return the secret behind t shares with their weights."""
    pairs = zip(weighing, shares, strict=True)
    return sum(weight * share for weight, share in pairs) % ORDER


def decode(shares: Mapping[int, int], threshold: int) -> Polynomial:
    """Return the one polynomial that all shares but a few lie on.

    Args:
        shares: m of them, by place.
        threshold: t, coefficients of the polynomial.

    Raises:
        ProtocolError: more than (m - t) / 2 shares are wrong.
    """
    product: Polynomial = [1]
    for place in shares:
        product = _times(product, [-place % ORDER, 1])
    older, newer = product, _interpolate(shares, product)
    factor_older: Polynomial = []
    factor: Polynomial = [1]
    while 2 * len(newer) > len(shares) + threshold + 1:  # the extended Euclid, halfway
        quotient, rest = _divide(older, newer)
        older, newer = newer, rest
        step = _times(quotient, factor)
        factor_older, factor = factor, _minus(factor_older, step)
    found, rest = _divide(newer, factor)
    if rest or len(found) > threshold:
        raise ProtocolError(
            f"got {len(shares)} shares that lie on no polynomial, expected "
            f"{threshold} right ones and two more for each that is wrong"
        )
    return found


def _interpolate(shares: Mapping[int, int], product: Polynomial) -> Polynomial:
    """Return the polynomial through all shares; `product` is that of x - place."""
    total: Polynomial = []
    for place, share in shares.items():
        basis, _ = _divide(product, [-place % ORDER, 1])
        scale = share * pow(evaluate(basis, place), -1, ORDER)
        total = _minus(total, [-scale * c % ORDER for c in basis])
    return total


def _trimmed(polynomial: Polynomial) -> Polynomial:
    while polynomial and not polynomial[-1]:
        polynomial.pop()
    return polynomial


def _minus(one: Polynomial, other: Polynomial) -> Polynomial:
    size = max(len(one), len(other))
    padded = (p + [0] * (size - len(p)) for p in (one, other))
    return _trimmed([(a - b) % ORDER for a, b in zip(*padded, strict=True)])


def _times(one: Polynomial, other: Polynomial) -> Polynomial:
    if not one or not other:
        return []
    product = [0] * (len(one) + len(other) - 1)
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            product[i + j] += a * b
    return _trimmed([c % ORDER for c in product])


def _divide(above: Polynomial, below: Polynomial) -> tuple[Polynomial, Polynomial]:
    """Return quotient and rest."""
    rest, scale = list(above), pow(below[-1], -1, ORDER)
    quotient = [0] * max(len(above) - len(below) + 1, 0)
    for shift in reversed(range(len(quotient))):
        factor = quotient[shift] = rest[shift + len(below) - 1] * scale % ORDER
        for i, coefficient in enumerate(below):
            rest[shift + i] = (rest[shift + i] - factor * coefficient) % ORDER
    return _trimmed(quotient), _trimmed(rest[: len(below) - 1])
