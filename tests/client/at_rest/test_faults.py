"""Killed at every write, on a disk that is full or broken: the old state or the new."""

import contextlib
import hashlib
import shutil

import numpy as np
import pytest
from faults import FAULTS, KILLS, failing_everywhere, killed_everywhere, shortened
from keychains import by_keyring, by_passphrase

from proper_client.at_rest.key_file import Hardness
from proper_client.at_rest.locking import change_passphrase, lock
from proper_client.vault import Vault
from proper_shared.errors import ConfigError

OLD, NEW = ({"a": np.full(3, n, np.float32)} for n in (1, 2))
CANARY = b"a canary that sings in clear"


class Place:
    """A home that can be put back to what it was, and a keyring."""

    def __init__(self, tmp_path):
        self.home, self.chain = tmp_path / "home", tmp_path / "chain"
        self.saved = tmp_path / "saved"
        self.chain.mkdir()

    def vault(self):
        return Vault(self.home, by_keyring(self.chain))

    def fill(self):
        vault = Vault(self.home)
        vault.save("tagging", OLD, {})
        vault.save_history("tagging", [CANARY] * 3000)  # more than one piece
        vault.write_record("membership", {"key": CANARY.decode()})
        return self

    def lock(self):
        lock(self.vault().files, by_keyring(self.chain))

    def keep(self):
        shutil.copytree(self.home, self.saved)

    def back(self):
        shutil.rmtree(self.home)
        shutil.copytree(self.saved, self.home)

    def assert_whole(self, vault=None):
        vault = vault or self.vault()
        np.testing.assert_array_equal(vault.load("tagging")[0]["a"], OLD["a"])
        assert b"".join(vault.load_history("tagging")) == CANARY * 3000
        assert vault.read_record("membership") == {"key": CANARY.decode()}

    def holds_canary(self):
        found = (p for p in self.home.rglob("*") if p.is_file())
        return any(CANARY in path.read_bytes() for path in found)


@pytest.fixture
def clear(tmp_path):
    place = Place(tmp_path).fill()
    place.keep()
    return place


@pytest.fixture
def sealed(tmp_path):
    place = Place(tmp_path).fill()
    place.lock()
    place.keep()
    return place


@pytest.mark.parametrize("kind", KILLS)
def test_a_vault_that_is_killed_while_it_is_locked_opens_and_can_be_locked(
    clear, kind, monkeypatch
):
    deaths = 0
    for at in killed_everywhere(kind, clear.back, clear.lock, monkeypatch):
        deaths += at > 0
        clear.assert_whole()
        clear.lock()
        clear.assert_whole()
        assert clear.vault().key_file.state == "sealed"
        assert not clear.holds_canary()
    assert deaths > 25  # key file, three files, key file: open, write, flush, rename


@pytest.mark.parametrize("kind", FAULTS)
def test_a_disk_that_fails_while_a_vault_is_locked_costs_nothing(
    clear, kind, monkeypatch
):
    faults = failing_everywhere(kind, clear.back, clear.lock, monkeypatch)
    for raised in faults:
        assert raised is None or isinstance(raised, ConfigError)
        if kind == "full" and raised:
            assert "is full" in str(raised)
        clear.assert_whole()
        clear.lock()
        clear.assert_whole()
        assert not clear.holds_canary()


@pytest.mark.parametrize("kind", KILLS)
def test_a_save_that_is_killed_leaves_the_old_file_or_the_new_and_nothing_in_clear(
    sealed, kind, monkeypatch
):
    def act():
        sealed.vault().save_history("tagging", [CANARY, b" is new"])

    seen = set()
    for at in killed_everywhere(kind, sealed.back, act, monkeypatch):
        seen.add(data := b"".join(sealed.vault().load_history("tagging")))
        assert data == CANARY + b" is new" or (at and data == CANARY * 3000)
        assert not sealed.holds_canary()
    assert len(seen) == 2


@pytest.mark.parametrize("kind", FAULTS)
def test_a_save_on_a_disk_that_fails_leaves_the_old_file_or_the_new(
    sealed, kind, monkeypatch
):
    def act():
        sealed.vault().save("tagging", NEW, {})

    for raised in failing_everywhere(kind, sealed.back, act, monkeypatch):
        assert raised is None or isinstance(raised, ConfigError)
        held = sealed.vault().load("tagging")[0]["a"][0]
        assert held == 2 or (raised and held == 1)
        names = {p.name for p in (sealed.home / "personal").iterdir()}
        assert names == {"tagging.safetensors"}


@pytest.mark.parametrize("kind", KILLS)
def test_a_kill_while_the_passphrase_changes_leaves_the_old_one_or_the_new(
    tmp_path, kind, monkeypatch
):
    cheap = lambda _, words: hashlib.sha256(words).digest()  # noqa: E731
    monkeypatch.setattr(Hardness, "stretch", cheap)  # guessing is not the matter here
    place = Place(tmp_path).fill()
    lock(Vault(place.home).files, by_passphrase("old words", "old words"))
    place.keep()

    def act():
        secrets = by_passphrase("old words", "new words", "new words")
        change_passphrase(Vault(place.home, secrets).files, secrets)

    for at in killed_everywhere(kind, place.back, act, monkeypatch):
        opened = []
        for words in ("old words", "new words"):
            with contextlib.suppress(ConfigError):
                place.assert_whole(Vault(place.home, by_passphrase(words)))
                opened.append(words)
        assert opened == ["new words"] or (at and opened == ["old words"])


@pytest.mark.parametrize("kind", KILLS)
def test_the_first_save_of_all_can_be_killed_too(tmp_path, kind, monkeypatch):
    place = Place(tmp_path)

    def act():
        place.vault().save("tagging", NEW, {})

    def begin():
        shutil.rmtree(place.home, ignore_errors=True)

    for at in killed_everywhere(kind, begin, act, monkeypatch):
        assert place.vault().names() == ["tagging"] or at
        act()
        assert place.vault().load("tagging")[0]["a"][0] == 2


def test_a_disk_that_takes_a_few_bytes_at_a_time_gets_them_all(clear, monkeypatch):
    with monkeypatch.context() as patch:
        shortened(patch, 1000)
        clear.lock()
        clear.assert_whole()
        clear.vault().save("tagging", NEW, {})
    assert clear.vault().load("tagging")[0]["a"][0] == 2


def test_a_home_that_cannot_be_written_can_be_read(sealed, monkeypatch):
    def act():
        sealed.vault().save("tagging", NEW, {})

    with monkeypatch.context() as patch:
        patch.setattr("os.access", lambda *_: False)  # root may write anywhere
        with pytest.raises(ConfigError, match="cannot write") as caught:
            act()
        assert "--home" in caught.value.hint
        sealed.assert_whole()
