"""What sums tell without noise, as docs/threat-model.md admits it."""

import re
from pathlib import Path

import numpy as np
from toy_sums import LAYOUT, bounds_of, summed, terms, updates

from proper_shared.offers import Noise

ROOT = Path(__file__).parents[2]
VECTORS = updates(9)
BOUNDS = bounds_of(VECTORS)
GONE = 4


def difference(first, second):
    """Return the sum of all nine less the sum without one, under two offers."""
    return summed(first, VECTORS).total - summed(second, VECTORS, lost=[GONE]).total


def test_two_sums_of_one_order_give_away_who_is_in_one_of_them():
    first, second = (terms(BOUNDS, members=9, attempt=n) for n in (0, 1))
    found = difference(first, second)[: LAYOUT.size]
    own = VECTORS[GONE]
    assert np.linalg.norm(found - own) < 0.05 * np.linalg.norm(own)


def test_two_probes_give_away_the_loss_of_who_is_in_one_of_them():
    first, second = (terms(members=9, attempt=n) for n in (0, 1))
    found = difference(first, second)  # logs of two blocks, and that there are two
    loss = abs(float(VECTORS[GONE][-1]))  # a block of one number
    assert abs(found[1] - np.log2(loss)) < 0.1


def test_with_noise_two_sums_differ_by_noise_before_all():
    plan = Noise(multiplier=4.0, delta=1e-5, participations=9)
    bounds = {name: bound for name, bound in BOUNDS.items() if name != "norms"}
    change = {"members": 9, "ring_bits": 24, "noise": plan}
    first, second = (terms(bounds, attempt=n, **change) for n in (0, 1))
    found = difference(first, second)
    assert np.linalg.norm(found - VECTORS[GONE]) > 4 * np.linalg.norm(VECTORS[GONE])


def test_the_page_on_threats_names_tests_that_are_there():
    page = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 50
    sources = (ROOT / "tests").rglob("test_*.py")
    there = {n for path in sources for n in re.findall(r"def (test_\w+)", _read(path))}
    assert named <= there


def _read(path):
    return path.read_text(encoding="utf-8")
