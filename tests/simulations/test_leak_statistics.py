"""What attacks are judged by, against answers that are known."""

import itertools
import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from proper_shared.history import Entry
from proper_simulations.bench.leak_attacks import (
    attacks,
    law,
    likelihood_ratios,
    logit,
)
from proper_simulations.bench.leak_blind import features, suspected
from proper_simulations.bench.leak_curves import (
    Pool,
    Ranking,
    area,
    draws,
    figures,
    in_pairs,
    summed_up,
    true_at,
)
from proper_simulations.bench.leak_exposure import exposure, kolmogorov, ranks


def pool_of(members, owners=None):
    members = np.asarray(members, dtype=bool)
    owners = np.zeros(len(members), dtype=int) if owners is None else owners
    return Pool(members, np.asarray(owners))


def by_pairs(scores, members):
    pairs = itertools.product(scores[members], scores[~members])
    return np.mean([(a > b) + (a == b) / 2 for a, b in pairs])


def normal_cdf(value):
    return 0.5 * (1 + math.erf(value / math.sqrt(2)))


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_the_area_is_the_share_of_pairs_in_order_and_ties_count_half(levels):
    rng = np.random.default_rng(levels)
    scores = rng.integers(levels, size=60).astype(float)
    members = rng.random(60) < 0.4
    found = area(*Ranking(scores, pool_of(members)).rates())
    assert found == pytest.approx(by_pairs(scores, members))
    assert found == pytest.approx(roc_auc_score(members, scores))


def test_true_alarms_at_a_rate_are_those_above_the_last_threshold_that_keeps_it():
    scores = np.array([9, 8, 7, 6, 5, 4, 3, 2, 1, 0], dtype=float)
    members = np.array([1, 1, 0, 1, 0, 1, 0, 0, 0, 0], dtype=bool)
    rates = Ranking(scores, pool_of(members)).rates()
    found = [true_at(*rates, rate) for rate in (0, 1 / 6, 0.3, 2 / 6, 1)]
    assert found == [0.5, 0.75, 0.75, 1.0, 1.0]


def test_equal_scores_are_no_alarms_rather_than_too_many():
    members = np.array([1, 1, 0, 0], dtype=bool)
    rates = Ranking(np.zeros(4), pool_of(members)).rates()
    assert true_at(*rates, 0.49) == 0
    assert area(*rates) == 0.5


def test_a_user_who_is_drawn_twice_counts_like_two():
    rng = np.random.default_rng(0)
    scores, members = rng.normal(size=30), rng.random(30) < 0.5
    owners = np.repeat([0, 1, 2], 10)
    weighted = Ranking(scores, pool_of(members, owners)).rates(np.array([2, 0, 1]))
    seats = np.concatenate([np.arange(10), np.arange(10), np.arange(20, 30)])
    repeated = Ranking(scores[seats], pool_of(members[seats])).rates()
    assert area(*weighted) == pytest.approx(area(*repeated))
    assert true_at(*weighted, 0.2) == pytest.approx(true_at(*repeated, 0.2))


def test_a_rate_is_spoken_of_only_where_there_are_others_enough():
    pool = pool_of([True] * 10 + [False] * 1000)
    assert pool.permits(0.01)
    assert not pool.permits(0.001)
    scores, drawn = np.zeros(1010), np.ones((2, 1), dtype=int)
    found = figures(scores, pool, (0.01, 0.001), drawn)
    assert found.keys() == {"auc", "tpr_at_0.01"}


def test_intervals_are_over_users_and_not_over_their_entries():
    rng = np.random.default_rng(1)
    owners = np.repeat(np.arange(20), 200)
    members = rng.random(4000) < 0.5
    strength = rng.normal(0, 1, 20)[owners]  # who leaks, and who misleads
    scores = rng.normal(size=4000) + members * strength
    drawn = draws(20, 300, rng)
    found = summed_up(figures(scores, pool_of(members, owners), (), drawn)["auc"])
    alone = figures(scores, pool_of(members, np.arange(4000)), (), draws(4000, 99, rng))
    narrow = summed_up(alone["auc"])
    assert found["low"] < found["value"] < found["high"]
    assert found["high"] - found["low"] > 3 * (narrow["high"] - narrow["low"])


def test_a_difference_in_pairs_knows_what_both_have_in_common():
    rng = np.random.default_rng(2)
    owners = np.repeat(np.arange(40), 50)
    members = rng.random(2000) < 0.5
    common = rng.normal(size=2000) + members * rng.normal(0.5, 1, 40)[owners]
    pool, drawn = pool_of(members, owners), draws(40, 300, rng)
    one = figures(common + 0.01 * rng.normal(size=2000), pool, (), drawn)
    other = figures(common, pool, (), drawn)
    apart, alone = in_pairs(one, other)["auc"], summed_up(one["auc"])
    assert abs(apart["value"]) < 0.01
    assert apart["high"] - apart["low"] < 0.1 * (alone["high"] - alone["low"])


