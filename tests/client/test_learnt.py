"""What a model says it has learnt, as an array in its file."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proper_client.learnt import Learnt
from proper_shared.errors import FormatError

NUMBER = st.floats(0, 1e6, width=32)
COSTS = st.dictionaries(
    st.integers(0, 2**64 - 1).map(lambda number: f"{number:016x}"),
    st.just(()) | st.tuples(NUMBER, NUMBER, NUMBER),
)


@given(COSTS)
def test_what_was_learnt_comes_back_in_its_order(costs):
    array = Learnt.of(costs, costs).array()
    found = Learnt.read(array, "x").costs
    assert (found, list(found)) == (costs, list(costs))
    assert array.dtype == np.float32


def test_an_id_that_was_not_asked_has_no_costs():
    found = Learnt.of(["0" * 16, "f" * 16], {"f" * 16: (1.0, 2.0, 3.0), "e" * 16: ()})
    assert found.costs == {"0" * 16: (), "f" * 16: (1.0, 2.0, 3.0)}


@pytest.mark.parametrize("name", ["entry-1", "", "F" * 16, "0" * 17])
def test_an_id_of_another_kind_is_refused(name):
    with pytest.raises(ValueError, match="expected 16 hex digits"):
        Learnt.of([name], {}).array()


@pytest.mark.parametrize(
    "rows",
    [np.zeros((2, 6)), np.zeros(7), np.full((1, 7), 0.5), np.full((1, 7), 2.0**16)]
    + [np.full((1, 7), -1.0)],
)
def test_an_array_of_another_kind_is_refused(rows):
    with pytest.raises(FormatError, match="damaged"):
        Learnt.read(rows.astype(np.float32), "tagging")
