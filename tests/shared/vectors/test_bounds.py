"""Bounds follow the clients' norms, and the coordinator sees their mean alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proper_shared.errors import FormatError
from proper_shared.packing import Layout
from proper_shared.secagg.ring import Ring
from proper_shared.vectors.bounds import (
    NORMS,
    log_norms,
    next_bounds,
    norms_bound,
    norms_layout,
    with_norms,
)
from proper_shared.vectors.clip import Blocks, blocks_of
from proper_shared.vectors.encoding import Encoding

LAYOUT = Layout({"l.population.b": (40, 3), "m.population.b": (7,), "loss": (1,)})


def vector_of(update, loss):
    vector = np.zeros(LAYOUT.size, np.float32)
    vector[0], vector[-1] = update, loss
    return vector


@settings(deadline=None)
@given(st.integers(-40, 40), st.integers(-40, 40))
def test_alike_clients_get_their_norms_times_the_factor(update, loss):
    found = log_norms(vector_of(2.0**update, -(2.0**loss)), LAYOUT)
    assert found.tolist() == [[update, loss], [1, 1]]
    bounds = next_bounds(found, LAYOUT, 8.0)
    assert bounds["update"] == 8 * 2.0**update
    assert bounds["loss"] == 8 * 2.0**loss
    assert bounds.keys() == blocks_of(with_norms(LAYOUT)).keys()


def test_a_client_without_a_block_does_not_pull_its_bound_down():
    own = [log_norms(vector_of(x, 1.0), LAYOUT) for x in (0.0, 4.0, 16.0)]
    bounds = next_bounds(np.mean(own, axis=0), LAYOUT, 1.0)
    assert bounds["update"] == pytest.approx(8.0)


def test_a_block_that_nobody_has_is_bounded_by_the_factor():
    bounds = next_bounds(log_norms(vector_of(0.0, 2.0), LAYOUT), LAYOUT, 8.0)
    assert bounds["update"] == 8.0
    assert bounds["loss"] == 16.0


@settings(deadline=None)
@given(st.floats(-1e30, 1e30), st.floats(-1e30, 1e30))
def test_no_client_exceeds_the_bound_of_the_norms(update, loss):
    found = log_norms(vector_of(update, loss), LAYOUT)
    assert np.linalg.norm(found) <= norms_bound(LAYOUT)


@pytest.mark.parametrize("probe", [True, False])
def test_bounds_can_be_read_in_an_encoded_sum(probe):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((10, LAYOUT.size)) * 2.0 ** rng.normal(0, 1, (10, 1))
    norms = [log_norms(vector, LAYOUT) for vector in vectors]
    layout = norms_layout(LAYOUT) if probe else with_norms(LAYOUT)
    wanted = next_bounds(np.mean(norms, axis=0), LAYOUT, 8.0)
    bounds = {name: wanted[name] for name in blocks_of(layout)}
    encoding = Encoding(Blocks.of(layout, bounds), Ring(16), 10, bytes(32))
    sent = [
        np.concatenate([[] if probe else vector, own.ravel()])
        for vector, own in zip(vectors, norms, strict=True)
    ]
    total = encoding.ring.add([encoding.encode(v, rng.bytes) for v in sent])
    read = layout.unpack(encoding.decode(total, 10))[NORMS] / 10
    found = next_bounds(read, LAYOUT, 8.0)
    for name, bound in found.items():
        assert bound == pytest.approx(wanted[name], rel=0.02)


def test_a_mean_of_another_shape_or_without_numbers_is_refused():
    with pytest.raises(FormatError, match=r"expected \(2, 2\)"):
        next_bounds(np.zeros((2, 3)), LAYOUT, 8.0)
    with pytest.raises(FormatError, match="got a mean"):
        next_bounds(np.full((2, 2), np.nan), LAYOUT, 8.0)
    with pytest.raises(FormatError, match="factor 0, expected above 0"):
        next_bounds(np.zeros((2, 2)), LAYOUT, 0)
