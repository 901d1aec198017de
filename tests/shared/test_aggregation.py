import numpy as np
import pytest

from proper_shared.aggregation import PLAIN, PlainCollector, PlainContribution
from proper_shared.errors import ProtocolError


def row(*numbers):
    return np.array(numbers, "<f4").tobytes()


def closed(answers, length=2):
    collector = PlainCollector(tuple(answers), length)
    assert list(collector.requests()) == sorted(answers)
    collector.receive(answers)
    assert collector.requests() == {}
    return collector.result()


def test_a_sum_is_exact_in_float64():
    big, small = 2.0**24, 1.0
    total = closed({0: row(big, 0), 1: row(small, 0), 2: row(-big, 3)}).total
    assert total.dtype == np.float64
    assert total.tolist() == [1.0, 3.0]


def test_the_order_of_arrival_does_not_change_a_bit():
    rng = np.random.default_rng(0)
    rows = {seat: row(*rng.normal(size=50)) for seat in range(30)}
    there = closed(rows, 50).total
    back = closed(dict(reversed(rows.items())), 50).total
    assert there.tobytes() == back.tobytes()


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (row(1, np.nan), "NaN"),
        (row(np.inf, 1), "infinity"),
        (row(1, 2, 3), "got 12 bytes, expected 2 numbers"),
        (row(1, 2)[:-1], "got 7 bytes"),
        (b"", "got 0 bytes"),
    ],
)
def test_a_bad_vector_costs_its_sender_the_round_and_nobody_else(bad, words):
    outcome = closed({3: bad, 4: row(1, 2)})
    assert outcome.count == 1
    assert outcome.total.tolist() == [1, 2]
    assert list(outcome.refused) == [3]
    assert words in outcome.refused[3]


def test_a_stranger_is_not_added():
    collector = PlainCollector((1,), 2)
    collector.receive({1: row(1, 1), 9: row(5, 5)})
    outcome = collector.result()
    assert outcome.total.tolist() == [1, 1]
    assert "roster" in outcome.refused[9]


def test_a_round_without_a_sound_vector_has_no_sum():
    collector = PlainCollector((1, 2), 2)
    collector.receive({1: row(np.nan, 0)})
    with pytest.raises(ProtocolError, match="none of 2 nodes"):
        collector.result()


def test_a_plain_device_sends_its_vector_and_answers_no_masked_request():
    contribution = PlainContribution(np.array([1.0, 2.0]))
    with pytest.raises(ProtocolError, match="under masks"):
        contribution.answer(b"keys")
    assert contribution.answer(PLAIN) == row(1, 2)
    assert contribution.suspend() == {}
