import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proper_shared.errors import DataError
from proper_simulations import statistics
from proper_simulations.statistics import (
    gap_share,
    interval,
    join_seeds,
    mean_over_seeds,
    paired,
    share_worse,
    weight_density,
)


def rng():
    return np.random.default_rng(7)


def people(values):
    return {f"user-{i:02d}": float(v) for i, v in enumerate(values)}


@pytest.fixture
def pair():
    draw = np.random.default_rng(1)
    a = draw.normal(0.6, 0.2, 40)
    return people(a), people(a - draw.normal(0.05, 0.1, 40))


def test_the_interval_is_the_brute_force_bootstrap(pair, monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 200)
    a, b = pair
    drawn = rng().integers(0, 40, size=(200, 40))
    differences = [a[user] - b[user] for user in sorted(a)]
    means = [sum(differences[i] for i in row) / 40 for row in drawn]
    found = paired(a, b, "accuracy", rng())
    assert found.low == pytest.approx(np.percentile(means, 2.5), abs=1e-6)
    assert found.high == pytest.approx(np.percentile(means, 97.5), abs=1e-6)
    assert found.difference == pytest.approx(sum(differences) / 40, abs=1e-6)


def test_the_interval_agrees_with_scipy(pair):
    a, b = pair
    differences = [a[user] - b[user] for user in a]
    stats = pytest.importorskip("scipy.stats")
    theirs = stats.bootstrap(
        (differences,), np.mean, method="percentile", rng=rng()
    ).confidence_interval
    ours = paired(a, b, "accuracy", rng())
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs), abs=3e-3)


def test_the_interval_of_one_score_agrees_with_scipy(pair):
    scores = pair[0]
    stats = pytest.importorskip("scipy.stats")
    theirs = stats.bootstrap(
        (list(scores.values()),), np.mean, method="percentile", rng=rng()
    ).confidence_interval
    ours = interval(scores, rng())
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs), abs=6e-3)


def test_who_has_more_queries_weighs_more():
    scores = {"a": 0.0, "b": 1.0, "c": 0.5}
    alike = interval(scores, rng(), dict.fromkeys(scores, 7))
    assert alike.low == pytest.approx(interval(scores, rng()).low)
    assert alike.high == pytest.approx(interval(scores, rng()).high)
    far = {name: score + 0.2 for name, score in people(rng().normal(0, 1, 60)).items()}
    many = dict.fromkeys(far, 1) | {min(far): 10_000}
    found = interval(far, rng(), many)
    assert found.low <= far[min(far)] <= found.high
    with pytest.raises(DataError, match="in one method only"):
        interval(scores, rng(), {"a": 1, "b": 1})


def test_about_95_percent_of_intervals_hold_the_truth():
    draw = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        found = interval(people(draw.normal(0.3, 1, 60)), draw)
        held += found.low <= 0.3 <= found.high
    assert 0.90 <= held / 200 <= 0.98


def test_the_same_seed_gives_the_same_interval_in_any_order_of_users(pair):
    a, b = pair
    turned = dict(reversed(a.items()))
    assert paired(a, b, "accuracy", rng()) == paired(turned, b, "accuracy", rng())


def test_small_chunks_of_memory_do_not_change_the_interval(pair, monkeypatch):
    whole = paired(*pair, "accuracy", rng())
    monkeypatch.setattr(statistics, "_CHUNK", 1000)
    assert paired(*pair, "accuracy", rng()) == whole


def test_wins_count_users_whom_a_serves_better():
    a, b = people([1, 2, 3, 3]), people([2, 2, 1, 1])
    score, error = paired(a, b, "accuracy", rng()), paired(a, b, "mae", rng())
    assert (score.wins, score.ties, score.losses) == (2, 1, 1)
    assert (error.wins, error.ties, error.losses) == (1, 1, 2)


@pytest.mark.parametrize("metric", ["accuracy", "mae", "rmse", "rougeL"])
def test_the_difference_keeps_the_units_of_the_metric(metric):
    found = paired(people([1, 2]), people([3, 5]), metric, rng())
    assert found.difference == -2.5


