"""Epsilon is what the theorem says, computed apart, and near the continuous curve."""

import math
from functools import lru_cache

import numpy as np
import pytest
from dp_accounting import get_epsilon_gaussian
from hypothesis import given, settings
from hypothesis import strategies as st
from prv_accountant import GaussianMechanism, PRVAccountant

from proper_shared.errors import ConfigError
from proper_shared.privacy.accounting import (
    ADVERSARIES,
    ORDERS,
    Spent,
    curves,
    epsilon_after,
    tau,
)
from proper_shared.privacy.calibration import Query
from proper_shared.secagg.quorum import honest, quorum

# (z, participations) for which epsilon at 1e-5 runs from 0.5 to 160
LOADS = [(30, 20), (10, 2), (4, 1), (4, 10), (4, 100), (4, 200), (1, 1), (1, 50),
         (0.7, 100)]  # fmt: skip
COHORTS = [(3, 0), (10, 0), (10, 3), (100, 0), (100, 33), (1000, 333)]  # n, lost
ALPHAS = np.concatenate([np.linspace(1.02, 5, 4000), np.geomspace(5, 2e4, 20_000)])


def by_hand(ways: list[tuple[np.ndarray, int]], delta: float) -> float:
    """Epsilon from Renyi curves over `ALPHAS`, each so many times (CKS 2020, 12)."""
    renyi = sum(count * curve for curve, count in ways)
    bounds = renyi + np.log1p(-1 / ALPHAS) - np.log(delta * ALPHAS) / (ALPHAS - 1)
    return max(0.0, float(bounds.min()))


def curve_by_hand(
    deviation: float, shares: int, dimension: int, bound: float
) -> np.ndarray:
    """KLS 2021, proposition 14, without the L1 bound; the better of the two."""
    k = np.arange(1, shares)
    off = 10 * np.exp(-2 * np.pi**2 * deviation**2 * k / (k + 1)).sum()
    signal = bound / (math.sqrt(shares) * deviation)
    first = ALPHAS * signal**2 / 2 + off * dimension
    second = ALPHAS / 2 * (signal + math.sqrt(dimension) * off) ** 2
    return first if first.mean() < second.mean() else second


