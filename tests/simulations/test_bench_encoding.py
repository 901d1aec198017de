"""The benchmark of the encoding measures what it says, on vectors of real rounds."""

import json
import math

import numpy as np
import pytest

from proper_shared.packing import Layout
from proper_simulations.bench import encoding_error
from proper_simulations.bench.encoding_error import Updates, as_text, measured

LAYOUT = Layout({"l.population.b": (4000,), "loss": (1,)})


def updates(count, spread=0.0):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((count, LAYOUT.size))
    vectors[:, :-1] *= 2.0 ** rng.uniform(-spread, spread, (count, 1))
    return Updates("population", LAYOUT, vectors.astype(np.float32))


def test_the_error_falls_with_the_factor_and_the_cohort():
    found = {
        (cohort, factor): measured(updates(100), cohort, factor, 0)["error"]
        for cohort in (10, 100)
        for factor in (2.0, 8.0)
    }
    assert found[10, 8.0] == pytest.approx(4 * found[10, 2.0], rel=0.1)
    # All different: fewer levels for more clients, and no more averaging than of them.
    assert found[100, 8.0] == pytest.approx(10 * found[10, 8.0], rel=0.1)


def test_a_row_says_how_many_blocks_were_clipped():
    assert measured(updates(20), 20, 4.0, 0)["clipped_blocks"] == 0
    clipped = measured(updates(20, spread=3.0), 20, 1.0, 0)
    assert clipped["clipped_blocks"] >= 5
    assert clipped["error"] > 0.1


def test_a_table_has_a_line_for_each_row_and_json_holds_all():
    rows = [measured(updates(10), n, 4.0, 0) for n in (5, 10)]
    table = as_text({"rows": rows}, as_json=False).splitlines()
    assert len(table) == 2 + len(rows)
    assert table[2].split()[:6] == ["population", "5", "4.0", "4005", "16", "0"]
    assert json.loads(as_text({"rows": rows}, as_json=True)) == {"rows": rows}


def test_vectors_of_real_rounds_are_encoded_with_little_error():
    found = encoding_error.encoding_error([2], factors=[4.0])
    assert found == json.loads(as_text(found, as_json=True))
    assert {"command", "seed", "machine", "versions", "rows"} <= found.keys()
    assert [row["part"] for row in found["rows"]] == ["population", "group"]
    for row in found["rows"]:
        assert row["clipped_blocks"] == 0
        assert all(math.isfinite(e) and e < 0.01 for e in row["errors"].values())
