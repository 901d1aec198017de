"""Groups found by sums, against the same mixture fitted in one place."""

import math

import numpy as np
import pytest
import tiny
from pydantic import ValidationError
from scipy.special import logsumexp, softmax
from sklearn.metrics import adjusted_rand_score

from proper_shared.errors import FormatError
from proper_shared.grouping import (
    FORGET,
    GAIN,
    HEAT,
    REACH,
    READING,
    RIDGE,
    SHARPNESS,
    STARTS,
    WARM,
    C,
    Features,
    Grouping,
    P,
    Sizes,
    answer,
    first_embedding,
    gains_of,
    phase_of,
    place_of,
    sharpness,
)
from proper_shared.method.config import Method
from proper_shared.rounds import Schedule
from proper_shared.second_moments import fold, unfold

M, W, USERS, TOKENS, ROUNDS, K = 12, 8, 60, 80, 24, 9
FROZEN = {"l.population.a": np.ones((2, 3), np.float32)}


def people(groups, seed=0, users=USERS, tokens=TOKENS, widths=(M, W)):
    """Users of a group ask the same of the same inputs, more or less."""
    rng = np.random.default_rng(seed)
    m, w = widths
    mixing = stretching(rng, m)
    taste = rng.normal(size=(groups, m, w))
    true = np.arange(users) % groups
    features = []
    for group in true:
        x = rng.normal(size=(tokens, m)) @ mixing + 3  # of all, far from white
        own = taste[group] + 0.3 * rng.normal(size=(m, w))
        d = x @ own + rng.normal(size=(tokens, w)) - 1
        features.append(Features(x.astype(np.float32), d.astype(np.float32)))
    return true, features


def stretching(rng, size):
    """A map whose covariance is far from white and has no direction that vanishes."""
    turn, _ = np.linalg.qr(rng.normal(size=(size, size)))
    return turn * np.linspace(0.3, 2, size)


def first(own, tokens):
    return Features(own.x[:tokens], own.d[:tokens])


def grouping(groups, rounds=ROUNDS, seed=0, widths=(M, W)):
    schedule = Schedule(rounds=rounds, recipe=tiny.recipe())
    return Grouping(Sizes(*widths, groups), schedule, seed, FROZEN)


def values_of(made, round_):
    shapes = {name: array.shape for name, array in made.frozen.items()}
    return made.sizes.outgoing(shapes).unpack(made.order(round_).parameters)


def play(made, features, rounds=None, size=None):
    """Let cohorts answer rounds; all users in every round where no size is given."""
    for round_ in range(made.schedule.rounds) if rounds is None else rounds:
        order, values = made.order(round_), values_of(made, round_)
        cohort = np.random.default_rng(round_).permutation(len(features))[:size]
        sent = [answer(order, made.sizes, values, features[seat]) for seat in cohort]
        assert all(len(vector) == made.layout(round_).size for vector in sent)
        total = np.sum(sent, axis=0, dtype=np.float64)
        assert made.apply(round_, total, len(sent)) == 0
    return made


def copied(made):
    return {name: array.copy() for name, array in made.state().items()}


def same(made, before):
    now = made.state()
    assert now.keys() == before.keys()
    return all(np.array_equal(array, now[name]) for name, array in before.items())


def assigned(made, features):
    """Which expert each user asks, by the first routers and embeddings."""
    routers, found = made.routers(K), made.found()
    embeddings = [first_embedding(found, own, K) for own in features]
    return (np.stack(embeddings) @ routers.T).argmax(1)


def whitened(values, features):
    """Every user's tokens as the mixture sees them, (n, p) and (n, c), in double."""
    return [
        tuple(
            (array.astype(np.float64) - values[f"grouping.mean_{name}"])
            @ values[f"grouping.white_{name}"]
            for name, array in own._asdict().items()
        )
        for own in features
    ]


