"""A passphrase is the same one from a file and a prompt (see also the vault's)."""

import io
import sys

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from keychains import answers

from proper_shared.errors import ConfigError
from proper_shared.passphrases import (
    GIVE,
    ask_at_terminal,
    ask_twice,
    encoded,
    of_file,
    stretch,
)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_end_of_a_line_is_none_of_the_passphrase(tmp_path, end):
    (tmp_path / "words").write_bytes(b"one line" + end.encode())
    for lines in (False, True):
        assert of_file(tmp_path / "words", lines=lines) == "one line"


def test_several_lines_are_one_passphrase_where_that_was_so_before(tmp_path):
    (tmp_path / "words").write_bytes(b"one\ntwo\n\n")
    assert of_file(tmp_path / "words", lines=True) == "one\ntwo"
    with pytest.raises(ConfigError, match="more than one line"):
        of_file(tmp_path / "words")


def test_a_file_beyond_all_measure_is_refused(tmp_path):
    (tmp_path / "words").write_bytes(b"x" * 5000)
    for lines in (False, True):
        with pytest.raises(ConfigError, match="more than one line"):
            of_file(tmp_path / "words", lines=lines)


def test_what_is_not_fit_is_not_typed_twice():
    def refuse(_):
        raise ConfigError("too short")

    asked = answers("once", "twice")
    with pytest.raises(ConfigError, match="too short"):
        ask_twice(asked, "new", refuse)
    assert asked("left") == "twice"


def test_the_same_letters_typed_in_two_ways_are_the_same():
    asked = answers("Schlu\u0308ssel", "Schl\u00fcssel")
    assert encoded(ask_twice(asked, "new", len), GIVE) == "Schl\u00fcssel".encode()


def test_nobody_is_asked_where_nobody_sits(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("not typed\n"))
    with pytest.raises(ConfigError, match="a key is locked, got no pass") as caught:
        ask_at_terminal("passphrase", "a key", GIVE)
    assert caught.value.hint == GIVE


def test_a_key_is_argon2ids():
    # The encoded form is the one that others write: v=19, m, t, p, salt, hash.
    costs = {"memory_kib": 65536, "passes": 3, "lanes": 4}
    key = stretch(b"password", b"saltsaltsaltsalt", **costs)
    other = Argon2id(
        salt=b"saltsaltsaltsalt",
        length=len(key),
        iterations=3,
        lanes=4,
        memory_cost=65536,
    )
    other.verify(b"password", key)
    assert stretch(b"password", b"saltsaltsaltsalt", **costs | {"lanes": 5}) != key
