"""A sum is looked at, since nobody can look at its terms."""

import numpy as np
import pytest
from toy_federation import population
from toy_sums import LAYOUT, bounds_of, summed, terms, updates

from proper_coordinator.checks import Gauge, check_norms
from proper_shared.aggregation import Sum
from proper_shared.errors import ProtocolError


@pytest.mark.parametrize("masked", [False, True])
def test_honest_sums_pass_even_with_everybody_at_the_bound(masked):
    bounds = bounds_of(updates())
    wide = [1000 * vector for vector in updates()]
    same = [1000 * updates()[0]] * 5
    for vectors in (updates(), wide, same):
        made = terms(bounds, masked=masked)
        check_norms(made, summed(made, vectors))


@pytest.mark.parametrize("masked", [False, True])
def test_one_member_cannot_push_a_sum_beyond_its_share(masked):
    made = terms(bounds_of(updates()), masked=masked)
    total = summed(made, updates())
    forged = total.total.copy()
    forged[:3] += 6 * made.offer.bounds["update"]
    with pytest.raises(ProtocolError, match="the mean of update has norm"):
        check_norms(made, Sum(forged, total.seats))


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_sum_that_is_not_finite_is_refused(number):
    made = terms(bounds_of(updates()))
    total = np.zeros(made.sent.size)
    total[LAYOUT.size - 2] = number
    with pytest.raises(ProtocolError, match="NaN"):
        check_norms(made, Sum(total, (0, 1, 2, 3, 4)))


def test_a_gauge_holds_a_stage_against_its_own_best():
    losses = iter([3.0, 2.0, 2.4, 2.6, 2.4, None])
    gauge = Gauge(lambda _: next(losses), band=0.5)
    part = population()
    for _ in range(3):
        gauge.check(part)
    with pytest.raises(ProtocolError, match=r"cost 2\.600 .* 2\.500 at most"):
        gauge.check(part)
    gauge.check(part)
    gauge.check(part)  # a stage without a loss
