import pytest

from proper_simulations.bench import four_bits as bits
from proper_simulations.bench import memory as bench
from proper_simulations.bench.memory import CASES, Case


def test_an_estimate_is_near_what_a_small_training_takes():
    case = Case("nano", 32, batch=2, tokens=16, rows=2)
    shown = []
    found = bench.memory((case,), show=shown.append)
    (row,) = found["rows"]
    assert row["peak"] > 2**27
    assert 0.6 < row["ratio"] < 1.6
    assert f"{row['ratio']:.2f}" in bench.as_lines(found)
    assert shown[0].startswith("nano")


def test_less_at_once_is_estimated_to_take_less():
    whole, cut, twice = (case.estimate for case in CASES[2:5])
    assert cut < whole
    assert twice < whole


def test_both_ways_into_4_bits_are_compared_with_full_precision():
    pytest.importorskip("bitsandbytes", reason="4 bits need bitsandbytes")
    found = bits.four_bits(2, show=lambda _way: None)
    plain, branch, merged = found["rows"]
    assert plain["nats_more"] == plain["errors_more"] == 0
    assert branch["nats"] != merged["nats"] != plain["nats"]
    assert all(row["nats_low"] <= row["nats_high"] for row in found["rows"])
    assert "branch" in bits.as_lines(found)