def in_one_place(tokens, starts, rounds):
    """Expectation maximisation with all tokens at hand, in double precision.

    Returns the groups of each start and what each start gained.
    """
    groups = starts.astype(np.float64)
    ridge = RIDGE**0.5 * np.eye(groups.shape[2]), np.zeros(groups.shape[2:])
    weight, gained = 0.0, 0.0
    for round_ in range(-(-rounds // 10), rounds):
        b = sharpness(round_, rounds)
        logits = b * np.stack([gains_by_token(groups, x, d) for x, d in tokens])
        weight = FORGET * weight + softmax(logits, axis=-1)  # (U, R, E)
        gained = FORGET * gained + logsumexp(logits, axis=-1).sum(0)
        for at in np.ndindex(groups.shape[:2]):
            rows = [
                (root * x, root * d)
                for (x, d), root in zip(tokens, weight[:, *at] ** 0.5, strict=True)
            ]
            x, d = (np.concatenate(side) for side in zip(ridge, *rows, strict=True))
            groups[at] = np.linalg.lstsq(x, d, rcond=None)[0]
    return groups, gained


def gains_by_token(groups, x, d):
    """What each group (..., p, c) gains, as it is defined: a sum over tokens."""
    said = x @ groups  # (..., n, c)
    return (said * d - said**2 / 2).sum((-2, -1))


@pytest.mark.parametrize("groups", [2, 3, 4, 5])
@pytest.mark.parametrize("size", [None, 15])
def test_clear_groups_are_found_by_sums(groups, size):
    true, features = people(groups, seed=groups)
    made = play(grouping(groups, rounds=40), features, size=size)
    assert adjusted_rand_score(true, assigned(made, features)) > 0.9


def test_sums_over_cohorts_are_the_moments_of_one_place():
    _, features = people(4)
    made = play(grouping(4), features)
    for name in ("x", "d"):
        own = [getattr(one, name).astype(np.float64) for one in features]
        mean = np.mean([one.mean(0) for one in own], axis=0)
        second = np.mean([one.T @ one / len(one) for one in own], axis=0)
        np.testing.assert_allclose(
            made.values[f"grouping.mean_{name}"], mean, rtol=1e-4
        )
        covariance, scale = second - np.outer(mean, mean), np.abs(second).max()
        found = unfold(made.sums[f"second_{name}"] / made.sums["seen"])
        np.testing.assert_allclose(found / scale, second / scale, atol=1e-6)
        white = made.values[f"grouping.white_{name}"]
        np.testing.assert_allclose(
            white.T @ covariance @ white, np.eye(len(mean)), atol=1e-3
        )


@pytest.mark.parametrize(("groups", "widths"), [(2, (M, W)), (5, (P + 6, C + 4))])
def test_a_mixture_by_sums_is_the_one_of_one_place(groups, widths):
    _, features = people(groups, seed=10 + groups, users=20, widths=widths)
    made = grouping(groups, rounds=12, widths=widths)
    drawn = made.values["grouping.starts"].copy()
    play(made, features)
    expected, gained = in_one_place(whitened(made.values, features), drawn, 12)
    np.testing.assert_allclose(made.values["grouping.starts"], expected, atol=1e-3)
    np.testing.assert_allclose(made.sums["gain"], gained, rtol=1e-3)


def test_gains_are_the_sum_over_tokens():
    rng = np.random.default_rng(3)
    groups = rng.normal(size=(2, 3, 5, 4))
    x, d = rng.normal(size=(7, 5)), rng.normal(size=(7, 4))
    found = gains_of(groups, x.T @ x, x.T @ d)
    np.testing.assert_allclose(found, gains_by_token(groups, x, d))


def test_groups_do_not_depend_on_where_features_lie_or_how_wide_they_are():
    """What whitening is for: only what is done with an input tells users apart."""
    true, features = people(3)
    rng = np.random.default_rng(2)
    wide = 9 * stretching(rng, M), 0.1 * stretching(rng, W)
    moved = [
        Features(
            *((a @ b + 5).astype(np.float32) for a, b in zip(own, wide, strict=True))
        )
        for own in features
    ]
    plain, other = play(grouping(3), features), play(grouping(3), moved)
    assert adjusted_rand_score(true, assigned(other, moved)) > 0.9
    sure = [
        np.sort([place_of(made.found(), first(own, 2)) for own in each])
        for made, each in ((plain, features), (other, moved))
    ]
    np.testing.assert_allclose(*sure, atol=0.02)


@pytest.mark.parametrize("rounds", [2, 3, 4, 7, 120])
def test_the_mixture_follows_the_moments_and_has_nine_tenths_of_the_rounds(rounds):
    phases = [phase_of(round_, rounds) for round_ in range(rounds)]
    assert phases[0] == "moments"
    assert phases == sorted(phases, key=["moments", "mixture"].index)
    assert phases.count("mixture") == rounds * 9 // 10


def test_after_a_round_that_came_to_nothing_the_worst_start_alone_is_drawn_anew():
    _, features = people(3, users=9)
    made = play(grouping(3), features, range(6))
    before, worst = copied(made), int(made.sums["gain"].argmin())
    starts = [values_of(made, n)["grouping.starts"] for n in (6, 7, 8)]
    assert np.array_equal(starts[0], made.values["grouping.starts"])
    moved = (starts[1] != starts[0]).any((1, 2, 3))
    assert moved.nonzero()[0].tolist() == [worst]
    assert not np.array_equal(starts[2], starts[1])  # should that fail too
    assert same(made, before)  # asking moves nothing
    play(made, features, [7])
    grown = made.sums["gain"] > FORGET * before["gain"]
    assert (~grown).nonzero()[0].tolist() == [worst]  # it has this round alone
    after = values_of(made, 8)["grouping.starts"]
    assert np.array_equal(after, made.values["grouping.starts"])


def test_moments_that_came_to_nothing_are_asked_for_again_until_there_are_some():
    _, features = people(3, users=9)
    made = grouping(3)
    for round_ in (1, 2, ROUNDS - 2):  # moments, and where the mixture would be
        order = made.order(round_)
        assert order.round == 0
        assert order.parameters.tobytes() == made.order(0).parameters.tobytes()
        assert made.layout(round_) == made.sizes.sums("moments")
    play(made, features, [5, 6])
    assert made.sums["seen"][0] == 9
    assert made.order(7).round == 7
    assert made.sums["gain"].any()


def test_a_checkpoint_that_does_not_say_what_moved_last_is_read():
    _, features = people(3, users=9)
    made = play(grouping(3), features, range(6))
    again, fresh = grouping(3), grouping(3)
    again.restore({n: array for n, array in made.state().items() if n != "next"})
    starts = values_of(again, 6)["grouping.starts"]  # signed already? nobody knows
    assert not np.array_equal(starts, made.values["grouping.starts"])
    fresh.restore({n: a for n, a in grouping(3).state().items() if n != "next"})
    assert fresh.order(ROUNDS - 1).round == 0


def test_too_few_rounds_for_two_phases_are_refused():
    with pytest.raises(ValueError, match="got 1 rounds, expected 2"):
        grouping(3, rounds=1)


@pytest.mark.parametrize("rounds", [40, 42, 120])
def test_sharpness_rises_from_heat_to_full_and_then_stays(rounds):
    mixture = [n for n in range(rounds) if phase_of(n, rounds) == "mixture"]
    found = np.array([sharpness(round_, rounds) for round_ in mixture])
    warm = math.ceil(WARM * len(mixture))
    assert found[0] == pytest.approx(HEAT * SHARPNESS)
    assert (np.diff(found[: warm + 1]) > 0).all()
    assert (found[warm:] == SHARPNESS).all()
    assert len(found[warm:]) > 1


def test_shares_sum_to_one_and_sharpen_with_more_tokens():
    _, features = people(3)
    found = play(grouping(3), features).found()
    sure = []
    for tokens in (1, 3, TOKENS):
        places = np.stack([place_of(found, first(own, tokens)) for own in features])
        np.testing.assert_allclose(places.sum(1), 1, rtol=1e-5)
        assert (places >= 0).all()
        sure.append(places.max(1).mean())
    assert sure[0] < sure[1] - 0.05 < 0.9
    assert sure[2] > 0.99


def test_a_user_of_whom_nothing_can_be_told_belongs_to_all_groups_alike():
    found = play(grouping(3), people(3)[1]).found()
    means = found["grouping.mean_x"], found["grouping.mean_d"]
    own = Features(*(np.tile(mean, (4, 1)) for mean in means))
    np.testing.assert_allclose(place_of(found, own), np.full(3, 1 / 3), rtol=1e-5)


def test_shares_divide_what_a_user_sends_and_leave_nothing_out():
    _, features = people(3)
    made = play(grouping(3), features, range(10))
    order, values = made.order(10), values_of(made, 10)
    (x, d), *_ = whitened(values, features)
    vector = answer(order, made.sizes, values, features[0])
    sent = made.sizes.sums("mixture").unpack(vector)
    for name, whole in (("inner", fold(x.T @ x)), ("cross", x.T @ d)):
        parts = sent[name].sum(1)  # (R, ...)
        np.testing.assert_allclose(parts, [whole] * STARTS, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("stop", [3, 8, 15])
def test_a_grouping_goes_on_from_its_state_as_if_it_had_not_stopped(stop):
    _, features = people(3, users=12)
    expected = play(grouping(3), features)
    stopped = play(grouping(3), features, range(stop))
    fresh, kept = grouping(3, seed=99), copied(stopped)
    fresh.restore(kept)
    assert same(fresh, kept)
    play(fresh, features, range(stop, ROUNDS))
    assert same(stopped, kept)  # the two share no memory
    for name, array in expected.state().items():
        np.testing.assert_allclose(fresh.state()[name], array, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("round_", [0, 8])
def test_a_sum_of_another_length_is_refused_and_changes_nothing(round_):
    made = play(grouping(3), people(3, users=6)[1], range(round_))
    before = copied(made)
    for size in (made.layout(round_).size + 1, made.layout(round_).size - 1):
        with pytest.raises(FormatError, match="numbers"):
            made.apply(round_, np.zeros(size), 1)
    assert same(made, before)


def test_a_checkpoint_of_another_grouping_is_refused_and_changes_nothing():
    made, other = grouping(3), grouping(4)
    before = copied(made)
    with pytest.raises(FormatError, match="grouping"):
        made.restore(other.state())
    assert same(made, before)


def test_an_order_holds_the_population_and_all_that_a_device_needs():
    made = play(grouping(3), people(3, users=6)[1])
    received = values_of(made, 5)
    assert received.keys() == {*FROZEN, *made.values}
    for name, array in {**FROZEN, **made.values}.items():
        assert np.array_equal(received[name], array)
    assert (made.order(5).stage, made.order(5).factor) == ("grouping", None)


def test_whitened_features_are_as_wide_as_they_need_to_be_and_no_wider():
    assert Sizes(P + 1, C + 1, 5).white == (P, C)
    assert Sizes(P - 1, C - 1, 5).white == (P - 1, C - 1)


def test_an_embedding_starts_at_the_shares_and_the_routers_read_them():
    _, features = people(3)
    made = play(grouping(3), features)
    for own in features[:6]:
        place = place_of(made.found(), own)
        embedding = first_embedding(made.found(), own, K)
        assert embedding.shape == (K,)
        np.testing.assert_allclose(embedding[:3], REACH * place)
        assert not embedding[3:].any()
        np.testing.assert_allclose(
            made.routers(K) @ embedding, GAIN * REACH * place, rtol=1e-6
        )


def test_what_is_found_are_the_groups_of_the_start_that_gained_most():
    made = grouping(3)
    made.sums["gain"] = np.array([0, 3, 1, 2], np.float32)
    found, starts = made.found(), made.values["grouping.starts"]
    assert np.array_equal(found["grouping.groups"], starts[1])
    assert {name: array.shape for name, array in found.items()} == made.sizes.reading()
    assert tuple(found) == READING


def test_an_embedding_must_have_room_for_a_share_of_each_group():
    assert Method(experts=5, embedding_size=5).embedding_size == 5
    with pytest.raises(ValidationError, match=r"embedding_size is 4, expected .* 5"):
        Method(experts=5, embedding_size=4)
