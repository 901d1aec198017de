"""Where a passphrase comes from, and which ones are refused."""

import io
import sys

import pytest
from keychains import answers

from proper_client.at_rest.passphrase import VARIABLE, Passphrases, ask_at_terminal
from proper_shared.errors import ConfigError


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "passphrase"
    path.write_text("from the file\n")
    return path


def test_a_file_goes_before_the_environment_and_that_before_a_question(file):
    given = {VARIABLE: "from the environment"}
    assert Passphrases(given, file).current() == b"from the file"
    assert Passphrases(given).current() == b"from the environment"
    assert Passphrases({}, ask=answers("typed in")).current() == b"typed in"


def test_a_new_one_is_asked_for_twice():
    both = Passphrases({}, ask=answers("correct horse", "correct horse"))
    assert both.new(first=True) == b"correct horse"
    with pytest.raises(ConfigError, match="two different") as caught:
        Passphrases({}, ask=answers("correct horse", "correct hrose")).new(first=True)
    assert "nothing was changed" in caught.value.hint


def test_what_was_given_for_the_old_one_is_not_the_new_one(file, tmp_path):
    typed = Passphrases({}, file, ask=answers("typed in", "typed in"))
    assert typed.new(first=True) == b"from the file"
    assert typed.new(first=False) == b"typed in"
    (tmp_path / "new").write_text("another one\r\n")
    assert Passphrases({}, file, tmp_path / "new").new(first=False) == b"another one"


def test_letters_are_the_same_ones_on_every_system():
    words = ["Schlu\u0308ssel", "Schl\u00fcssel"]
    assert len({Passphrases({}, ask=answers(word)).current() for word in words}) == 1


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"one\ntwo\n", "more than one line"),
        (b"x" * 5000, "more than one line"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_file_that_holds_no_passphrase_is_refused(file, data, match):
    file.write_bytes(data)
    with pytest.raises(ConfigError, match=match) as caught:
        Passphrases({}, file).current()
    assert caught.value.hint


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        Passphrases({}, tmp_path / "none").current()


@pytest.mark.parametrize("text", ["", "\udcff"])
def test_an_environment_that_holds_no_passphrase_is_refused(text):
    with pytest.raises(ConfigError, match=r"empty|not UTF-8"):
        Passphrases({VARIABLE: text}).current()


def test_a_short_new_one_is_refused_and_a_short_old_one_is_not(file):
    file.write_text("\u00fc" * 7)
    with pytest.raises(ConfigError, match="has 7 characters, expected at least 8"):
        Passphrases({}, file).new(first=True)
    assert Passphrases({}, file).current()


def test_nobody_is_asked_where_nobody_sits(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("not typed\n"))
    with pytest.raises(ConfigError, match="got no passphrase") as caught:
        ask_at_terminal("passphrase")
    assert "--passphrase-file" in caught.value.hint
    assert VARIABLE in caught.value.hint
