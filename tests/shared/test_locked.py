"""A locked secret opens by its passphrase, for its purpose, unchanged, and else not."""

import secrets

import pytest
from pydantic import ValidationError

from proper_shared.errors import ConfigError
from proper_shared.locked import SHORTEST, Locked, lock, unlock

SECRET, WORDS = b"\0" * 31 + b"\1", "five words by pure chance"


@pytest.fixture(scope="module")
def locked():
    return lock(SECRET, WORDS, "targets", secrets.token_bytes(28))


def test_the_passphrase_opens_it_and_the_file_does_not_hold_it(locked):
    assert unlock(locked, WORDS, "targets") == SECRET
    again = Locked.model_validate_json(locked.model_dump_json())
    assert unlock(again, WORDS, "targets") == SECRET
    assert SECRET.hex() not in locked.model_dump_json()
    assert locked.memory_kib >= 64 * 1024


@pytest.mark.parametrize("words", ["", WORDS + " ", WORDS.upper()])
def test_another_passphrase_is_refused(locked, words):
    with pytest.raises(ConfigError, match="passphrase of targets is wrong") as caught:
        unlock(locked, words, "targets")
    assert caught.value.hint
    assert words not in str(caught.value) or not words


@pytest.mark.parametrize(
    "change",
    [
        {"ciphertext": "00" * 48},
        {"nonce": "00" * 12},
        {"nonce": "00"},
        {"salt": "11" * 16},
        {"passes": 4},
    ],
    ids=str,
)
def test_whatever_is_changed_it_does_not_open(locked, change):
    with pytest.raises(ConfigError, match="is wrong"):
        unlock(locked.model_copy(update=change), WORDS, "targets")


def test_a_file_in_anothers_place_does_not_open(locked):
    with pytest.raises(ConfigError, match="passphrase of root-1 is wrong"):
        unlock(locked, WORDS, "root-1")


@pytest.mark.parametrize(
    "weak", [{"memory_kib": 1024}, {"passes": 1}, {"memory_kib": 1 << 30}, {"lanes": 0}]
)
def test_weak_or_endless_stretching_is_not_even_tried(locked, weak):
    with pytest.raises(ValidationError):
        Locked.model_validate({**locked.model_dump(), **weak})


def test_a_short_passphrase_locks_nothing():
    with pytest.raises(ConfigError, match=f"expected {SHORTEST}"):
        lock(SECRET, "short", "targets", secrets.token_bytes(28))
