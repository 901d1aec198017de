"""The curve spends what it says, and noise is all that parts its points."""

import json
import math

import numpy as np
import pytest

from proper_shared.errors import ConfigError
from proper_shared.privacy.calibration import Query
from proper_simulations.bench.noised_stage import Step
from proper_simulations.bench.privacy_curve import GRID, Plan, Scene, as_text, privacy

TINY = Plan(
    users=(4, 6),
    epsilons=(8.0, None),
    rounds=2,
    cohort=4,
    tested=2,
    step=Step(batch=1, entries=2, at_once=3),
)


@pytest.fixture(scope="module")
def scene():
    return Scene(TINY, 3)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("curve")
    return folder, privacy(TINY, folder, seed=3)


def test_the_ledger_never_says_more_than_was_wanted(drawn):
    noised = [row for row in drawn[1]["rows"] if row["epsilon"]]
    assert len(noised) == 2
    for row in noised:
        assert 0.99 * row["epsilon"] < row["epsilon_third"] <= row["epsilon"]
        assert row["epsilon_readers"] < row["epsilon_third"] < row["epsilon_everybody"]
        assert row["participations"] == math.ceil(2 * 4 / row["users"])


def test_every_point_is_there_and_fits_into_json(drawn):
    found = drawn[1]
    asked = [(row["users"], row["epsilon"]) for row in found["rows"]]
    assert asked == [(0, None), (4, 8.0), (4, None), (6, 8.0), (6, None)]
    assert json.loads(as_text(found, as_json=True)) == json.loads(json.dumps(found))
    table = as_text(found, as_json=False)
    assert len(table.splitlines()) == 2 + 5 + 1
    assert "plain sum" in table


def test_a_finished_curve_is_not_drawn_again(drawn):
    folder, found = drawn
    files = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = privacy(TINY, folder, seed=3)
    assert again["rows"] == found["rows"]
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == files
    with pytest.raises(ConfigError, match="another run"):
        privacy(TINY, folder, seed=4)


def test_a_lost_point_is_drawn_as_it_was(drawn, tmp_path):
    folder, found = drawn
    for path in folder.iterdir():
        if "epsilon-8.0" not in path.name:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    assert privacy(TINY, tmp_path, seed=3)["rows"] == found["rows"]


def test_an_update_in_units_of_the_grid_is_within_its_bound(scene):
    size = scene.stage.size
    bound = Query(4, size, GRID + math.sqrt(size) / 2).bound
    rng = np.random.default_rng(0)
    for norm in (1e-3, 0.1, 1.0, 1e6):
        update = rng.standard_normal((1, size))
        update *= norm / np.linalg.norm(update)
        assert np.linalg.norm(scene._sum(update)) <= bound


def test_without_noise_a_round_moves_by_the_mean_of_clipped_updates(scene):
    cohort = scene.crowd[:4]
    plain = scene.stage.updates(cohort, np.zeros(scene.stage.size), 0)
    clip = TINY.step.clip_norm
    norms = np.linalg.norm(plain, axis=1, keepdims=True)
    mean = (plain * np.minimum(1, clip / norms)).mean(0)
    on_grid = scene._sum(plain) * (clip / GRID / 4)
    assert np.abs(on_grid - mean).max() <= clip / GRID / 2


def test_a_user_learns_the_same_alone_as_in_a_cohort(scene):
    start = np.random.default_rng(1).normal(0, 0.01, scene.stage.size)
    together = scene.stage.updates(scene.crowd[:4], start, 0)
    alone = scene.stage.updates(scene.crowd[1:2], start, 0)
    far = np.abs(together[1] - alone[0]) > 1e-3  # Adam's first step is a sign
    assert far.mean() < 0.02
    assert np.abs(together).max() <= TINY.step.rate * 1.01


def test_only_one_factor_is_trained(scene):
    before = {name: value.clone() for name, value in scene.stage._fixed.items()}
    scene.stage.updates(scene.crowd[:4], np.zeros(scene.stage.size), 0)
    after = scene.stage.adapted.tensors("population")
    for name, value in before.items():
        assert all(bank.equal(value[0]) for bank in after[name].detach())
