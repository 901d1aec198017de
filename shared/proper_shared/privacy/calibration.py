"""How much noise a wanted epsilon needs, how often it allows, and when to stop.

Each client draws with variance z^2 D2^2 / m_h, where m_h = n//3 + 1 honest shares are
in any sum that the quorum lets be opened. So (z D2)^2 is the noise that is left when a
third is lost and a third colludes; when nobody is lost, the sum carries sqrt(n / m_h)
times the deviation, about 1.7 times: the price of drop-outs and accomplices.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from proper_shared.errors import ConfigError
from proper_shared.privacy.accounting import (
    Adversary,
    Spent,
    epsilon_of,
)
from proper_shared.secagg.quorum import honest

LEAST_DEVIATION = 2.0  # grid units of one client: tau is 1e-16 there, and no matter
LARGEST_MULTIPLIER = 1e6  # what an offer takes
MOST_ATTEMPTS = 1_000_000


@dataclass(frozen=True)
class Query:
    """The sum that is asked for in one attempt, before there is noise.

    Attributes:
        cohort_size: n, clients in the roster.
        dimension: d, coordinates of a vector, padding included.
        bound: D2, largest L2 norm of an integer vector, in units of the grid.
    """

    cohort_size: int
    dimension: int
    bound: float

    def variance(self, multiplier: float) -> float:
        """Return s^2 of one client's noise, in units of the grid.

        Args:
            multiplier: z, above 0.

        Raises:
            ConfigError: it is less than two units of the grid.
        """
        variance = (multiplier * self.bound) ** 2 / honest(self.cohort_size)
        if not variance >= LEAST_DEVIATION**2:
            raise ConfigError(
                f"got noise of {math.sqrt(max(variance, 0)):.2g} units of the grid, "
                f"expected {LEAST_DEVIATION:g} or more",
                hint="encode on a finer grid, that is in a wider ring",
            )
        return variance

    def spent(self, multiplier: float, survivors: int = 0) -> Spent:
        """Return the attempt that answering with this noise is.

        Args:
            multiplier: z.
            survivors: vectors in the sum; 0 where it is not known.

        Raises:
            ConfigError: the noise is less than two units, or there is no quorum.
        """
        return Spent(
            bound=self.bound,
            variance=self.variance(multiplier),
            cohort_size=self.cohort_size,
            dimension=self.dimension,
            survivors=survivors,
        )


@dataclass(frozen=True)
class Limit:
    """What a client agrees to lose.

    Attributes:
        epsilon: at most.
        delta: of (epsilon, delta).
        adversary: against whom.
    """

    epsilon: float
    delta: float
    adversary: Adversary = "third"

    def holds(self, counts: Mapping[Spent, int]) -> bool:
        """Return whether attempts stay within the limit, each so many times."""
        return epsilon_of(counts, self.delta, self.adversary) <= self.epsilon


def calibrate(limit: Limit, plan: Sequence[tuple[Query, int]]) -> float:
    """Return the least noise multiplier z that keeps a plan within a limit.

    Args:
        limit: for one client.
        plan: for each stage what is summed, and in how many attempts one client may
            take part at most, second attempts at a round included.

    Returns:
        z, from above within 1e-4 of itself.

    Raises:
        ConfigError: nothing is asked, epsilon is not above 0, or no noise is enough.
    """
    if not limit.epsilon > 0 or sum(count for _, count in plan) < 1:
        raise ConfigError(
            f"got an epsilon of {limit.epsilon:g} for "
            f"{sum(count for _, count in plan)} attempts, expected both above 0"
        )
    low = max(
        LEAST_DEVIATION * math.sqrt(honest(query.cohort_size)) / query.bound
        for query, count in plan
        if count
    )
    low *= 1 + 1e-9  # so that rounding leaves it at two units
    if _within(limit, plan, low):
        return low
    high = max(2 * low, 1.0)
    while not _within(limit, plan, high):
        low, high = high, 2 * high
        if high > LARGEST_MULTIPLIER:
            raise ConfigError(f"no noise brings epsilon down to {limit.epsilon:g}")
    while high > low * (1 + 1e-4):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if _within(limit, plan, middle) else (middle, high)
    return high


def _within(limit: Limit, plan: Sequence[tuple[Query, int]], multiplier: float) -> bool:
    counts: Counter[Spent] = Counter()
    for query, count in plan:
        counts[query.spent(multiplier)] += count
    return limit.holds(counts)


def remaining(limit: Limit, spent: Sequence[Spent], coming: Spent) -> int:
    """Return how many more attempts like `coming` stay within a limit; 0 means stop.

    Args:
        limit: for one client.
        spent: what the client has answered so far.
        coming: what it is asked now.

    Returns:
        A number up to 1,000,000.
    """
    before = Counter(spent)

    def fit(more: int) -> bool:
        return limit.holds(before + Counter({coming: more}))

    low, high = 0, 1
    while high <= MOST_ATTEMPTS and fit(high):
        low, high = high, 2 * high
    high = min(high, MOST_ATTEMPTS + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fit(middle) else (low, middle)
    return low


def price(cohort_size: int, survivors: int) -> float:
    """Return the deviation of a sum's noise over the deviation that epsilon counts.

    Args:
        cohort_size: n.
        survivors: vectors in the sum.
    """
    return math.sqrt(survivors / honest(cohort_size))
