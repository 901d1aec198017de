import pytest

from proper_shared.errors import ConfigError
from proper_shared.locks import alone


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
