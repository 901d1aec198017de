"""A locked secret opens by its passphrase, for its purpose, unchanged, and else not."""

import secrets
import unicodedata

import pytest
from pydantic import ValidationError

from proper_shared.errors import ConfigError
from proper_shared.locked import SHORTEST, Locked, lock, unlock

SECRET, WORDS = b"\0" * 31 + b"\1", "five words by pure chance"
ENTROPY = bytes(range(28))
LETTERS = "f\u00fcnf W\u00f6rter durch Zufall"
# Written by the first version of this module: 64 bytes of 7, for `targets`.
WRITTEN = {
    WORDS: "bd3dc82ba1c8acdbc0da6df9211da52f3f9a202cf7ad001c3ac7625b7a39f3ba61d3d746f0"
    "a8fe29a1591759a8a0be6afcfcbd0cec43789ebd6e5bc51a219d620ab47ff269b773e2da14072733"
    "120a81",
    unicodedata.normalize("NFD", LETTERS): "a79d2721ce274072bc9fd58f1f19d2c41ad8644825"
    "35016a847865d9dfb8e1b1f22e2a329b629b7dac9a1a60765edab0ed8c50cc6c9d184478e437dfca"
    "7213a27fa6403a847d062757b0a19f2481009a",
}


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


@pytest.mark.parametrize("words", WRITTEN)
def test_a_file_of_the_first_version_opens(words):
    found = Locked(
        salt=ENTROPY[:16].hex(), nonce=ENTROPY[16:].hex(), ciphertext=WRITTEN[words]
    )
    assert unlock(found, words, "targets") == b"\7" * 64


def test_the_same_letters_open_it_on_every_system():
    made = [
        lock(SECRET, unicodedata.normalize(form, LETTERS), "targets", ENTROPY)
        for form in ("NFC", "NFD")
    ]
    assert made[0] == made[1]
    assert unlock(made[0], unicodedata.normalize("NFD", LETTERS), "targets") == SECRET


def test_the_file_of_words_alone_is_written_as_ever():
    assert lock(b"\7" * 64, WORDS, "targets", ENTROPY).ciphertext == WRITTEN[WORDS]


def test_what_is_no_text_locks_and_opens_nothing(locked):
    with pytest.raises(ConfigError, match="is not UTF-8"):
        lock(SECRET, "\udcff" * SHORTEST, "targets", ENTROPY)
    with pytest.raises(ConfigError, match="is wrong"):
        unlock(locked, "\udcff" * SHORTEST, "targets")
