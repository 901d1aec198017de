"""The commands as a person meets them: locked, asked, told, and never left in doubt."""

import os
import pty
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from keychains import by_passphrase

from proper_client.at_rest.key_file import Hardness
from proper_client.cli import main
from proper_client.vault import Vault

ARRAYS = {"a": np.ones(1, np.float32)}
WORDS = "correct horse battery"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Return a home in clear with a history in it."""
    monkeypatch.delenv("PROPER_PASSPHRASE", raising=False)
    monkeypatch.setenv("PROPER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(Hardness, "stretch", lambda _, p: p.ljust(32, b".")[:32])
    Vault(tmp_path / "home").save_history("tagging", [b"{}\n"])
    (tmp_path / "words").write_text(WORDS)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def call(*words):
    return CliRunner().invoke(main, words)


def assert_refused(result, match):
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    error, hint = result.stderr.rstrip("\n").split("\n")
    assert match in error
    assert hint.startswith("hint: ")


@pytest.mark.usefixtures("home")
def test_status_says_how_the_files_lie_and_what_to_do():
    shown = call("status").stdout
    assert "at rest     not encrypted" in shown
    assert "proper-client lock" in shown
    assert call("lock", "--passphrase-file", "words").exit_code == 0
    shown = call("status").stdout
    assert "at rest     encrypted, your passphrase opens it" in shown
    assert "histories   tagging" in shown


def test_a_lock_that_was_stopped_is_shown(home, monkeypatch):
    monkeypatch.setattr("proper_client.at_rest.locking._seal_all", lambda *_: 1 / 0)
    assert call("lock", "--passphrase-file", "words").exit_code == 1
    monkeypatch.undo()
    assert "encrypted in part" in call("status", "--home", str(home)).stdout


def test_a_passphrase_comes_from_a_file_or_the_environment(home, monkeypatch):
    assert "keep a copy" in call("lock", "--passphrase-file", "words").stdout
    Vault(home, by_passphrase(WORDS)).save("tagging", ARRAYS, {})
    again = ("passphrase", "--new-passphrase-file", "words")  # it opens the vault
    assert call(*again, "--passphrase-file", "words").exit_code == 0
    assert_refused(call(*again), "got no passphrase")
    monkeypatch.setenv("PROPER_PASSPHRASE", WORDS)
    assert call(*again).exit_code == 0
    monkeypatch.setenv("PROPER_PASSPHRASE", "wrong words")
    assert_refused(call(*again), "not the passphrase")
    assert call(*again, "--passphrase-file", "words").exit_code == 0


def test_a_wrong_passphrase_is_two_lines_and_no_traceback(home, tmp_path):
    vault = Vault(home)
    vault.save("tagging", ARRAYS, {})
    call("lock", "--passphrase-file", "words")
    (tmp_path / "wrong").write_text("wrong horse battery")
    result = call("status", "--passphrase-file", "wrong")
    assert_refused(result, "not the passphrase of the vault")
    assert "Traceback" not in result.stderr
    assert_refused(call("status", "--passphrase-file", "none"), "no such file")


@pytest.mark.usefixtures("home")
def test_a_passphrase_is_changed_by_a_script(tmp_path):
    call("lock", "--passphrase-file", "words")
    (tmp_path / "new").write_text("another horse")
    both = ("--passphrase-file", "words", "--new-passphrase-file", "new")
    assert call("passphrase", *both).exit_code == 0
    assert_refused(call("passphrase", *both), "not the passphrase")


@pytest.mark.usefixtures("home")
def test_a_machine_without_a_keyring_says_so():
    assert_refused(call("lock", "--with", "keyring"), "no keyring")
    assert_refused(call("lock"), "got no passphrase")


def test_every_command_with_a_home_takes_a_passphrase():
    def walk(command):
        yield command
        for below in getattr(command, "commands", {}).values():
            yield from walk(below)

    for command in walk(main):
        names = {p.name for p in command.params}
        if "home" in names and command.name != "policy":
            assert "passphrase_file" in names, command.name


def typed(command, *lines):
    """Run a command in a terminal of its own; type a line at each question."""
    child, terminal = pty.fork()
    if child == 0:
        script = "from proper_client.cli import main; main()"
        os.execv(sys.executable, [sys.executable, "-c", script, *command])  # noqa: S606
    shown = b""
    for line in lines:
        question = b""
        while not question.endswith(b": "):
            question += os.read(terminal, 1024)
        os.write(terminal, line.encode() + b"\n")
        shown += question
    while True:
        try:
            piece = os.read(terminal, 1024)
        except OSError:  # as Linux says that nobody is left there
            break
        if not piece:
            break
        shown += piece
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), shown.decode()


def test_at_a_terminal_one_is_asked_twice_and_nothing_shows(tmp_path):
    Vault(tmp_path / "home").save_history("tagging", [b"{}\n"])
    where = ["--home", str(tmp_path / "home")]
    code, shown = typed(["lock", *where], WORDS, WORDS)
    assert code == 0, shown
    assert "the passphrase opens them" in shown
    assert "horse" not in shown
    assert Vault(tmp_path / "home").key_file.way == "passphrase"
