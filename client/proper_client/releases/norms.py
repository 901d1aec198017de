"""How large the tensors of a release may be; honest ones stay far below.

A LoRA is held against the weights that it changes: `s |B A| <= 4 |W|`, Frobenius norms.
In the starter release the largest change is 0.8 of the weights for the population, and
0.24 for an expert. What changes no weight by itself is bounded by its root mean square.
"""

from collections.abc import Mapping

import numpy as np

from proper_shared.errors import FormatError
from proper_shared.method.config import Method
from proper_shared.rounds import expert_axis
from proper_shared.tensors import Array, Arrays

MOST_CHANGE = 4.0  # of the norm of the weights
MOST_RMS = {"a": 1e3, "b": 1e3, "w_x": 1e2, "w_u": 1e2, "w_l": 1e2, "embedding": 1e2}
MOST_RMS_READING = 1e6  # of the arrays that tell where a user lies


def check_norms(
    arrays: Mapping[str, Arrays], method: Method, weights: Mapping[str, float]
) -> None:
    """Refuse tensors that are too large.

    Args:
        arrays: finite, in the shapes of the method; by part.
        method: of the release.
        weights: the norm of each layer's own weights.

    Raises:
        FormatError: one is.
    """
    for part in arrays.values():
        for name, array in part.items():
            _check_rms(name, array)
    population, experts = arrays["population"], arrays["experts"]
    for name in (n for n in population if n.endswith(".a")):
        a, b = population[name][None], population[f"{name[:-1]}b"][None]
        _check_change(name, (a, b), method.population.scale, weights)
    for name in (n for n in experts if n.endswith(".a")):
        other = f"{name[:-1]}b"
        a = expert_axis(name, experts[name], method.experts)
        b = expert_axis(other, experts[other], method.experts)
        _check_change(name, (a, b), method.expert_scale, weights)


def _check_rms(name: str, array: Array) -> None:
    most = MOST_RMS.get(name.rpartition(".")[2], MOST_RMS_READING)
    if array.size and (rms := float(np.sqrt(np.mean(np.square(array, dtype="f8"))))) > (
        most
    ):
        raise FormatError(f"{name} has root mean square {rms:.3g}, expected {most:g}")


def _check_change(
    name: str, factors: tuple[Array, Array], scale: float, weights: Mapping[str, float]
) -> None:
    """Compare `s |B A|` with the weights, for (E, r, d_in) and (E, d_out, r)."""
    a, b = (factor.astype("f8") for factor in factors)
    gram = (a @ a.swapaxes(1, 2)) * (b.swapaxes(1, 2) @ b)  # (E, r, r)
    change = scale * np.sqrt(np.maximum(gram.sum((1, 2)), 0).max())
    layer = name.rpartition(".")[0].rpartition(".")[0]
    if change > MOST_CHANGE * weights[layer]:
        raise FormatError(
            f"{name} changes its layer by {change / weights[layer]:.3g} of its "
            f"weights, expected at most {MOST_CHANGE:g}"
        )
