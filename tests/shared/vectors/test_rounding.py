"""Rounding has the right mean, moves by less than one, and stays within its norm."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proper_shared.errors import FormatError
from proper_shared.vectors.rounding import BETA, round_randomly, squared_limit

NO_LIMIT = 10**30


def stream(seed):
    return np.random.default_rng(seed).bytes


def constant(word):
    return lambda count: word * (count // 4)


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.integers(0, 99))
def test_a_number_becomes_one_of_its_neighbours(numbers, seed):
    numbers = np.array(numbers)
    rounded = round_randomly(numbers, NO_LIMIT, stream(seed))
    assert (np.floor(numbers) <= rounded).all()
    assert (rounded <= np.ceil(numbers)).all()


@pytest.mark.parametrize("word", [bytes(4), b"\xff" * 4])
@settings(deadline=None)
@given(number=st.integers(-(2**40), 2**40))
def test_integers_stay_whatever_is_drawn(word, number):
    rounded = round_randomly(np.array([float(number)]), NO_LIMIT, constant(word))
    assert rounded.tolist() == [number]


def test_the_mean_is_the_number():
    numbers = np.array([-2.75, -0.001, 0.0, 0.125, 0.5, 3.999])
    draws = 200_000
    many = np.repeat(numbers, draws)
    means = round_randomly(many, NO_LIMIT, stream(0)).reshape(-1, draws).mean(1)
    fractions = numbers - np.floor(numbers)
    deviations = np.sqrt(fractions * (1 - fractions) / draws)
    assert (np.abs(means - numbers) <= 5 * deviations).all()


def test_a_draw_that_is_too_long_is_drawn_again():
    draws = iter([bytes(8), b"\xff" * 8])
    rounded = round_randomly(np.array([0.5, 0.5]), 1, lambda _: next(draws))
    assert rounded.tolist() == [0, 0]


def test_a_vector_that_never_fits_is_refused():
    with pytest.raises(FormatError, match="exceed the norm"):
        round_randomly(np.array([3.5]), 8, stream(0))


@pytest.mark.parametrize(("norm", "length"), [(5.0, 10), (100.0, 1000), (3.0, 5000)])
def test_the_limit_is_that_of_the_paper(norm, length):
    gamma = 0.25  # the paper's formula has a step; ours is in units of it
    c, d = norm * gamma, length
    certain = (c + gamma * math.sqrt(d)) ** 2
    likely = c**2 + gamma**2 * d / 4
    likely += math.sqrt(2 * math.log(1 / BETA)) * gamma * (c + gamma * math.sqrt(d) / 2)
    expected = math.floor(min(certain, likely) / gamma**2)
    assert squared_limit(norm, length) == expected


def test_the_limit_is_hardly_ever_met_and_not_far_off():
    rng = np.random.default_rng(3)
    norm, length = 50.0, 2000
    limit, longest = squared_limit(norm, length), 0
    for seed in range(300):
        vector = rng.standard_normal(length)
        vector *= norm / np.linalg.norm(vector)
        rounded = round_randomly(vector, NO_LIMIT, stream(seed))
        longest = max(longest, int(rounded @ rounded))
    assert 0.8 * limit < longest <= limit
