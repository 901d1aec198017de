import importlib.util
import sys

import pytest

from proper_shared import locks
from proper_shared.errors import ConfigError
from proper_shared.locks import alone, hold


def test_one_does_a_thing_in_a_folder_and_others_do_others(tmp_path):
    with alone(tmp_path, "run"):
        with (
            pytest.raises(ConfigError, match="another process does `run`") as caught,
            alone(tmp_path, "run"),
        ):
            pytest.fail("two are in")
        assert caught.value.hint
        with alone(tmp_path, "up"):
            pass
    with alone(tmp_path, "run"):
        pass


def test_a_lock_goes_with_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), alone(tmp_path, "run"):
        raise ZeroDivisionError
    with alone(tmp_path, "run"):
        pass


def test_many_hold_a_file_together_and_one_holds_it_alone(tmp_path):
    path = tmp_path / "file"
    with path.open("w") as one, path.open() as two, path.open() as three:
        hold(one.fileno(), shared=True)
        hold(two.fileno(), shared=True, wait=True)
        with pytest.raises(BlockingIOError):
            hold(three.fileno())
        one.close()
        two.close()
        hold(three.fileno(), wait=True)
        with path.open() as four, pytest.raises(BlockingIOError):
            hold(four.fileno(), shared=True)


def test_a_system_without_such_locks_can_do_the_work_all_the_same(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "fcntl", None)  # importing it fails, as there
    spec = importlib.util.spec_from_file_location("elsewhere", locks.__file__)
    elsewhere = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(elsewhere)
    with elsewhere.alone(tmp_path, "run"), elsewhere.alone(tmp_path, "run"):
        assert (tmp_path / ".run.lock").exists()
