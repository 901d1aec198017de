"""Symmetric matrices by one half, and whitenings."""

import numpy as np
import pytest

from proper_shared.second_moments import fold, half, unfold, whitening

M = 12


def test_whitening_turns_a_covariance_into_the_identity():
    rng = np.random.default_rng(1)
    root = rng.normal(size=(M, M))
    covariance = root @ root.T + 0.1 * np.eye(M)
    for kept in (M, 5):
        white = whitening(covariance, kept)
        assert white.shape == (M, kept)
        np.testing.assert_allclose(
            white.T @ covariance @ white, np.eye(kept), atol=1e-4
        )


@pytest.mark.parametrize("width", [1, 2, 12, 352])
def test_half_of_a_symmetric_matrix_says_all_of_it(width):
    drawn = np.random.default_rng(width).normal(size=(3, 2, width, width))
    whole = drawn + drawn.swapaxes(-1, -2)
    halves = fold(whole)
    assert halves.shape == (3, 2, half(width))
    np.testing.assert_array_equal(unfold(halves), whole)


def test_a_direction_without_variance_is_left_out_and_not_blown_up():
    white = whitening(np.diag([4.0, 1.0, 1e-9, 0.0]), 4)
    np.testing.assert_allclose(
        white.T @ np.diag([4, 1, 0, 0]) @ white, np.diag([0, 0, 1, 1]), atol=1e-6
    )
    assert np.abs(white).max() <= 1