def gaussian_case(drawings, entries, gap, rng):
    """Logits whose laws are known: an entry's own mean, and `gap` more if it was in."""
    owners = np.repeat(np.arange(entries // 10), 10)
    inside = rng.random((drawings, entries)) < 0.5
    hard = rng.normal(0, 3, entries)
    return hard + gap * inside + rng.normal(size=inside.shape), inside, owners


def test_the_likelihood_ratio_reaches_what_is_possible_where_the_laws_are_normal():
    rng = np.random.default_rng(3)
    logits, inside, owners = gaussian_case(65, 1000, 1.0, rng)
    scores = likelihood_ratios(logits, inside, owners).ravel()
    pool = Pool(inside.ravel(), np.tile(owners, len(inside)))
    best = normal_cdf(1 / math.sqrt(2))  # .760: two normal laws, one deviation apart
    found = area(*Ranking(scores, pool).rates())
    plain = area(*Ranking(logits.ravel(), pool).rates())
    assert best - 0.015 < found <= best + 0.005
    assert plain < 0.62  # whoever takes no heed of how hard an entry is


def test_laws_are_those_that_the_numbers_were_drawn_from():
    rng = np.random.default_rng(4)
    owners = np.repeat([0, 1], 50)
    mean, spread = rng.normal(size=100), np.where(owners == 0, 0.5, 2.0)
    values = mean + spread * rng.normal(size=(400, 100))
    found = law(values, rng.random(values.shape) < 0.5, owners)
    assert np.abs(found.mean - mean).max() < 0.6
    assert found.variance[[0, 99]] == pytest.approx([0.25, 4.0], rel=0.05)


def test_with_shuffled_membership_no_attack_sees_anything():
    rng = np.random.default_rng(5)
    owners = np.repeat(np.arange(60), 20)
    losses = np.exp(rng.normal(size=(9, 1200)))
    before = np.exp(rng.normal(size=1200))
    inside = rng.random(losses.shape) < 0.5
    pool = Pool(inside.ravel(), np.tile(owners, 9))
    for scores in attacks(losses, before, inside, owners).values():
        found = figures(scores, pool, (0.01,), draws(60, 200, rng))
        assert found["auc"][0] == pytest.approx(0.5, abs=0.02)
        assert found["tpr_at_0.01"][0] == pytest.approx(0.01, abs=0.006)


def test_a_shadow_tells_nothing_of_itself():
    logits = np.array([[5.0, 1.0], [0.0, 1.0], [0.0, 2.0], [0.1, 3.0]])
    inside = np.array([[1, 0], [0, 1], [0, 0], [0, 1]], dtype=bool)
    owners = np.array([0, 0])
    scores = likelihood_ratios(logits, inside, owners)
    assert scores[0, 0] == 0  # nobody else was trained with entry 0
    changed = logits.copy()
    changed[0, 0] = -7.0
    again = likelihood_ratios(changed, inside, owners)
    assert again[0, 0] == 0
    assert np.isfinite(again).all()


def test_the_logit_is_that_of_the_probability():
    losses = -np.log([0.1, 0.5, 0.9])
    assert logit(losses) == pytest.approx([math.log(1 / 9), 0, math.log(9)])
    assert np.isfinite(logit(np.array([0.0, 1e-30, 1e3]))).all()


def test_an_attack_by_reference_takes_off_how_hard_an_entry_is():
    before = np.array([1.0, 5.0])
    losses, inside = np.array([[0.5, 4.9], [0.9, 4.0]]), np.eye(2, dtype=bool)
    found = attacks(losses, before, inside, np.array([0, 1]))
    assert found["reference"] == pytest.approx([0.5, 0.1, 0.1, 1.0])
    assert found["loss"] == pytest.approx([-0.5, -4.9, -0.9, -4.0])


def test_a_secret_that_is_likeliest_gives_all_its_bits_away():
    likelihoods = np.array([[0.0, 9.0, 1.0, 2.0], [3.0, 2.0, 2.0, 2.0]])
    found = ranks(likelihoods, [1, 2])
    assert found.tolist() == [1, 3]  # three equals share the ranks 2 to 4
    assert exposure(found, 4) == pytest.approx([2.0, 2 - math.log2(3)])


def test_uniform_ranks_pass_and_others_do_not():
    rng = np.random.default_rng(6)
    passed = [
        kolmogorov(rng.integers(1, 10_001, 100).astype(float), 10_000)[1]
        for _ in range(400)
    ]
    assert np.mean(np.array(passed) < 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(passed) == pytest.approx(0.5, abs=0.06)
    low = np.ceil(10_000 * rng.random(100) ** 2)
    assert kolmogorov(low, 10_000)[1] < 1e-3


def test_the_probability_is_that_of_the_tables():
    # 100 ranks in even steps, shifted so that the distance is .1358: 5 % in the tables
    ranks_ = (np.arange(100) + 0.5) / 100 * (1 - 0.1308) * 1e6
    distance, probability = kolmogorov(ranks_, 1_000_000)
    assert distance == pytest.approx(0.1308, abs=0.006)
    assert probability == pytest.approx(0.05, abs=0.02)


def words_of(rng, entries):
    words = np.array(["sea", "tower", "cat", "night", "train", "song", "rain"])
    return [
        Entry(str(k), " ".join(rng.choice(words, 4)), str(rng.choice(words)))
        for k in range(entries)
    ]


def test_a_classifier_without_the_model_sees_nothing_in_random_halves():
    rng = np.random.default_rng(7)
    entries = words_of(rng, 1500)
    members = rng.random(1500) < 0.5
    scores = suspected(features(entries), members, seed=0)
    assert area(*Ranking(scores, pool_of(members)).rates()) == pytest.approx(
        0.5, abs=0.05
    )


def test_a_classifier_without_the_model_sees_halves_that_differ_by_themselves():
    rng = np.random.default_rng(8)
    entries = words_of(rng, 1500)
    members = np.array(["cat" in entry.text.split() for entry in entries])
    members ^= rng.random(1500) < 0.3
    scores = suspected(features(entries), members, seed=0)
    assert area(*Ranking(scores, pool_of(members)).rates()) > 0.65
