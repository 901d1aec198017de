"""Whole federations, in processes of their own where one is to be interrupted."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import toy_federation
from toy_federation import COMMON, ToySite, parts, summary

from proper_coordinator.plan import Plan
from proper_shared.errors import ConfigError
from proper_simulations.federation import Job, run_federation

NODES, COHORT = 10, 4
TOLERANCE = 0.0  # of the toy, whose members never share a pass; see also the README


def run_here(folder, identity="toy", **site):
    plan = Plan(cohort_size=COHORT, seed=5)
    job = Job(NODES, folder, identity, plan)
    return run_federation(parts(), ToySite(NODES, **site), job)


def run_apart(folder, engine="memory", **more):
    asked = {"engine": engine, "folder": str(folder), "nodes": NODES, "cohort": COHORT}
    return subprocess.run(  # noqa: S603  our own program
        [sys.executable, toy_federation.__file__, json.dumps({**asked, **more})],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return summary(run_here(tmp_path_factory.mktemp("whole")))


def test_a_federation_learns_and_counts(tmp_path):
    outcome = run_here(tmp_path)
    assert [part.stage for part in outcome.parts] == ["population", "group"]
    values = outcome.parts[0].values
    learnt = (values["l.population.b"] @ values["l.population.a"]).T
    assert np.linalg.norm(learnt - COMMON) < 0.9 * np.linalg.norm(COMMON)
    assert outcome.members.keys() == set(range(NODES))
    assert outcome.bytes_down > outcome.bytes_up > 0
    assert outcome.seconds > 0


@pytest.mark.parametrize("kill_at", [0, 2, 3])
def test_a_run_that_was_killed_goes_on_as_if_it_had_not(
    tmp_path, uninterrupted, kill_at
):
    killed = run_apart(tmp_path, kill_at=kill_at)
    assert killed.returncode == -signal.SIGKILL
    assert summary(run_here(tmp_path)) == uninterrupted


@pytest.mark.parametrize("after", [["population", 0], ["group", 1]])
def test_ctrl_c_keeps_the_last_complete_round(tmp_path, uninterrupted, after):
    stopped = run_apart(tmp_path, interrupt_after=after)
    assert stopped.returncode == 130
    assert stopped.stderr.splitlines()[-2:] == [f"{after[0]} {after[1]}", "interrupted"]
    assert summary(run_here(tmp_path)) == uninterrupted


def test_a_finished_run_is_not_run_again(tmp_path, uninterrupted):
    run_here(tmp_path)
    assert summary(run_here(tmp_path, kill_at=0)) == uninterrupted


def test_another_run_does_not_go_on_in_the_same_folder(tmp_path):
    run_here(tmp_path)
    with pytest.raises(ConfigError, match="other settings"):
        run_here(tmp_path, identity="another")


def test_naming_a_job_loads_neither_flower_nor_ray_nor_torch():
    code = (
        "import sys, proper_simulations.federation\n"
        "print(sorted({'flwr', 'ray', 'torch'} & sys.modules.keys()))"
    )
    shown = subprocess.run(  # noqa: S603  our own line
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "[]"


@pytest.mark.slow
def test_ray_and_memory_agree(tmp_path, uninterrupted):
    ray = run_apart(tmp_path, engine="ray")
    assert ray.returncode == 0, ray.stderr
    result = json.loads(ray.stdout)
    assert result["counts"] == uninterrupted["counts"]
    assert result["bytes_up"] == uninterrupted["bytes_up"]
    for name, values in uninterrupted["values"].items():
        assert np.allclose(result["values"][name], values, rtol=0, atol=TOLERANCE)
    assert result["members"] == uninterrupted["members"]


@pytest.mark.slow
def test_ctrl_c_ends_ray_and_either_engine_goes_on(tmp_path, uninterrupted):
    stopped = run_apart(tmp_path, engine="ray", interrupt_after=["group", 1])
    assert stopped.returncode == 130
    assert stopped.stderr.splitlines()[-1] == "interrupted"
    assert "Traceback" not in stopped.stderr
    assert summary(run_here(tmp_path)) == uninterrupted
    assert Path(tmp_path, "run.json").is_file()
