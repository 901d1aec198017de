"""What the attempts in which a client's vector left are worth, as (epsilon, delta).

A client adds its clipped integer vector, with discrete Gaussian noise of its own, to a
masked sum. Neighbours are zero-out: the client's vector, or zeros in its place, with
its noise in both. Whoever reads the sum knows some of the noise shares:

    everybody   everybody else colludes; the client's own share is left
    third       the coordinator and a third of the cohort; n//3 + 1 shares are left
    readers     who reads the release alone; the shares of all survivors are left

A sum of discrete Gaussians is none, and a continuous curve is no bound for it. With m
shares of variance s^2, d coordinates and L2 and L1 bounds D2 and D1,

    tau = 10 sum_{k=1}^{m-1} exp(-2 pi^2 s^2 k / (k+1)),

and the sum is eps^2/2-concentrated private, eps^2 the least of

    D2^2 / (m s^2) + 2 tau d            (tau d of it does not grow with the order)
    (D2 / (sqrt(m) s) + sqrt(d) tau)^2
    D2^2 / (m s^2) + 2 D1 tau / (sqrt(m) s) + tau^2 d

For integers D1 is at most D2 min(D2, sqrt(d)). Attempts add up, over all stages, those
included whose sum was dropped: the vector had left. Nothing is gained from sampling,
since the coordinator chooses whom it asks.

Above the continuous Gaussian's exact epsilon this lies by 4 to 10 % at delta 1e-5 from
epsilon 0.5 on; by more where epsilon is smaller or delta larger, since the conversion
from Renyi curves loses more there.

Covered: any number of attempts, each with its own noise and cohort, chosen with sight
of earlier sums (adaptive composition); a wrap of the ring, which happens to the sum.
Not covered: a bound D2 that does not hold, which is for the encoding to see to; readers
who took part themselves and know a share each; a third or more who collude (that is
`everybody`).

Source: Kairouz, Liu, Steinke 2021 (arXiv 2102.06387), proposition 14; conversion to
(epsilon, delta): Canonne, Kamath, Steinke 2020 (arXiv 2004.00010), proposition 12.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from proper_shared.errors import ConfigError
from proper_shared.secagg.quorum import honest, quorum

Adversary = Literal["everybody", "third", "readers"]
ADVERSARIES: tuple[Adversary, ...] = get_args(Adversary)
# alpha from 1.02 to 20,000: finer than the library's own orders, and beyond them, so
# that many attempts and few are both met within 1e-3.
ORDERS = tuple(1 + 10 ** (i / 100) for i in range(-170, 431))
LEAST_VARIANCE = 0.25  # the theorem wants s >= 1/2


@dataclass(frozen=True)
class Spent:
    """One attempt in which a client's vector left the device.

    Attributes:
        bound: D2, largest L2 norm of the integer vector, in units of the grid.
        variance: s^2 of the noise of one client, in units of the grid.
        cohort_size: n, clients in the roster.
        dimension: d, coordinates of the vector, padding included.
        survivors: vectors in the sum; 0 where it is not known, or nothing was opened,
            counts as the quorum.

    Raises:
        ConfigError: the theorem does not speak of such numbers.
    """

    bound: float
    variance: float
    cohort_size: int
    dimension: int
    survivors: int = 0

    def __post_init__(self) -> None:
        if not (0 < self.bound < math.inf and self.dimension > 0):
            raise ConfigError(
                f"got an L2 bound of {self.bound:g} over {self.dimension} coordinates, "
                "expected both above 0"
            )
        if not LEAST_VARIANCE <= self.variance < math.inf:
            raise ConfigError(
                f"got noise of variance {self.variance:g}, expected 1/4 or more",
                hint="encode on a finer grid, or add more noise",
            )
        least = quorum(self.cohort_size)
        if self.cohort_size < 1 or not (
            self.survivors == 0 or least <= self.survivors <= self.cohort_size
        ):
            raise ConfigError(
                f"got {self.survivors} survivors of {self.cohort_size}, "
                f"expected {least} or more"
            )

    def shares(self, adversary: Adversary) -> int:
        """Return m, how many shares of the noise an adversary does not know."""
        if adversary == "everybody":
            return 1
        if adversary == "third":
            return honest(self.cohort_size)
        return self.survivors or quorum(self.cohort_size)


def tau(shares: int, variance: float) -> float:
    """Return how far a sum of `shares` discrete Gaussians is from being one."""
    step = 2 * math.pi**2 * variance
    return 10 * sum(math.exp(-step * k / (k + 1)) for k in range(1, shares))


def curves(event: Spent, adversary: Adversary) -> tuple[tuple[float, float], ...]:
    """Return the bounds on one attempt as pairs (rho, xi).

    Each holds by itself: the Renyi divergence of order alpha is at most
    `rho * alpha + xi` for all alpha >= 1.
    """
    m, d = event.shares(adversary), event.dimension
    off = tau(m, event.variance)
    signal = event.bound / math.sqrt(m * event.variance)
    l1 = signal * min(event.bound, math.sqrt(d))
    return (
        (signal**2 / 2, off * d),
        ((signal + math.sqrt(d) * off) ** 2 / 2, 0.0),
        ((signal**2 + 2 * l1 * off + off**2 * d) / 2, 0.0),
    )


def epsilon_after(
    events: Iterable[Spent], delta: float, adversary: Adversary = "third"
) -> float:
    """Return epsilon at delta after all these attempts of one client, 0 after none.

    Args:
        events: in any order, of all stages.
        delta: of (epsilon, delta), between 0 and 1.
        adversary: against whom.

    Raises:
        ConfigError: delta is not between 0 and 1.
    """
    return epsilon_of(Counter(events), delta, adversary)


def epsilon_of(
    counts: Mapping[Spent, int], delta: float, adversary: Adversary = "third"
) -> float:
    """Return the same where it is known how often there was each attempt.

    Raises:
        ConfigError: delta is not between 0 and 1.
    """
    if not 0 < delta < 1:
        raise ConfigError(f"got a delta of {delta:g}, expected between 0 and 1")
    bounds = [(curves(event, adversary), n) for event, n in counts.items() if n]
    if not bounds:
        return 0.0
    return min(
        _composed([(*pairs[which], n) for pairs, n in bounds], delta)
        for which in range(3)
    )


def _composed(terms: Iterable[tuple[float, float, int]], delta: float) -> float:
    """Compose terms (rho, xi, how often) in the library's accountant."""
    from dp_accounting import dp_event, rdp  # noqa: PLC0415 - a second to import

    accountant = rdp.RdpAccountant(orders=ORDERS)
    for rho, xi, count in terms:
        accountant.compose(dp_event.ZCDpEvent(rho, xi), count)
    return float(accountant.get_epsilon(delta))
