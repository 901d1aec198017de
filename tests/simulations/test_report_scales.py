"""Scales, ticks, labels and marks of the chart module."""

import re

import pytest

from proper_simulations.report import curve
from proper_simulations.report.scales import (
    Scale,
    entry_positions,
    log_ticks,
    padded,
    spread,
    ticks,
)
from proper_simulations.report.svg import SHAPES, Canvas


def test_scales_map_ends_to_ends():
    assert Scale((1, 100), (0, 10), log=True)(10) == pytest.approx(5)
    assert Scale((2, 0), (0, 10))(0) == 10


def test_ticks_are_round_and_inside():
    assert ticks((0.43, 0.91)) == [0.5, 0.6, 0.7, 0.8, 0.9]
    assert ticks((0.91, 0.43)) == ticks((0.43, 0.91))
    assert log_ticks((3, 60)) == [5, 10, 20, 50]


def test_a_range_of_equal_values_has_air():
    assert padded([0.0, 0.0]) == (-1.0, 1.0)
    low, high = padded([5.0])
    assert low < 5 < high


def test_doublings_are_equally_far_apart_and_zero_and_all_are_apart():
    assert entry_positions([0, 1, 2, 4, "all"]) == [-1.2, 0, 1, 2, 3.2]


def test_labels_move_apart_no_more_than_they_must():
    assert spread([10, 50], 16) == [10, 50]
    assert spread([12, 10], 16) == [19, 3]
    assert spread([0, 1, 100], 10) == [-4.5, 5.5, 100]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_centred_on_its_place(shape):
    canvas = Canvas((20, 20), "x", "title", "description")
    canvas.mark((10, 10), shape, "looks", "tip")
    assert "<title>tip</title>" in str(canvas)


@pytest.mark.parametrize("metric", ["accuracy", "mae"])
def test_up_is_better_on_the_curve(make_results, metric):
    drawing = str(curve.figure(make_results(metric)).draw(720, "curve"))
    lines = {
        name: [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", d)]
        for d, name in re.findall(r'd="([^"]+)" class="curve m-(\w+)"', drawing)
    }
    assert lines["best_given_history"][-1] < lines["stage3"][-1] < lines["stage2"][-1]
