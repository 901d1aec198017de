"""Members that lie through the real protocol, and what is released all the same."""

import json

import pytest
from small_run import forget, llama, small

from proper_simulations.bench import lies as bench
from proper_simulations.config import RunConfig

__all__ = ["llama", "small"]  # fixtures
SIZE = bench.Size(members=12, cohort=6, rounds=4)  # one of two blocks has no liar
ALONE = {"NaN", "shape", "length", "huge", "unclipped"}


@pytest.fixture(scope="module")
def found(small, llama):  # noqa: ARG001  small changes the runs
    forget()
    base = RunConfig(users=4, backbone=str(llama), quick=True)
    return bench.lies(SIZE, base)


@pytest.fixture
def rows(found):
    return {(row["lie"], row["part"]): row for row in found["rows"]}


def test_each_lie_and_part_has_a_row(found):
    assert found == json.loads(bench.as_text(found, as_json=True))
    assert {"command", "seed", "machine", "versions"} <= found.keys()
    assert len(found["rows"]) == 2 * (1 + len(bench.LIES))
    assert len(bench.as_text(found, as_json=False).splitlines()) == 2 + 18
    for row in found["rows"]:
        assert row["liars"] == (
            1 if row["lie"] in ALONE else 0 if row["lie"] == "honest" else 2
        )


def test_whatever_is_released_is_finite_and_inside_the_band(found):
    for row in found["rows"]:
        assert row["finite"]
        assert row["inside"], row


@pytest.mark.parametrize("part", ["population", "group"])
def test_what_cannot_be_added_costs_the_liar_its_place_alone(rows, part):
    assert rows["honest", part]["dropouts"] == 0
    for lie in ("NaN", "shape", "length"):
        row = rows[lie, part]
        assert row["dropped_rounds"] == 0
        # One block of two is due every other round.
        assert row["dropouts"] == row["rounds"] // 2


@pytest.mark.parametrize("part", ["population", "group"])
def test_a_vector_that_was_not_clipped_costs_its_block_the_round(rows, part):
    row = rows["unclipped", part]
    assert row["dropped_rounds"] == row["rounds"] // 2
    assert "expected" in row["why"]


def test_lies_within_the_bounds_pass_and_do_something(rows):
    honest = rows["honest", "population"]
    for lie in ("flipped", "largest"):
        row = rows[lie, "population"]
        assert row["dropped_rounds"] == row["dropouts"] == 0
        assert row["loss"] != honest["loss"]
    assert honest["against_honest"] == 0
