import tomllib
from pathlib import Path

import pytest

from proper_shared.errors import ConfigError
from proper_shared.friendly import EXTRAS, friendly, plain

ROOT = Path(__file__).parents[2]


def ending(capsys, error, **options):
    @friendly(interrupted="your model is as it was; repeat the command to go on")
    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as end:
        command(**options)
    return end.value.code, capsys.readouterr().err


def test_an_error_of_theirs_is_two_lines_and_code_2(capsys):
    code, shown = ending(capsys, ConfigError("no home", hint="make one"))
    assert (code, shown) == (2, "error: no home\nhint: make one\n")


def test_an_error_without_a_hint_is_one_line(capsys):
    code, shown = ending(capsys, ConfigError("no home"))
    assert (code, shown) == (2, "error: no home\n")


def test_ctrl_c_says_what_is_kept_and_how_to_go_on(capsys):
    code, shown = ending(capsys, KeyboardInterrupt())
    assert code == 130
    assert shown.splitlines()[1].startswith("hint: your model is as it was")


def test_a_fault_of_ours_asks_for_a_report_and_has_another_code(capsys):
    code, shown = ending(capsys, KeyError("rank"))
    assert code == 1
    assert "a fault in the program: KeyError: 'rank'\nhint: repeat it with" in shown


@pytest.mark.parametrize("error", [ConfigError("x"), KeyboardInterrupt(), KeyError()])
def test_only_debug_shows_a_traceback(capsys, error):
    assert "Traceback" not in ending(capsys, error)[1]
    assert "Traceback" in ending(capsys, error, debug=True)[1]


def test_a_path_that_cannot_be_written_is_theirs_to_put_right(capsys):
    error = FileNotFoundError(2, "No such file or directory", "/nowhere/report.html")
    code, shown = ending(capsys, error)
    assert code == 2
    assert shown.startswith("error: /nowhere/report.html: no such file or directory\n")
    assert "hint: check the path" in shown


def test_too_little_memory_is_theirs_to_put_right(capsys):
    code, shown = ending(capsys, MemoryError())
    assert code == 2
    assert "not enough memory\nhint: close other programs" in shown


def test_a_library_that_is_not_installed_is_named_with_its_extra(capsys):
    code, shown = ending(capsys, ModuleNotFoundError("no", name="flwr.serverapp"))
    assert code == 2
    assert "flwr is not installed" in shown
    assert "[federated]" in shown
    code, shown = ending(capsys, ModuleNotFoundError("no", name="numpy"))
    assert code == 1
    assert "numpy is missing" in shown


def test_the_extras_are_those_of_the_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(EXTRAS.values()) <= set(project["optional-dependencies"])


def test_a_closed_pipe_is_left_to_the_command_line():
    @friendly(interrupted="")
    def command() -> None:
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        command()


HOSTILE = "\x1b[31mRED\x07\r\x9b2J\u202e\ud800"


def test_an_error_cannot_steer_the_terminal_or_add_a_line(capsys):
    error = ConfigError(f"{HOSTILE}\nhint: run this", hint=HOSTILE)
    shown = ending(capsys, error)[1]
    assert "\\x1b[31mRED\\x07\\r" in shown
    assert "\\nhint: run this" in shown
    assert len(shown.splitlines()) == 2
    assert shown.isascii()


def test_a_traceback_cannot_steer_the_terminal_either(capsys):
    shown = ending(capsys, KeyError(HOSTILE), debug=True)[1]
    assert "\x1b" not in shown
    assert len(shown.splitlines()) > 4
    assert ending(capsys, ConfigError(HOSTILE), debug=True)[1].isascii()


@pytest.mark.parametrize("text", ["two\nlines", "👩‍👩‍👧 ❤️ 🇫🇷", "שלום", "می‌خواهم", "é"])
def test_what_people_write_is_shown_as_it_is(text):
    assert plain(text) == text
