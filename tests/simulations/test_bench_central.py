"""Federated against central: the same start, the same entries, the same questions."""

import json
import math
from itertools import islice

import numpy as np
import pytest
from click.testing import CliRunner
from small_run import forget, llama, small

from proper_client.trainer import Trainer
from proper_shared.errors import ConfigError
from proper_shared.method import cohort
from proper_simulations.bench import central as bench
from proper_simulations.bench import in_one_place
from proper_simulations.cli import main
from proper_simulations.config import RunConfig, read_seeds
from proper_simulations.site import RunSite

__all__ = ["llama", "small"]  # fixtures


@pytest.fixture(scope="module")
def base(small, llama):  # noqa: ARG001  small changes the runs
    forget()
    return RunConfig(users=4, backbone=str(llama), quick=True)


@pytest.fixture(scope="module")
def found(base):
    return bench.central((0,), base)


def drawn(monkeypatch, module, train):
    """Return all batches that are collated by a module while something trains."""
    batches, collate = [], module.collate

    def listen(rows, padding):
        batches.append([tuple(own) for own in rows])
        return collate(rows, padding)

    monkeypatch.setattr(module, "collate", listen)
    train()
    monkeypatch.setattr(module, "collate", collate)
    return batches


def test_both_learn_the_same_entries_in_the_same_order(base, monkeypatch):
    site = RunSite(base)
    there = drawn(
        monkeypatch, cohort, lambda: bench.federated(site, "masked", masked=True)
    )
    here = drawn(monkeypatch, in_one_place, in_one_place.InOnePlace(site).train)
    assert [set(rows) for rows in here] == [set(rows) for rows in there]
    assert len(here) > 4


def test_every_way_is_asked_and_compared_by_stage(found):
    assert found == json.loads(bench.as_text(found, as_json=True))
    assert {"command", "seeds", "machine", "versions"} <= found.keys()
    assert [row["stage"] for row in found["rows"]] == ["population", "group"]
    for row in found["rows"]:
        assert row["loss"].keys() == {"central", "masked", "again", "unmasked"}
        assert all(math.isfinite(loss) for loss in row["loss"].values())
        assert row["tokens"] > 0
        central, masked = row["loss"]["central"], row["loss"]["masked"]
        assert row["against_central"] == pytest.approx(masked / central - 1)
    assert len(bench.as_text(found, as_json=False).splitlines()) == 2 + 2 + 2


def test_masks_change_next_to_nothing(found):
    for row in found["rows"]:
        # Rounding turns the first step of Adam where a gradient is next to zero.
        assert 0 < row["apart_by_masks"] < 0.2
        assert 0 < row["apart_by_rounding"] < 0.2
        assert abs(row["by_masks"]) < 1e-3


def test_a_group_part_that_learnt_nothing_loses_as_the_backbone(base):
    site = RunSite(base)
    parts = islice(site.parts(), 3)
    part = [p for p in parts if p.stage == "group"][0]  # noqa: RUF015
    losses = bench.held_out(site, part)
    assert losses["population"] == pytest.approx(losses["group"], rel=1e-5)
    assert isinstance(site.trainer(), Trainer)


def test_distance_is_a_share_of_the_way():
    start = {"a": np.zeros(4, np.float32)}
    one, other = {"a": np.full(4, 3.0)}, {"a": np.full(4, 2.0)}
    assert bench.apart(one, other, start) == pytest.approx(0.5)
    assert bench.apart(other, other, start) == 0


def test_seeds_are_different_numbers():
    assert read_seeds("2,0") == (2, 0)
    for text in ("", "1,1", "a", "1,,2", "-1"):
        with pytest.raises(ConfigError):
            read_seeds(text)
    said = CliRunner().invoke(main, ["bench", "central", "--seeds", "x"])
    assert (said.exit_code, "expected different numbers" in said.stderr) == (2, True)
