"""Attacks on membership: was this entry in the history that an adapter was trained on?

    loss        the smaller the loss, the likelier a member
    reference   the further it fell below the loss of stage 1
    lira        likelihood ratio of the loss among shadow adapters that were trained
                with the entry against those without (Carlini et al. 2022, online)

The ratio is taken of the logit of the probability, which is nearly normal. Its two
normal laws have a mean for each entry and a variance for each user: a few shadows are
too few for a variance of each entry.
"""

from typing import NamedTuple

import numpy as np

from proper_simulations.bench.leak_curves import Counts, Floats, Mask

CERTAIN = 1e-9  # nats: a smaller loss is rounding
LEAST = 1e-6  # variance


class Law(NamedTuple):
    """Normal laws of N entries."""

    mean: Floats
    variance: Floats

    def log_density(self, values: Floats) -> Floats:
        """Return the log density of each value (N,), but for a constant."""
        far = (values - self.mean) ** 2 / self.variance
        return -0.5 * (far + np.log(self.variance))


def logit(losses: Floats) -> Floats:
    """Return log(p / (1 - p)) of p = exp(-loss)."""
    kept = np.maximum(losses, CERTAIN)
    logits: Floats = -(kept + np.log(-np.expm1(-kept)))
    return logits


def law(values: Floats, counted: Mask, owners: Counts) -> Law:
    """Fit a normal law to each entry: a mean of its own, a variance of its user.

    Args:
        values: (D, N) of D adapters and N entries.
        counted: (D, N) which are looked at.
        owners: (N,) the user of each entry, from 0.

    Returns:
        Of each entry; not a number where too few are counted.
    """
    count = counted.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(counted, values, 0).sum(0) / count
        apart = np.where(counted & (count > 0), values - mean, 0)
        squares = np.bincount(owners, (apart**2).sum(0))
        free = np.bincount(owners, np.maximum(count - 1, 0))
        variance = np.maximum(squares / free, LEAST)
    return Law(mean, variance[owners])


def likelihood_ratios(logits: Floats, inside: Mask, owners: Counts) -> Floats:
    """Attack each adapter with all others as its shadows.

    Args:
        logits: (D, N) of N entries under each of D adapters.
        inside: (D, N) whether the adapter was trained with the entry.
        owners: (N,) the user of each entry, from 0.

    Returns:
        (D, N) log likelihood ratios; 0, which tells nothing, where there are too few
        shadows with the entry or without it.
    """
    scores = np.zeros(logits.shape)
    for target, values in enumerate(logits):
        others = np.arange(len(logits)) != target
        known, where = logits[others], inside[others]
        one = law(known, where, owners).log_density(values)
        other = law(known, ~where, owners).log_density(values)
        ratio = one - other
        scores[target] = np.where(np.isfinite(ratio), ratio, 0)
    return scores


def attacks(
    losses: Floats, before: Floats, inside: Mask, owners: Counts
) -> dict[str, Floats]:
    """Return the scores (D * N,) of each attack on each of D adapters in turn.

    Args:
        losses: (D, N) of each entry under each adapter.
        before: (N,) under the model before personalisation, stage 1.
        inside: (D, N) whether the adapter was trained with the entry.
        owners: (N,) the user of each entry, from 0.
    """
    return {
        "loss": -losses.ravel(),
        "reference": (before - losses).ravel(),
        "lira": likelihood_ratios(logit(losses), inside, owners).ravel(),
    }
