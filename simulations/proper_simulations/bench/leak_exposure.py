"""Canaries: how far up a planted secret stands among all that it could have been.

exposure = log2(alternatives) - log2(rank), Carlini et al. 2019: all bits of the secret
where it is the likeliest of all, 1.44 bits in the mean where nothing was learnt.
"""

import math
from collections.abc import Sequence

import numpy as np

from proper_simulations.bench.leak_curves import Floats

SMALL = 0.2  # below this the law of Kolmogorov is 1 to nine digits


def ranks(likelihoods: Floats, secrets: Sequence[int]) -> Floats:
    """Return the rank (U,) of a secret for each user, 1 is the likeliest.

    Equals share the mean of their ranks, so a model that knows nothing gains nothing.

    Args:
        likelihoods: (U, K) of K alternatives.
        secrets: (U,) which of them is the secret.
    """
    own = likelihoods[np.arange(len(likelihoods)), list(secrets)][:, None]
    above, equal = (likelihoods > own).sum(1), (likelihoods == own).sum(1)
    found: Floats = 1 + above + (equal - 1) / 2
    return found


def exposure(ranks: Floats, alternatives: int) -> Floats:
    """Return the bits of each secret that a rank gives away."""
    bits: Floats = math.log2(alternatives) - np.log2(ranks)
    return bits


def kolmogorov(ranks: Floats, alternatives: int) -> tuple[float, float]:
    """Test that ranks are drawn uniformly from 1 to `alternatives`.

    Returns:
        The largest distance of the two distribution functions, and the probability of
        one as large (Kolmogorov's law, with Stephens' correction for few ranks).
    """
    count = len(ranks)
    places = np.sort((ranks - 0.5) / alternatives)
    steps = np.arange(count + 1) / count
    distance = float(max((steps[1:] - places).max(), (places - steps[:-1]).max()))
    scaled = (math.sqrt(count) + 0.12 + 0.11 / math.sqrt(count)) * distance
    if scaled < SMALL:
        return distance, 1.0
    terms = [(-1) ** (k - 1) * math.exp(-2 * (k * scaled) ** 2) for k in range(1, 101)]
    return distance, min(1.0, max(0.0, 2 * sum(terms)))
