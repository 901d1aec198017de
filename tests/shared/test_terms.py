"""What both sides work out from an offer, and that masks only round."""

from dataclasses import replace

import numpy as np
import pytest
from toy_federation import group
from toy_sums import CROWD, LAYOUT, PART, bounds_of, summed, terms, updates

from proper_shared.aggregation import Sum
from proper_shared.errors import FormatError, ProtocolError
from proper_shared.offers import Noise
from proper_shared.secagg.checks import Refusal
from proper_shared.summing import collect, contribute, offer_of, resume
from proper_shared.terms import FACTOR, Terms, kind_of
from proper_shared.vectors.encoding import ring_for


def test_a_probe_finds_the_norms_and_shows_nothing_else():
    vectors = updates()
    probe = terms()
    assert probe.probing
    assert set(probe.sent.shapes) == {"norms"}
    found = probe.next_bounds(summed(probe, vectors))
    norms = [np.linalg.norm(v[:-1]) for v in vectors]  # the last number is the loss
    expected = FACTOR * np.exp(np.mean(np.log(norms)))
    assert found["update"] == pytest.approx(expected, rel=0.01)
    assert set(found) == {"update", "loss", "norms"}


def test_the_sum_under_masks_is_the_sum_in_clear_up_to_rounding():
    vectors = updates()
    bounds = bounds_of(vectors)
    masked = summed(terms(bounds), vectors)
    plain = summed(terms(bounds, masked=False), vectors)
    exact = np.sum(vectors, axis=0, dtype=np.float64)
    for found, most in ((plain, 1e-6), (masked, 0.002)):
        update = terms(bounds).update_of(found)
        assert update.count == 5
        error = np.linalg.norm(update.total - exact) / np.linalg.norm(exact)
        assert error < most
    assert np.abs(masked.total - plain.total).max() > 0


def test_who_is_lost_is_missing_in_the_sum_and_named():
    vectors = updates(6)
    bounds = bounds_of(vectors)
    found = summed(terms(bounds, members=6), vectors, lost=(1, 4))
    rest = np.sum([v for i, v in enumerate(vectors) if i not in (1, 4)], axis=0)
    assert found.count == 4
    assert set(found.refused) == {1, 4}
    error = np.linalg.norm(found.total[: LAYOUT.size] - rest) / np.linalg.norm(rest)
    assert error < 0.01


def test_too_few_who_stay_give_no_sum():
    vectors = updates(6)
    with pytest.raises(ProtocolError):
        summed(terms(members=6), vectors, lost=(1, 2, 4))


def test_norms_follow_the_updates_from_round_to_round():
    vectors = updates()
    bounds = bounds_of(vectors)
    made = terms(bounds)
    later = made.next_bounds(summed(made, [v * 4 for v in vectors]))
    assert later["update"] == pytest.approx(4 * bounds["update"], rel=0.05)


def test_a_vector_beyond_its_bound_weighs_no_more_than_the_bound():
    bounds = {"update": 1.0, "loss": 1.0, "norms": 100.0}
    huge = [np.full(LAYOUT.size, 1e6, np.float32) for _ in range(5)]
    for masked in (True, False):
        total = summed(terms(bounds, masked=masked), huge).total
        norm = np.linalg.norm(total[: LAYOUT.size - 1])
        assert norm == pytest.approx(5, rel=0.01)


def test_other_parameters_or_offers_are_other_rounds():
    one = terms().round_id
    assert terms().round_id == one
    assert terms(serial=5).round_id != one
    assert terms(round_=2).round_id.plan != one.plan
    order = PART.order(0)
    moved = replace(order, parameters=order.parameters + 1)
    other = Terms(terms().offer, moved, LAYOUT)
    assert other.round_id.parameters != one.parameters
    assert other.round_id.plan == one.plan


@pytest.mark.parametrize(
    "changes",
    [
        {"bounds": {"update": 1.0}},
        {"bounds": {"update": 1.0, "loss": 1.0, "norms": 1.0, "more": 1.0}},
        {"ring_bits": 12},
    ],
)
def test_an_offer_that_does_not_fit_the_order_is_refused(changes):
    with pytest.raises((ProtocolError, FormatError)):
        terms(**changes).check()


def test_noise_is_added_and_norms_are_not_sent():
    bounds = {"update": 1.0, "loss": 10.0}
    noise = Noise(multiplier=1.0, delta=1e-5, participations=3)
    made = terms(bounds, noise=noise)
    assert made.sent == LAYOUT
    vectors = updates()
    sums = [summed(made, vectors) for _ in range(40)]
    exact = np.sum(vectors, axis=0, dtype=np.float64)
    errors = [(s.total - exact) * made.blocks.spread(made.blocks.scales) for s in sums]
    wanted = made.blocks.sensitivity * np.sqrt(5 / 2)  # five shares, two surely honest
    assert np.std(errors) == pytest.approx(wanted, rel=0.2)  # of 360 numbers
    assert made.next_bounds(sums[0]) == bounds
    plain = np.std([s.total - exact for s in sums], axis=0)
    told = made.deviations(5)
    assert np.mean(plain[:-1]) == pytest.approx(told["update"], rel=0.2)
    assert plain[-1] == pytest.approx(told["loss"], rel=0.5)  # one number, 40 sums


def test_a_ring_that_does_not_hold_the_noise_is_refused():
    noise = Noise(multiplier=2_000.0, delta=1e-5, participations=3)
    bounds = {"update": 1.0, "loss": 10.0}
    with pytest.raises(Refusal) as caught:
        terms(bounds, noise=noise, ring_bits=16).check()
    assert caught.value.name == "ring-too-small"
    assert ring_for(5, LAYOUT.size, 2_000.0).bits == 24
    terms(bounds, noise=noise, ring_bits=24).check()


def test_a_session_goes_on_in_another_process_where_it_was_put_away():
    vectors = updates()
    made = terms(bounds_of(vectors))
    me, rounding = CROWD.me(0, made.offer), CROWD.rounding(0, made)
    half = contribute(made, me, vectors[0], rounding)
    roster = {seat: CROWD.signer(seat).identity.hex() for seat in range(5)}
    first = half.answer(collect(made, roster).requests()[0])
    away = half.suspend()
    assert offer_of(away) == made.offer
    again = resume(away, CROWD.me(0, made.offer))
    assert again.round_id == made.round_id
    assert again.suspend() == away
    assert first


def test_vectors_of_another_shape_have_norms_of_their_own():
    experts = group({n: np.zeros(s) for n, s in PART.shape.trained.items()})
    layouts = (PART.layout(0), PART.layout(1), experts.layout(0))
    assert len({kind_of(layout) for layout in layouts}) == 3
    assert kind_of(PART.layout(2)) == kind_of(PART.layout(0))


def test_a_sum_without_sense_gives_no_bounds():
    made = terms()
    with pytest.raises(ProtocolError, match="norms"):
        made.next_bounds(Sum(np.full(made.sent.size, np.nan), (0,)))
