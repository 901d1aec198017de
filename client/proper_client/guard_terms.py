"""What a round costs this device in privacy.

Covered: noise that is too little for the theorem.
Not covered: a wrap within the probability that the encoding allows.
"""

from dataclasses import replace

from proper_shared.errors import ConfigError
from proper_shared.privacy.accounting import Spent
from proper_shared.privacy.calibration import Query
from proper_shared.secagg.checks import Refusal
from proper_shared.terms import Terms


def spent_in(terms: Terms) -> Spent | None:
    """Return what a round costs this device; None where there is no noise.

    Args:
        terms: of the round, checked.

    Raises:
        Refusal: the noise is too little to be counted.
    """
    offer = terms.offer
    if offer.noise is None:
        return None
    encoding = terms.encoding
    query = Query(len(offer.cohort), encoding.length, encoding.sensitivity)
    try:
        spent = query.spent(offer.noise.multiplier)
    except ConfigError as error:
        raise Refusal("noise-too-small", str(error)) from None
    # In clear nobody else's noise is added to this device's own.
    return spent if offer.masked else replace(spent, cohort_size=1)
