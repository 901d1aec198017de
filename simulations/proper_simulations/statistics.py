"""Is method a better than method b for people, and how sure are we?

The unit is the user, never the query: queries of one person are not independent. All
intervals are 95 % percentile bootstrap intervals (Efron 1979) over users, paired
wherever two methods are compared, with an `rng` from the caller.

Over several seeds there are two cases. Other people in each seed (worlds): `join_seeds`
makes each (seed, user) a unit of its own. The same people in each seed (real data):
`mean_over_seeds` first averages each person's score, since three answers about one
person are not three persons.

Not covered: that all users met one and the same training run. With few seeds this part
of the uncertainty cannot be estimated; look at the seeds one by one as well.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from proper_shared.errors import DataError
from proper_simulations.results import (
    LOWER_IS_BETTER,
    Interval,
    Metric,
    Paired,
    Share,
)

RESAMPLES = 10_000
_LEVELS = (2.5, 97.5)  # percentiles
_TIE = 1e-9  # sums of the same numbers in another order are still a tie
_CHUNK = 4_000_000  # indices drawn at once: 32 MB

Key = TypeVar("Key", str, tuple[int, str])
Vector = NDArray[np.float64]


def paired(
    a: Mapping[Key, float],
    b: Mapping[Key, float],
    metric: Metric,
    rng: np.random.Generator,
) -> Paired:
    """Compare a with b over the same users.

    `difference` is the mean of a - b in the metric's own units, so it is negative
    when a has the lower error; `wins` counts users whom a serves better either way.

    Raises:
        DataError: there is no user, or a and b are not about the same users.
    """
    first, second = _aligned(a, b)
    differences = first - second  # (U,)
    means = np.concatenate([r.mean(axis=1) for r in _resamples(differences, rng)])
    low, high = np.percentile(means, _LEVELS)
    better = -differences if metric in LOWER_IS_BETTER else differences
    wins, losses = int((better > _TIE).sum()), int((better < -_TIE).sum())
    return Paired(
        difference=float(differences.mean()),
        low=float(low),
        high=float(high),
        wins=wins,
        ties=len(better) - wins - losses,
        losses=losses,
    )


def interval(
    scores: Mapping[Key, float],
    rng: np.random.Generator,
    queries: Mapping[Key, int] | None = None,
) -> Interval:
    """Return the interval of the mean score over all queries.

    Args:
        scores: of each user, the mean over their queries.
        rng: of the bootstrap, which draws users.
        queries: how many each user has; equally many where it is left out.

    Raises:
        DataError: there is no user, or the two are not about the same users.
    """
    means, counts = _aligned(scores, queries or dict.fromkeys(scores, 1))
    sums = np.stack((means * counts, counts), axis=1)  # (U, 2)
    drawn = np.concatenate([r.sum(axis=1) for r in _resamples(sums, rng)])  # (R, 2)
    low, high = np.percentile(drawn[:, 0] / drawn[:, 1], _LEVELS)
    return Interval(low=float(low), high=float(high))


def gap_share(
    ours: Mapping[Key, float],
    stage1: Mapping[Key, float],
    best: Mapping[Key, float],
    metric: Metric,
    rng: np.random.Generator,
) -> Share | None:
    """Return (ours - stage1) / (best - stage1), or None if there is no gap to close.

    A ratio of means over users, not a mean of ratios: many users have no gap.

    Raises:
        DataError: there is no user, or the three are not about the same users.
    """
    columns = np.stack(_aligned(ours, stage1, best), axis=1)  # (U, 3)
    if metric in LOWER_IS_BETTER:
        columns = -columns
    gains = columns[:, [0, 2]] - columns[:, [1]]  # (U, 2): ours, best
    gained, gap = gains.mean(axis=0)
    if gap <= _TIE:
        return None
    means = np.concatenate([r.mean(axis=1) for r in _resamples(gains, rng)])  # (R, 2)
    share = float(gained / gap)
    if (means[:, 1] <= _TIE).any():
        return Share(share=share)
    low, high = np.percentile(means[:, 0] / means[:, 1], _LEVELS)
    return Share(share=share, low=float(low), high=float(high))


def share_worse(
    a: Mapping[Key, float], b: Mapping[Key, float], metric: Metric
) -> float:
    """Return the share of users whom a serves worse than b, from 0 to 1.

    Raises:
        DataError: there is no user, or a and b are not about the same users.
    """
    first, second = _aligned(a, b)
    better = second - first if metric in LOWER_IS_BETTER else first - second
    return float((better < -_TIE).mean())


def join_seeds(seeds: Sequence[Mapping[str, float]]) -> dict[tuple[int, str], float]:
    """Pool seeds whose users are different people: one unit for each (seed, user)."""
    return {
        (seed, user): score
        for seed, scores in enumerate(seeds)
        for user, score in scores.items()
    }


def mean_over_seeds(seeds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Pool seeds with the same users: one unit for each user, the mean over seeds.

    Raises:
        DataError: there is no seed, or the seeds are not about the same users.
    """
    if not seeds:
        raise DataError("no seed to pool, expected at least one")
    mean = np.mean(_aligned(*seeds), axis=0)  # (U,)
    return dict(zip(sorted(seeds[0]), mean.tolist(), strict=True))


def weight_density(weights: NDArray[np.float64], edges: Vector) -> list[list[float]]:
    """Return each expert's density of weights, as `Router` holds it.

    Args:
        weights: (N, E) router weights of N users, layers or tokens and E experts.
        edges: (bins + 1,) ascending bounds that enclose every weight.
    """
    return [np.histogram(w, edges, density=True)[0].tolist() for w in weights.T]


def _aligned(*columns: Mapping[Key, float]) -> list[Vector]:
    """Return the scores in one order of users, which does not depend on the caller."""
    users = sorted(columns[0])
    if not users:
        raise DataError("no user to compare, expected at least one")
    for other in columns[1:]:
        if other.keys() != columns[0].keys():
            odd = len(other.keys() ^ columns[0].keys())
            raise DataError(f"{odd} users are in one method only, expected the same")
    return [np.array([c[u] for u in users], dtype=np.float64) for c in columns]


def _resamples(values: Vector, rng: np.random.Generator) -> Iterator[Vector]:
    """Yield users drawn with replacement, (resamples, U, ...), in bounded memory."""
    users = len(values)
    step = max(1, _CHUNK // users)
    for start in range(0, RESAMPLES, step):
        rows = min(step, RESAMPLES - start)
        yield values[rng.integers(0, users, size=(rows, users))]
