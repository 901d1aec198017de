"""Sums of x x^T over users: sent as one half, and turned into a whitening."""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
LEAST = 1e-3  # of the largest eigenvalue; directions below are left out


def half(width: int) -> int:
    """Return how many numbers of a symmetric matrix are on its diagonal and above."""
    return width * (width + 1) // 2


def fold(matrices: Floats) -> Floats:
    """Return the diagonals and what is above, (..., m, m) -> (..., half(m))."""
    rows, columns = np.triu_indices(matrices.shape[-1])
    halves: Floats = matrices[..., rows, columns]
    return halves


def unfold(halves: Floats) -> Floats:
    """Return the symmetric matrices of `fold`, (..., half(m)) -> (..., m, m)."""
    width = math.isqrt(2 * halves.shape[-1])
    rows, columns = np.triu_indices(width)
    matrices = np.empty((*halves.shape[:-1], width, width), halves.dtype)
    matrices[..., rows, columns] = halves
    matrices[..., columns, rows] = halves
    return matrices


def whitening(covariance: Floats, kept: int) -> NDArray[np.float32]:
    """Return (m, kept): columns that turn the covariance into the identity.

    Directions with almost no variance become columns of zeros.
    """
    values, vectors = np.linalg.eigh(covariance.astype(np.float64))
    values, vectors = values[-kept:], vectors[:, -kept:]
    used = values > LEAST * values[-1]
    scale = np.where(used, 1 / np.sqrt(np.where(used, values, 1)), 0)
    return (vectors * scale).astype(np.float32)
