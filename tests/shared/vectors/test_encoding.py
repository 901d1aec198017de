"""What is decoded is the sum of what was clipped, up to rounding without bias."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proper_shared.errors import FormatError
from proper_shared.packing import Layout
from proper_shared.privacy.calibration import Query
from proper_shared.privacy.gaussian import draw
from proper_shared.secagg.ring import Ring
from proper_shared.vectors.clip import Blocks, clip, clip_and_scale
from proper_shared.vectors.encoding import (
    Encoding,
    least_bits,
    needed_bits,
    ring_for,
)

SEED = bytes(range(32))
ONE = {"update": 1.0}


def encoding_of(length, bits=16, cohort_size=10, bound=1.0, noise=0.0):
    blocks = Blocks.of(Layout({"x.b": (length,)}), {"update": bound})
    return Encoding(blocks, Ring(bits), cohort_size, SEED, noise)


def unit_rows(count, length, rng):
    rows = rng.standard_normal((count, length))
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def excess(numbers, span):
    return np.maximum(np.abs(numbers) - span, 0)


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    bits=st.sampled_from([16, 24]),
    count=st.integers(1, 12),
    length=st.integers(2, 300),
)
def test_a_sum_decodes_to_the_sum_of_the_clipped_vectors(seed, bits, count, length):
    rng = np.random.default_rng(seed)
    layout = Layout({"x.b": (length - 1,), "loss": (1,)})
    blocks = Blocks.of(layout, {"update": 0.5, "loss": 2.0})
    encoding = Encoding(blocks, Ring(bits), 12, SEED)
    vectors = rng.standard_normal((count, length)).astype(np.float32)
    total = encoding.ring.add([encoding.encode(v, rng.bytes) for v in vectors])
    clipped = sum(clip(vector, blocks) for vector in vectors)
    error = encoding.decode(total, count) - clipped
    scaled = error * blocks.spread(blocks.scales)
    rotated = [encoding.rotation.apply(clip_and_scale(v, blocks)) for v in vectors]
    clamped = sum(np.linalg.norm(excess(r, encoding.span)) for r in rotated)
    # Each client's rounding error is below one step a number, before the rotation.
    rounded = count * encoding.step * math.sqrt(length)
    assert np.linalg.norm(scaled) <= rounded + clamped


def test_the_order_of_addition_changes_nothing():
    rng = np.random.default_rng(0)
    encoding = encoding_of(50)
    terms = [encoding.encode(v, rng.bytes) for v in unit_rows(4, 50, rng)]
    sums = [encoding.ring.add(list(o)) for o in itertools.permutations(terms)]
    assert all((s == sums[0]).all() for s in sums)
    assert (encoding.decode(sums[0], 4) == encoding.decode(sums[-1], 4)).all()


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("cohort_size", [1, 3, 300, 1000])
def test_the_longest_vectors_of_a_whole_cohort_do_not_wrap(bits, cohort_size):
    encoding = encoding_of(4, bits, cohort_size)
    peak = encoding.rotation.undo(np.array([1.0, 0, 0, 0]))  # all in one number
    for sign in (1, -1):
        element = encoding.encode(sign * peak, bytes)
        total = encoding.ring.wrap(encoding.ring.centred(element) * cohort_size)
        found = encoding.decode(total, cohort_size)
        np.testing.assert_allclose(found, sign * cohort_size * peak, rtol=1e-3)


def test_rounding_has_no_bias():
    rng = np.random.default_rng(1)
    encoding, draws = encoding_of(100, cohort_size=300), 1000
    vector = unit_rows(1, 100, rng)[0]
    found = np.stack(
        [encoding.decode(encoding.encode(vector, rng.bytes), 1) for _ in range(draws)]
    )
    deviation = found.std(0) / math.sqrt(draws)
    assert (np.abs(found.mean(0) - vector) < 5 * deviation).all()
    assert deviation.max() < encoding.step / math.sqrt(draws)


@pytest.mark.parametrize("outlier", [False, True])
def test_a_clamp_is_as_rare_as_promised(outlier):
    encoding, rng = encoding_of(1000), np.random.default_rng(2)
    vectors = unit_rows(2000, 1000, rng)
    if outlier:
        vectors[:, :20] += 1.0  # a tensor that is nearly all of the vector
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rotated = np.stack([encoding.rotation.apply(v) for v in vectors])
    assert (excess(rotated, encoding.span) > 0).any(1).mean() < 0.02


@pytest.mark.parametrize(("bits", "noise"), [(24, 0.0), (16, 2.0)])
def test_where_levels_are_many_nothing_is_clamped(bits, noise):
    narrow, wide = encoding_of(1000), encoding_of(1000, bits, noise=noise)
    assert wide.span > 1.3 * narrow.span


def test_short_vectors_are_never_clamped():
    encoding = encoding_of(5)
    assert encoding.span == encoding.blocks.sensitivity == 1.0


@pytest.mark.parametrize(
    ("bits", "cohort_size", "alike", "different"),
    # Errors of the mean in percent, of vectors at their bound.
    [
        (16, 10, 0.02, 0.07),
        (16, 100, 0.07, 0.66),
        (16, 300, 0.11, 1.98),
        (24, 300, 0.0006, 0.011),
    ],
)
def test_the_error_of_the_mean_is_what_the_levels_say(
    bits, cohort_size, alike, different
):
    rng = np.random.default_rng(4)
    length = 5_000
    encoding = encoding_of(length, bits, cohort_size)
    rows = unit_rows(cohort_size, length, rng)
    expected = encoding.step * math.sqrt(length / 6 / cohort_size)  # of the mean
    for vectors, percent in (
        (np.tile(rows[:1], (len(rows), 1)), alike),
        (rows, different),
    ):
        total = encoding.ring.add([encoding.encode(v, rng.bytes) for v in vectors])
        error = np.linalg.norm(encoding.decode(total, len(rows)) - vectors.sum(0))
        assert error / cohort_size == pytest.approx(expected, rel=0.1)
        relative = error / np.linalg.norm(vectors.sum(0))
        assert 100 * relative == pytest.approx(percent, rel=0.2)


@pytest.mark.parametrize(
    ("bits", "cohort_size", "alike", "different"),
    [(12, 10, 0.34, 1.1), (12, 100, 1.1, 11), (12, 300, 2.1, 36), (16, 100, 0.07, 0.7)],
)
def test_a_narrower_ring_would_cost_whole_percents(bits, cohort_size, alike, different):
    encoding, levels = encoding_of(100_000), (2 ** (bits - 1) - 1) // cohort_size
    step = encoding.span / levels
    error = step * math.sqrt(encoding.length / 6 / cohort_size)
    assert 100 * error == pytest.approx(alike, rel=0.05)
    assert 100 * error * math.sqrt(cohort_size) == pytest.approx(different, rel=0.05)


def test_a_ring_is_narrow_up_to_300_clients():
    widths = {n: ring_for(n, 100_000).bits for n in (1, 10, 300, 301, 1000)}
    assert widths == {1: 16, 10: 16, 300: 16, 301: 24, 1000: 24}


@pytest.mark.parametrize("noise", [0.5, 4.0, 10.0, 40.0])
@pytest.mark.parametrize("cohort_size", [10, 100, 1000])
@pytest.mark.parametrize("length", [1000, 100_000])
def test_under_noise_the_ring_holds_what_the_formula_asks(noise, cohort_size, length):
    ring = ring_for(cohort_size, length, noise)
    encoding = encoding_of(length, ring.bits, cohort_size, noise=noise)
    rms = encoding.blocks.sensitivity / math.sqrt(length) / encoding.step
    assert rms >= 1
    assert needed_bits(cohort_size, length, 0.999 * rms, noise) <= ring.bits
    if rms < 15.99:
        assert needed_bits(cohort_size, length, 1.001 * rms, noise) > ring.bits


def test_more_noise_than_any_ring_holds_is_refused():
    with pytest.raises(FormatError, match="got noise that asks for a ring of"):
        ring_for(1000, 10**6, 1e5)


def test_a_client_refuses_a_ring_that_is_too_small():
    assert least_bits(100, 100_000, 40.0) > 16
    with pytest.raises(FormatError, match="16 bits for 100 clients, expected"):
        encoding_of(100_000, 16, 100, noise=40.0)
    with pytest.raises(FormatError, match="expected"):
        encoding_of(100, 16, 5000)


def test_noise_is_added_before_the_wrap():
    rng = np.random.default_rng(5)
    encoding = encoding_of(1000, cohort_size=100, noise=4.0)
    vector = unit_rows(1, 1000, rng)[0]
    noise = rng.integers(-50, 50, 1000)
    ring = encoding.ring
    stream = np.random.default_rng(6).bytes
    plain = encoding.encode(vector, stream, np.zeros(1000, np.int64))
    stream = np.random.default_rng(6).bytes
    noised = encoding.encode(vector, stream, noise)
    assert (ring.centred(noised) - ring.centred(plain) == noise).all()


@pytest.mark.parametrize(("bits", "z"), [(16, 0.5), (16, 4.0), (24, 4.0)])
def test_the_sum_under_the_promised_noise_is_off_by_that_noise(bits, z):
    rng = np.random.default_rng(7)
    n, length = 30, 20_000
    encoding = encoding_of(length, bits, n, noise=z)
    vector = unit_rows(1, length, rng)[0]  # all alike: the longest sum
    variance = Query(n, length, encoding.sensitivity).variance(z)
    noises = [draw(variance, length, rng.bytes) for _ in range(n)]
    terms = [encoding.encode(vector, rng.bytes, noise) for noise in noises]
    total = encoding.ring.add(terms)
    rest = encoding.ring.centred(total) - sum(noises)
    assert np.abs(rest).max() <= n * encoding.levels  # nothing wrapped
    error = encoding.decode(total, n) - n * vector
    expected = z * math.sqrt(n / (n // 3 + 1))  # of the bound of one vector
    assert error.std() == pytest.approx(expected, rel=0.2)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-10, 10))
def test_integers_never_exceed_the_sensitivity(seed, log_size):
    rng = np.random.default_rng(seed)
    encoding = encoding_of(200, cohort_size=300)
    vector = rng.standard_normal(200) * 2.0**log_size
    integers = encoding.ring.centred(encoding.encode(vector, rng.bytes))
    assert int(integers @ integers) <= encoding.squared_limit
    assert np.abs(integers).max() <= encoding.levels


def test_a_member_that_is_missing_does_not_change_the_others():
    rng = np.random.default_rng(8)
    encoding = encoding_of(300, 24, 10)
    rows = unit_rows(10, 300, rng)
    terms = [encoding.encode(v, rng.bytes) for v in rows]
    found = encoding.decode(encoding.ring.add(terms[:7]), 7)
    np.testing.assert_allclose(found, rows[:7].sum(0), atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_vector_with_no_number_is_refused(value):
    with pytest.raises(FormatError, match="NaN or infinity"):
        encoding_of(3).encode(np.array([0, value, 0]), bytes)


def test_other_lengths_types_and_counts_are_refused():
    encoding = encoding_of(3)
    with pytest.raises(FormatError, match="numbers, expected"):
        encoding.encode(np.zeros(4), bytes)
    with pytest.raises(FormatError, match=r"of shape \(4,\), expected"):
        encoding.decode(np.zeros(4, np.uint16), 1)
    with pytest.raises(FormatError, match="uint32"):
        encoding.decode(np.zeros(3, np.uint32), 1)
    for count in (0, 11):
        with pytest.raises(FormatError, match="expected 1 to 10"):
            encoding.decode(np.zeros(3, np.uint16), count)


def test_noise_comes_where_it_is_due_and_only_there():
    with pytest.raises(FormatError, match="got some noise, expected none"):
        encoding_of(3).encode(np.zeros(3), bytes, np.zeros(3, np.int64))
    noised = encoding_of(3, noise=1.0)
    with pytest.raises(FormatError, match="got no noise, expected some"):
        noised.encode(np.zeros(3), bytes)
    for noise in (np.zeros(4, np.int64), np.zeros(3)):
        with pytest.raises(FormatError, match="got noise of"):
            noised.encode(np.zeros(3), bytes, noise)


@pytest.mark.parametrize("noise", [-1.0, math.nan, math.inf])
def test_a_multiplier_that_is_no_multiplier_is_refused(noise):
    with pytest.raises(FormatError, match="noise multiplier"):
        encoding_of(3, noise=noise)


def test_an_empty_cohort_and_a_short_seed_are_refused():
    with pytest.raises(FormatError, match="cohort of 0"):
        encoding_of(3, cohort_size=0)
    blocks = Blocks.of(Layout({"x.b": (3,)}), ONE)
    with pytest.raises(FormatError, match="seed of 5 bytes"):
        Encoding(blocks, Ring(16), 3, b"short")