def shares_by_hand(cohort: int, lost: int) -> dict[str, int]:
    return {"everybody": 1, "third": cohort // 3 + 1, "readers": cohort - lost}


@lru_cache
def continuous(multiplier: float, count: int, delta: float) -> tuple[float, float]:
    """Epsilon of the continuous Gaussian by prv-accountant: a lower bound, and it."""
    accountant = PRVAccountant(
        prvs=[GaussianMechanism(multiplier)],
        max_self_compositions=[count],
        eps_error=0.01,
        delta_error=delta / 1000,
    )
    low, near, _ = accountant.compute_epsilon(delta, [count])
    return float(low), float(near)


@pytest.mark.parametrize("adversary", ADVERSARIES)
@pytest.mark.parametrize(("cohort", "lost"), COHORTS)
@pytest.mark.parametrize(("multiplier", "count"), LOADS)
def test_epsilon_is_the_one_computed_apart(multiplier, count, cohort, lost, adversary):
    dimension, bound, delta = 5_000, 900.0, 1e-5
    event = Query(cohort, dimension, bound).spent(multiplier, cohort - lost)
    deviation = multiplier * bound / math.sqrt(cohort // 3 + 1)
    shares = shares_by_hand(cohort, lost)[adversary]
    curve = curve_by_hand(deviation, shares, dimension, bound)
    wanted = by_hand([(curve, count)], delta)
    found = epsilon_after([event] * count, delta, adversary)
    assert found == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("delta", [1e-5, 1e-6, 1e-8])
@pytest.mark.parametrize(("cohort", "lost"), COHORTS)
@pytest.mark.parametrize(("multiplier", "count"), LOADS)
def test_epsilon_lies_between_the_continuous_one_and_a_tenth_more(
    multiplier, count, cohort, lost, delta
):
    event = Query(cohort, 5_000, 900.0).spent(multiplier, cohort - lost)
    low, near = continuous(multiplier, count, delta)
    assert near == pytest.approx(
        get_epsilon_gaussian(multiplier / math.sqrt(count), delta), abs=2e-3
    )
    assert low <= near <= epsilon_after([event] * count, delta) <= 1.10 * near


@pytest.mark.parametrize(("deviations", "delta"), [(60, 1e-5), (0.7, 1e-3)])
def test_where_a_tenth_more_is_not_enough_the_conversion_is_why(deviations, delta):
    """Tiny epsilon or large delta: Renyi curves lose more, whatever the orders."""
    event = Query(100, 5_000, 900.0).spent(deviations)
    found = epsilon_after([event], delta)
    exact_curve = ALPHAS / (2 * deviations**2)  # the continuous Gaussian's own
    assert found == pytest.approx(by_hand([(exact_curve, 1)], delta), rel=2e-2)
    assert found > 1.10 * get_epsilon_gaussian(deviations, delta)


def test_the_table_of_the_design_is_met():
    event = Query(100, 100_000, 5_000.0).spent(4.0)
    found = [epsilon_after([event] * count, 1e-5) for count in (10, 100, 200)]
    assert found == pytest.approx([3.6, 14.1, 22.0], abs=0.1)


@given(
    kinds=st.lists(
        st.tuples(st.floats(1, 50), st.sampled_from(COHORTS), st.integers(1, 5)),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=25, deadline=None)
def test_stages_and_lost_rounds_add_up(kinds):
    bound, dimension, delta = 700.0, 2_000, 1e-6
    events, ways = [], []
    for multiplier, (cohort, lost), count in kinds:
        query = Query(cohort, dimension, bound)
        events += [query.spent(multiplier, cohort - lost)] * count
        deviation = multiplier * bound / math.sqrt(cohort // 3 + 1)
        ways.append(
            (curve_by_hand(deviation, cohort // 3 + 1, dimension, bound), count)
        )
    found = epsilon_after(events, delta)
    assert found == pytest.approx(by_hand(ways, delta), rel=1e-2)
    assert found == pytest.approx(epsilon_after(events[::-1], delta), rel=1e-12)
    assert epsilon_after(events[1:], delta) <= found * (1 + 1e-12)


def test_coarse_noise_is_charged_for_not_being_gaussian():
    """At half a grid unit the sum of shares is far from a discrete Gaussian."""
    coarse = Spent(bound=3.0, variance=0.25, cohort_size=30, dimension=9)
    signal = 9.0 / (11 * 0.25)
    off = 10 * sum(math.exp(-2 * math.pi**2 * 0.25 * k / (k + 1)) for k in range(1, 11))
    assert tau(11, 0.25) == pytest.approx(off)
    (first, added), (second, _), (third, _) = curves(coarse, "third")
    assert (first, added) == pytest.approx((signal / 2, 9 * off))
    assert second == pytest.approx((math.sqrt(signal) + 3 * off) ** 2 / 2)
    assert third <= second * (1 + 1e-12)
    assert epsilon_after([coarse], 1e-5) > epsilon_after(
        [Spent(bound=60.0, variance=100.0, cohort_size=30, dimension=9)], 1e-5
    )


def test_who_knows_less_noise_is_worth_less():
    event = Query(90, 1_000, 500.0).spent(4.0, 70)
    lost = {who: epsilon_after([event] * 10, 1e-5, who) for who in ADVERSARIES}
    assert lost["everybody"] > lost["third"] > lost["readers"]


def test_a_sum_that_was_never_opened_counts_as_one_of_the_quorum():
    query = Query(90, 1_000, 500.0)
    assert query.spent(4.0).shares("readers") == quorum(90) == 60
    assert query.spent(4.0, 80).shares("readers") == 80


@given(st.integers(1, 1000))
def test_honest_shares_are_what_the_quorum_leaves(cohort):
    accomplices = 2 * quorum(cohort) - cohort - 1
    assert honest(cohort) == quorum(cohort) - accomplices
    assert accomplices >= math.ceil(cohort / 3) - 1  # fewer than a third


def test_nothing_spent_is_nothing_lost():
    assert epsilon_after([], 1e-5) == 0.0


def test_orders_reach_further_than_the_library_s():
    assert min(ORDERS) < 1.1
    assert max(ORDERS) > 1024


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bound": 0.0}, "L2 bound of 0"),
        ({"bound": math.inf}, "L2 bound of inf"),
        ({"dimension": 0}, "over 0 coordinates"),
        ({"variance": 0.2}, "expected 1/4 or more"),
        ({"variance": math.nan}, "expected 1/4 or more"),
        ({"survivors": 6}, "got 6 survivors of 10, expected 7"),
        ({"survivors": 11}, "got 11 survivors"),
        ({"cohort_size": 0}, "got 0 survivors of 0"),
    ],
)
def test_numbers_that_the_theorem_does_not_speak_of_are_refused(change, message):
    plain = {"bound": 9.0, "variance": 4.0, "cohort_size": 10, "dimension": 5}
    with pytest.raises(ConfigError, match=message):
        Spent(**{**plain, **change})


@pytest.mark.parametrize("delta", [0.0, 1.0, -1.0, math.nan])
def test_a_delta_that_is_none_is_refused(delta):
    with pytest.raises(ConfigError, match="got a delta"):
        epsilon_after([], delta)
