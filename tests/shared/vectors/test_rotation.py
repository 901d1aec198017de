"""A rotation loses nothing, is the same everywhere, and spreads what is large."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import hadamard as sylvester

from proper_shared.errors import FormatError
from proper_shared.vectors.rotation import Rotation, hadamard

SEED = bytes(range(32))


@pytest.mark.parametrize("k", range(10))
def test_the_fast_transform_is_the_matrix(k):
    rows = np.random.default_rng(k).standard_normal((3, 2**k))
    expected = rows @ sylvester(2**k) / 2 ** (k / 2)
    np.testing.assert_allclose(hadamard(rows), expected, atol=1e-12)
    np.testing.assert_allclose(hadamard(hadamard(rows)), rows, atol=1e-12)


@settings(deadline=None)
@given(st.integers(1, 3000), st.binary(min_size=32, max_size=32))
def test_a_rotation_can_be_undone_and_keeps_lengths(size, seed):
    rotation = Rotation(size, seed)
    vector = np.random.default_rng(size).standard_normal(size)
    rotated = rotation.apply(vector)
    assert rotated.shape == (size,)  # nothing is padded
    np.testing.assert_allclose(rotation.undo(rotated), vector, atol=1e-12)
    assert np.linalg.norm(rotated) == pytest.approx(np.linalg.norm(vector))


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 150))
def test_a_rotation_is_linear_and_orthonormal(size):
    rotation = Rotation(size, SEED)
    matrix = np.stack([rotation.apply(row) for row in np.eye(size)])
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(size), atol=1e-12)
    vector = np.random.default_rng(0).standard_normal(size)
    np.testing.assert_allclose(rotation.apply(vector), vector @ matrix, atol=1e-12)


def test_the_order_is_that_of_sorted_hashes():
    size = 1000
    name = f"proper/rotation/1/{size}/order/".encode()
    stream = hashlib.shake_256(name + SEED).digest(8 * size)
    keys = [int.from_bytes(stream[8 * i : 8 * i + 8], "little") for i in range(size)]
    order = Rotation(size, SEED).order
    assert order.tolist() == sorted(range(size), key=keys.__getitem__)


def test_rotations_of_other_seeds_and_sizes_differ():
    order = Rotation(500, SEED).order
    assert (order != Rotation(500, bytes(32)).order).mean() > 0.9
    assert (order != Rotation(501, SEED).order[:500]).mean() > 0.9


def test_a_fixed_rotation_is_the_same_on_every_machine():
    rotated = Rotation(5, SEED).apply(np.arange(5.0))
    assert rotated.tolist() == [1.5, 4.75, 1.25, -1.75, 0.75]


@pytest.mark.parametrize("size", [1000, 4097, 70_000, 200_001])
def test_a_tensor_that_is_large_alone_does_not_stand_out(size):
    vector = np.random.default_rng(1).standard_normal(size) * 1e-3
    vector[: size // 50] += 1.0  # neighbours of one sign
    rotated = Rotation(size, SEED).apply(vector)
    deviation = np.linalg.norm(vector) / np.sqrt(size)
    assert np.abs(rotated).max() < 6 * deviation


def test_without_the_permutation_a_large_tensor_stays_in_its_block():
    size, block = 2**18, 2**16
    vector = np.zeros(size)
    vector[:1000] = 1.0
    signs = 1 - 2 * np.random.default_rng(2).integers(0, 2, size)
    blocked = hadamard((vector * signs).reshape(-1, block)).ravel()
    deviation = np.linalg.norm(vector) / np.sqrt(size)
    assert np.std(blocked[:block]) > 1.9 * deviation  # twice, so clamped far too often
    assert not blocked[block:].any()
    rotated = Rotation(size, SEED).apply(vector)
    for part in rotated.reshape(-1, block):
        assert np.std(part) == pytest.approx(deviation, rel=0.15)


def test_an_empty_vector_and_a_short_seed_are_refused():
    with pytest.raises(FormatError, match="expected some"):
        Rotation(0, SEED)
    with pytest.raises(FormatError, match="31 bytes, expected 32"):
        Rotation(5, SEED[1:])
