"""Scores, shares and pictures' numbers from answers that are known."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from proper_shared.history import Entry, User
from proper_shared.tasks import get_task
from proper_simulations import statistics, summary
from proper_simulations.dataset import Dataset
from proper_simulations.exam import Point
from proper_simulations.summary import Scorer
from proper_simulations.worlds import make_world

SCORES = [["4", "2"], ["5", "1"], ["3", "3"]]


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 200)


def data_of(golds=SCORES, task="LaMP_3"):
    users = tuple(
        User(
            f"u{seat}",
            (Entry("p", "a text", own[0]),) * (seat + 1),
            tuple(Entry(str(n), "a text", gold) for n, gold in enumerate(own)),
        )
        for seat, own in enumerate(golds)
    )
    return Dataset("toy", get_task(task), (), users, "0" * 64)


def scorer_of(data=None):
    return Scorer(data or data_of(), np.random.default_rng(0))


def shifted(by):
    """Answers that miss each score by so much."""
    return [[str(int(gold) + by) for gold in own] for own in SCORES]


@pytest.mark.parametrize(
    ("task", "metric"),
    [("LaMP_3", "mae"), ("LaMP_2M", "accuracy"), ("LaMP_4", "rougeL")],
)
def test_each_kind_of_task_is_judged_by_its_own_metric(task, metric):
    scorer = scorer_of(data_of(task=task))
    assert scorer.main == metric
    assert metric in scorer.by_user_metrics


def test_a_user_is_scored_by_the_mean_over_their_queries():
    answers = [["4", "3"], ["5", "1"], ["1", "3"]]
    scorer = scorer_of()
    assert scorer.by_user(answers, "mae") == {"u0": 0.5, "u1": 0, "u2": 1}
    assert scorer.by_user(answers, "accuracy") == {"u0": 0.5, "u1": 1, "u2": 0.5}
    assert scorer.scores(answers)["mae"] == pytest.approx(0.5)


def table_of(**answers):
    return scorer_of().table(answers)


def test_a_pair_is_there_when_both_methods_are():
    table = table_of(stage1=shifted(-1), chosen=SCORES)
    assert table.pairs().keys() == {"chosen-stage1"}
    pair = table.pairs()["chosen-stage1"]["mae"]
    assert (pair.difference, pair.wins, pair.losses) == (-1, 3, 0)


def test_gains_point_upwards_where_lower_is_better():
    table = table_of(stage1=shifted(-1), chosen=SCORES)
    gains = table.gains({"u1": 4})
    assert [gain.gain for gain in gains] == [1, 1, 1]
    assert [gain.group for gain in gains] == [None, 4, None]
    assert [gain.entries for gain in gains] == [1, 2, 3]


def test_who_is_served_worse_than_by_stage_1_is_counted():
    worse = [["4", "1"], *SCORES[1:]]
    methods = dict.fromkeys(("stage1", "stage2", "stage3", "oppu"), SCORES)
    assert table_of(**methods, chosen=worse).worse() == pytest.approx(
        {"stage2": 0, "stage3": 0, "chosen": 1 / 3, "oppu": 0}
    )


def test_shares_need_a_ceiling():
    methods = dict.fromkeys(("stage2", "stage3", "chosen", "oppu"), SCORES)
    assert table_of(stage1=shifted(-1), **methods).shares() == {}
    ceiling = {"stage1": shifted(-1), "best_given_history": SCORES}
    shares = table_of(**ceiling, **methods).shares()
    assert shares["chosen"]["mae"].share == pytest.approx(1)


def test_the_curve_runs_over_the_counts_and_ends_with_all():
    methods = ("stage1", "stage2", "stage3", "chosen", "oppu")

    def point(by):
        return Point({name: shifted(by) for name in methods}, ["group"] * 3)

    points = {None: point(0), 8: point(-1), 0: point(-2)}
    ceilings = dict.fromkeys(points, SCORES)
    curve = summary.curve(scorer_of(), points, ceilings)
    assert curve.entries == [0, 8, "all"]
    assert curve.methods["stage3"]["mae"] == [2, 1, 0]
    assert curve.methods["best_given_history"]["mae"] == [0, 0, 0]
    assert "best_given_history" not in summary.curve(scorer_of(), points, {}).methods


def test_each_pair_of_the_curve_is_compared_once_at_each_point(monkeypatch):
    methods = ("stage1", "stage2", "stage3", "chosen", "oppu")
    points = {n: Point(dict.fromkeys(methods, SCORES), []) for n in (None, 0, 8)}
    compared = []
    pair = summary.Table.pair

    def counted(table, a, b):
        compared.append((a, b))
        return pair(table, a, b)

    monkeypatch.setattr(summary.Table, "pair", counted)
    curve = summary.curve(scorer_of(), points, {})
    assert len(compared) == len(points) * len(summary.CURVE_PAIRS)
    assert curve.paired["stage3-oppu"].keys() == {"mae", "accuracy"}


def test_chosen_levels_are_counted_by_the_name_of_their_stage():
    point = Point({}, ["group", "personal", "group"])
    assert summary.chosen_counts(point) == {"stage1": 0, "stage2": 2, "stage3": 1}


def test_groups_are_found_where_routes_differ_and_only_where_they_are_known():
    world = make_world("tagging", 0, others=20, users=15)
    rng = np.random.default_rng(0)
    groups, new = (
        [world.truth.groups[user.user_id] for user in part]
        for part in (world.others, world.users)
    )
    routes = np.eye(5)[groups] + rng.normal(0, 0.01, (20, 5))
    weights = np.eye(5)[new][:, None] + rng.normal(0, 0.3, (15, 40, 5))
    found = summary.recovered_groups(world, world.others, routes, weights.tolist())
    assert found.adjusted_rand == found.new_adjusted_rand == 1
    for part, true, told in (
        (world.others, groups, found.posterior_adjusted_rand),
        (world.users, new, found.new_posterior_adjusted_rand),
    ):
        posterior = [world.truth.posterior_group(user) for user in part]
        expected = adjusted_rand_score(true, posterior)
        assert told == pytest.approx(expected, abs=1e-6)
    assert summary.recovered_groups(data_of(), (), routes, []) is None


def test_a_picture_of_people_needs_some():
    world = make_world("tagging", 0, others=12, users=0)
    routes = np.random.default_rng(0).normal(size=(12, 5))
    spots = summary.spots(world, world.others, routes)
    truth = [world.truth.groups[user.user_id] for user in world.others]
    assert [spot.group for spot in spots] == truth
    assert summary.spots(world, world.others[:9], routes[:9]) == []


def test_densities_of_expert_weights_are_those_of_each_expert():
    weights = [[[0.9, 0.1]] * 3] * 2  # of two users in three layers
    router = summary.densities(weights, None)
    assert router.without_constraint is None
    for line, peak in zip(router.with_constraint, (0.9, 0.1), strict=True):
        edge = router.edges[int(np.argmax(line))]
        assert edge <= peak + 1e-9 <= edge + 0.04 + 1e-9
    assert summary.densities(weights, weights).without_constraint is not None
