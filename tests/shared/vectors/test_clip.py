"""Every block ends up within its bound, and points where it pointed."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proper_shared.errors import FormatError
from proper_shared.grouping import Sizes
from proper_shared.packing import Layout
from proper_shared.rounds import Shape
from proper_shared.vectors.clip import Blocks, blocks_of, clip, clip_and_scale

GROUP = {
    f"l{i}.group.{name}": shape
    for i in range(2)
    for name, shape in {"a": (6, 4), "b": (5, 6), "w_x": (3, 4), "w_u": (3, 2)}.items()
}
LAYOUT = Shape({}, GROUP, layers=2, experts=3).incoming("b")
BOUNDS = {"experts": 2.0, "routers": 0.5, "use": 1.0, "direction": 4.0, "loss": 3.0}
BLOCKS = Blocks.of(LAYOUT, BOUNDS)


def tensors_of(vector, block):
    parts = LAYOUT.unpack(vector)
    return np.concatenate([parts[name].ravel() for name in blocks_of(LAYOUT)[block]])


def test_every_tensor_is_in_one_block():
    population = Shape({}, {"l.population.a": (2, 3), "l.population.b": (3, 2)})
    router = Shape({}, {"l.group.w_l": (3, 4)})
    assert blocks_of(population.incoming("a")) == {
        "update": ("l.population.a",),
        "loss": ("loss",),
    }
    assert blocks_of(router.incoming(None)).keys() == {"routers", "loss"}
    assert blocks_of(LAYOUT).keys() == BOUNDS.keys()
    named = [name for names in blocks_of(LAYOUT).values() for name in names]
    assert sorted(named) == sorted(LAYOUT.shapes)
    for phase in ("moments", "mixture"):
        sums = Sizes(4, 3, 2).sums(phase)
        assert blocks_of(sums) == {name: (name,) for name in sums.shapes}


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-12, 12))
def test_a_clipped_block_is_the_same_block_no_longer_than_its_bound(seed, log_size):
    rng = np.random.default_rng(seed)
    vector = rng.standard_normal(LAYOUT.size) * 2.0**log_size
    clipped = clip(vector, BLOCKS)
    for block, bound in BOUNDS.items():
        old, new = tensors_of(vector, block), tensors_of(clipped, block)
        norm = np.linalg.norm(old)
        expected = old * min(1.0, bound / norm)
        np.testing.assert_allclose(new, expected, rtol=1e-12)
        assert np.linalg.norm(new) <= bound * (1 + 1e-12)


def test_a_scaled_vector_is_no_longer_than_the_sensitivity():
    vector = 1e6 * np.ones(LAYOUT.size, np.float32)
    scaled = clip_and_scale(vector, BLOCKS)
    assert np.linalg.norm(scaled) == pytest.approx(BLOCKS.sensitivity)
    assert BLOCKS.sensitivity < math.sqrt(len(BOUNDS))
    for block in BLOCKS.blocks:
        length = np.linalg.norm(tensors_of(scaled, block.name))
        assert length == pytest.approx(block.weight)
        assert block.weight <= 1


def test_equal_weights_give_the_root_of_the_number_of_blocks():
    equal = Blocks.of(LAYOUT, BOUNDS, dict.fromkeys(BOUNDS, 1.0))
    assert equal.sensitivity == pytest.approx(math.sqrt(5))


def test_no_other_weights_have_less_relative_error_in_sum():
    def error(weights):
        blocks = Blocks.of(LAYOUT, BOUNDS, weights).blocks
        longest = sum(b.weight**2 for b in blocks)
        return longest * sum(b.size / b.weight**2 for b in blocks)

    rng = np.random.default_rng(0)
    for _ in range(100):
        drawn = dict(zip(BOUNDS, rng.uniform(0.1, 2, len(BOUNDS)), strict=True))
        assert error(None) <= error(drawn)


def test_a_vector_of_zeros_stays_one():
    assert not clip(np.zeros(LAYOUT.size, np.float32), BLOCKS).any()


@pytest.mark.parametrize(
    ("value", "message"),
    [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity"), (1e200, "large")],
)
def test_a_number_that_is_none_is_refused(value, message):
    vector = np.zeros(LAYOUT.size)
    vector[7] = value
    with pytest.raises(FormatError, match=message):
        clip(vector, BLOCKS)


@pytest.mark.parametrize("shape", [(LAYOUT.size + 1,), (1, LAYOUT.size), (0,)])
def test_another_length_is_refused(shape):
    with pytest.raises(FormatError, match="expected"):
        clip(np.zeros(shape), BLOCKS)


@pytest.mark.parametrize("bound", [0.0, -1.0, math.nan, math.inf])
def test_a_bound_that_is_not_positive_is_refused(bound):
    with pytest.raises(FormatError, match="of use, expected above 0"):
        Blocks.of(LAYOUT, {**BOUNDS, "use": bound})


def test_bounds_of_other_blocks_are_refused():
    with pytest.raises(FormatError, match="one bound, got another set: update, use"):
        Blocks.of(
            LAYOUT, {k: v for k, v in BOUNDS.items() if k != "use"} | {"update": 1.0}
        )
    with pytest.raises(FormatError, match="weight"):
        Blocks.of(LAYOUT, BOUNDS, {"use": 1.0})


def test_tensors_without_numbers_do_no_harm():
    layout = Layout({"x.a": (2,), "y.w_x": (0, 3), "y.b": (3,), "z.w_x": (1,)})
    blocks = Blocks.of(layout, {"update": 1.0, "routers": 1.0})
    assert blocks.norms(np.ones(6)).tolist() == pytest.approx([math.sqrt(5), 1])
