"""Noise is as much as is wanted and hardly more; a budget stops where it is spent."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proper_shared.errors import ConfigError
from proper_shared.privacy.accounting import epsilon_after
from proper_shared.privacy.calibration import (
    Limit,
    Query,
    calibrate,
    price,
    remaining,
)

QUERY = Query(cohort_size=100, dimension=10_000, bound=4_000.0)


@given(
    epsilon=st.floats(0.3, 40),
    count=st.integers(1, 300),
    cohort=st.sampled_from([3, 10, 100, 1000]),
    adversary=st.sampled_from(["everybody", "third", "readers"]),
)
@settings(max_examples=25, deadline=None)
def test_calibrated_noise_is_enough_and_a_little_less_is_not(
    epsilon, count, cohort, adversary
):
    query = Query(cohort, 10_000, 4_000.0)
    z = calibrate(Limit(epsilon, 1e-5, adversary), [(query, count)])
    assert epsilon_after([query.spent(z)] * count, 1e-5, adversary) <= epsilon
    less = [query.spent(0.999 * z)] * count
    assert epsilon_after(less, 1e-5, adversary) > epsilon


def test_one_noise_serves_all_stages():
    other = Query(30, 400, 800.0)
    z = calibrate(Limit(8.0, 1e-5), [(QUERY, 40), (other, 25)])
    events = [QUERY.spent(z)] * 40 + [other.spent(z)] * 25
    assert epsilon_after(events, 1e-5) == pytest.approx(8.0, rel=1e-3)


def test_noise_is_two_grid_units_at_least():
    coarse = Query(cohort_size=10, dimension=50, bound=3.0)
    z = calibrate(Limit(1e4, 1e-5), [(coarse, 1)])
    assert math.sqrt(coarse.variance(z)) == pytest.approx(2.0)
    with pytest.raises(ConfigError, match="expected 2 or more"):
        coarse.spent(0.9 * z)


def test_the_noise_of_a_client_is_what_the_honest_share_of():
    assert QUERY.variance(4.0) * 34 == pytest.approx((4.0 * 4_000.0) ** 2)


@given(epsilon=st.floats(1, 30), z=st.floats(2, 10), before=st.integers(0, 40))
@settings(max_examples=20, deadline=None)
def test_a_budget_stops_exactly_where_it_is_spent(epsilon, z, before):
    limit, event = Limit(epsilon, 1e-5), QUERY.spent(z)
    left = remaining(limit, [event] * before, event)
    fits = epsilon_after([event] * (before + left), 1e-5) <= epsilon
    assert fits or left == 0
    assert epsilon_after([event] * (before + left + 1), 1e-5) > epsilon
    if before and left:
        assert remaining(limit, [event] * (before - 1), event) == left + 1


def test_what_costs_next_to_nothing_is_counted_up_to_a_million():
    tiny = QUERY.spent(1e6)
    assert remaining(Limit(1000.0, 1e-5), [], tiny) == 1_000_000


def test_the_price_is_that_of_losses_which_did_not_happen():
    assert price(100, 100) == pytest.approx(1.715, abs=1e-3)
    assert price(1000, 667) == pytest.approx(math.sqrt(667 / 334))


@pytest.mark.parametrize(
    ("epsilon", "plan", "message"),
    [
        (0.0, [(QUERY, 1)], "epsilon of 0 for 1 attempts"),
        (math.nan, [(QUERY, 1)], "epsilon of nan"),
        (1.0, [], "for 0 attempts"),
        (1e-9, [(QUERY, 10**6)], "no noise brings epsilon down"),
    ],
)
def test_what_cannot_be_had_is_refused(epsilon, plan, message):
    with pytest.raises(ConfigError, match=message):
        calibrate(Limit(epsilon, 1e-5), plan)
