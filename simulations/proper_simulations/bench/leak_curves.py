"""How well an attack tells members from others: ROC curves, with intervals over users.

An attack gives each entry a score, the higher the likelier a member. The unit is the
user: whose entries are counted together, and who is drawn for an interval (95 %,
percentile bootstrap). All attacks are looked at under the same draws, so that the
difference of two is one in pairs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Mask = NDArray[np.bool_]
FEWEST = 10  # others beyond a threshold: below this a rate says nothing
LEVELS = (2.5, 97.5)  # percentiles


@dataclass(frozen=True)
class Pool:
    """Entries of which an attacker wants to know who was in.

    Attributes:
        members: (N,) whether each was in.
        owners: (N,) the number of the user whose it is, from 0.
    """

    members: Mask
    owners: Counts

    def permits(self, rate: float) -> bool:
        """Tell whether there are others enough to speak of a rate of false alarms."""
        return rate * int((~self.members).sum()) >= FEWEST


class Ranking:
    """The entries of a pool in the order in which an attack suspects them.

    Args:
        scores: (N,) the higher the likelier a member; equal ones are told at once.
        pool: whose entries these are.
    """

    def __init__(self, scores: Floats, pool: Pool) -> None:
        order = np.argsort(-scores, kind="stable")
        self._members, self._owners = pool.members[order], pool.owners[order]
        fallen = np.diff(scores[order]) != 0
        self._last = np.flatnonzero(np.append(fallen, True))

    def rates(self, weights: Floats | Counts | None = None) -> tuple[Floats, Floats]:
        """Return false and true alarms (n,) at each threshold, from none to all.

        Args:
            weights: (U,) how often each user counts; None for once.
        """
        own: Floats = np.ones(len(self._owners))
        if weights is not None:
            own = weights[self._owners].astype(np.float64)
        right: Floats = np.cumsum(own * self._members)[self._last]
        wrong: Floats = np.cumsum(own * ~self._members)[self._last]
        return _share(wrong), _share(right)


def _share(sums: Floats) -> Floats:
    """Return growing sums as shares of the last one, with a 0 in front."""
    whole = sums[-1] if sums[-1] > 0 else np.nan
    return np.concatenate([[0.0], sums / whole])


def area(false: Floats, true: Floats) -> float:
    """Return the area under the curve; half of the ties count as won."""
    return float(np.trapezoid(true, false))


def true_at(false: Floats, true: Floats, rate: float) -> float:
    """Return the most true alarms with no more false ones than `rate`."""
    return float(true[np.searchsorted(false, rate + 1e-12, side="right") - 1])


def draws(users: int, resamples: int, rng: np.random.Generator) -> Counts:
    """Return how often each user is drawn (resamples, U), with replacement."""
    return rng.multinomial(users, np.full(users, 1 / users), size=resamples)


def figures(
    scores: Floats, pool: Pool, rates: Sequence[float], drawn: Counts
) -> dict[str, Floats]:
    """Return each figure of an attack (1 + resamples,): for all, then for each draw.

    Args:
        scores: (N,) of the attack.
        pool: of entries.
        rates: of false alarms, at which true ones are counted if the pool permits.
        drawn: (resamples, U), of `draws`.

    Returns:
        `auc`, and `tpr_at_RATE` for each rate.
    """
    ranking = Ranking(scores, pool)
    permitted = [rate for rate in rates if pool.permits(rate)]
    curves = [ranking.rates(), *(ranking.rates(counts) for counts in drawn)]
    found = {"auc": np.array([area(*curve) for curve in curves])}
    for rate in permitted:
        at = [true_at(*curve, rate) for curve in curves]
        found[f"tpr_at_{rate:g}"] = np.array(at)
    return found


def summed_up(values: Floats) -> dict[str, float]:
    """Return a figure and its interval.

    Args:
        values: (1 + resamples,) for all, then for each draw of users.
    """
    low, high = np.nanpercentile(values[1:], LEVELS)
    return {"value": float(values[0]), "low": float(low), "high": float(high)}


def in_pairs(
    ours: Mapping[str, Floats], theirs: Mapping[str, Floats]
) -> dict[str, dict[str, float]]:
    """Return each figure of ours less theirs, under the same draws."""
    return {name: summed_up(ours[name] - theirs[name]) for name in ours}
