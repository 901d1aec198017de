"""Rings add as integers do, as long as nothing wraps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proper_shared.errors import FormatError
from proper_shared.secagg.ring import WIDTHS, Ring


@pytest.mark.parametrize("bits", WIDTHS)
@settings(deadline=None)
@given(data=st.data())
def test_a_sum_of_elements_is_the_sum_of_integers(bits, data):
    ring, most = Ring(bits), (1 << (bits - 1)) // 4 - 1
    numbers = st.lists(st.integers(-most, most), min_size=3, max_size=3)
    rows = np.array(data.draw(st.lists(numbers, min_size=1, max_size=4)))
    total = ring.add([ring.wrap(row) for row in rows])
    assert ring.centred(total).tolist() == rows.sum(0).tolist()


@pytest.mark.parametrize("bits", WIDTHS)
@settings(deadline=None)
@given(data=st.data())
def test_elements_survive_bytes_and_negation(bits, data):
    ring = Ring(bits)
    half = 1 << (bits - 1)
    numbers = np.array(data.draw(st.lists(st.integers(-half, half - 1))), np.int64)
    elements = ring.wrap(numbers)
    spelt = ring.to_bytes(elements)
    assert len(spelt) == len(numbers) * ring.nbytes
    assert ring.from_bytes(spelt).tolist() == elements.tolist()
    assert not ring.add([elements, ring.negate(elements)]).any()
    assert ring.centred(elements).tolist() == numbers.tolist()


def test_other_widths_and_broken_bytes_are_refused():
    with pytest.raises(FormatError, match="expected 16 or 24"):
        Ring(32)
    with pytest.raises(FormatError, match="expected 3 each"):
        Ring(24).from_bytes(b"1234")