def test_sums_in_another_order_are_a_tie():
    found = paired(people([0.1 + 0.2]), people([0.3]), "accuracy", rng())
    assert (found.wins, found.ties, found.losses) == (0, 1, 0)


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=8))
def test_a_method_is_level_with_itself(values):
    scores = people(values)
    found = paired(scores, scores, "mae", rng())
    assert (found.difference, found.low, found.high) == (0, 0, 0)
    assert found.ties == len(values)


def test_turning_a_pair_turns_its_result(pair):
    a, b = pair
    ahead, behind = paired(a, b, "rouge1", rng()), paired(b, a, "rouge1", rng())
    assert ahead.difference == -behind.difference
    assert (ahead.wins, ahead.losses) == (behind.losses, behind.wins)
    assert ahead.low == pytest.approx(-behind.high, abs=1e-6)


@pytest.mark.parametrize("metric", ["accuracy", "mae"])
def test_the_share_of_the_gap_has_no_direction(metric):
    sign = -1 if metric == "mae" else 1
    stage1, best = people([0, 0, 0]), people([4 * sign, 5 * sign, 6 * sign])
    ours = people([2 * sign, 2.5 * sign, 3 * sign])
    found = gap_share(ours, stage1, best, metric, rng())
    assert (found.share, found.low, found.high) == (0.5, 0.5, 0.5)


def test_a_method_worse_than_stage_1_has_a_negative_share():
    found = gap_share(people([0]), people([1]), people([2]), "accuracy", rng())
    assert found.share == -1


def test_no_gap_has_no_share():
    stage1, best = people([1, 1]), people([1, 0.5])
    assert gap_share(people([2, 2]), stage1, best, "accuracy", rng()) is None


def test_a_gap_that_may_be_nothing_has_no_bounds():
    stage1, best = people([0, 0, 0, 0]), people([4, 0, 0, -1])
    found = gap_share(people([1, 0, 0, 0]), stage1, best, "accuracy", rng())
    assert found.share == pytest.approx(1 / 3, abs=1e-6)
    assert found.low is None
    assert found.high is None


def test_the_share_of_users_served_worse_knows_the_direction():
    a, b = people([1, 2, 3, 3]), people([2, 2, 1, 1])
    assert share_worse(a, b, "accuracy") == 0.25
    assert share_worse(a, b, "rmse") == 0.5


def test_other_people_in_each_seed_are_units_of_their_own():
    seeds = [people([1, 2]), people([3])]
    joined = join_seeds(seeds)
    assert sorted(joined.values()) == [1, 2, 3]
    found = paired(joined, dict.fromkeys(joined, 0.0), "accuracy", rng())
    assert found.wins == 3


def test_the_same_people_in_each_seed_are_one_unit_each():
    mean = mean_over_seeds([people([1, 2]), people([3, 6])])
    assert mean == people([2, 4])


@pytest.mark.parametrize(
    "call",
    [
        lambda a, b: paired(a, b, "accuracy", rng()),
        lambda a, b: share_worse(a, b, "accuracy"),
        lambda a, b: gap_share(a, a, b, "accuracy", rng()),
        lambda a, b: mean_over_seeds([a, b]),
    ],
)
def test_methods_about_different_users_are_refused(call):
    with pytest.raises(DataError, match="1 users are in one method only"):
        call(people([1, 2]), people([1]))


def test_no_users_and_no_seeds_are_refused():
    with pytest.raises(DataError, match="no user"):
        paired({}, {}, "accuracy", rng())
    with pytest.raises(DataError, match="no seed"):
        mean_over_seeds([])


def test_each_expert_has_a_density_of_its_own():
    edges = np.linspace(0, 1, 11)
    densities = weight_density(np.array([[0.05, 0.95], [0.05, 0.95]]), edges)
    assert [np.argmax(row) for row in densities] == [0, 9]
    assert [sum(row) * 0.1 for row in densities] == pytest.approx([1, 1])
