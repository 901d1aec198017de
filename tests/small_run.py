"""Runs of `proper-sim` that take seconds: a random backbone, few people, few rounds."""

import functools
import json

import pytest
from click.testing import CliRunner
from toy_release import another_llama

from proper_simulations import site, sources
from proper_simulations.cli import main
from proper_simulations.settings import settings_for
from proper_simulations.worlds import make_world

OTHERS, USERS = 12, 4
ROUNDS = {"population": 2, "grouping": 4, "group": 3, "lora_router": 2}
TIMES = ("timings_s", "command")


def shrunk(config, data):
    """The settings of a run, with fewer rounds and steps."""
    settings = settings_for(config, data)
    changes = {}
    for name, rounds in ROUNDS.items():
        schedule = getattr(settings, name)
        recipe = schedule.recipe.model_copy(update={"steps": 2, "batch": 4})
        changes[name] = schedule.model_copy(update={"rounds": rounds, "recipe": recipe})
    steps = {
        name: getattr(settings.personal, name).model_copy(update={"steps": 2})
        for name in ("embedding", "user", "lora_router")
    }
    changes["personal"] = settings.personal.model_copy(update=steps)
    return settings.model_copy(update={**changes, "cohort_size": 8, "curve": (0, 4)})


def forget():
    """Be a new process: nothing is loaded, nobody is known."""
    sources.dataset_of.cache_clear()
    site._trainer.cache_clear()


@pytest.fixture(scope="module")
def small():
    """Let runs of this module be small."""
    with pytest.MonkeyPatch.context() as patch:
        world = functools.partial(make_world, others=OTHERS)
        patch.setattr(sources, "make_world", world)
        patch.setattr(site, "settings_for", shrunk)
        yield patch
    forget()


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return another_llama(tmp_path_factory.mktemp("backbone"))


def run(out, backbone, *words):
    """Call the command; return its result."""
    forget()
    base = ["--users", str(USERS), "--backbone", str(backbone), "--quick"]
    return CliRunner().invoke(main, ["run", "--out", str(out), *base, *words])


def findings(out):
    """What a run found, without what a clock or a path decides."""
    found = json.loads((out / "results.json").read_bytes())
    return {key: value for key, value in found.items() if key not in TIMES}


def released(out):
    """The files of a release, byte by byte."""
    folder = out / "release"
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
