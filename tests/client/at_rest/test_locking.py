"""A vault is locked, opened and closed anew; nothing in it is lost or left in clear."""

import os
import stat
import threading
import tracemalloc

import numpy as np
import pytest
from keychains import by_keyring, by_passphrase

from proper_client.at_rest.key_file import Hardness
from proper_client.at_rest.locking import change_passphrase, lock
from proper_client.at_rest.sealing import MAGIC
from proper_client.vault import Vault
from proper_shared.errors import ConfigError, FormatError

ARRAYS = {"a": np.arange(40, dtype=np.float32)}
ENTRIES = b'{"text": "a canary in clear"}\n'
WORDS = "correct horse battery"


@pytest.fixture
def cheap(monkeypatch):
    """Stretch for nothing, where it is not what the test is about."""
    monkeypatch.setattr(Hardness, "stretch", lambda _, p: p.ljust(32, b".")[:32])


def fill(vault):
    """Put one file of each kind into a vault."""
    vault.save("tagging", ARRAYS, {"level": "user"})
    vault.write_record("membership", {"key": "ab" * 32})
    vault.write_state("state-1", b"state")
    vault.save_history("tagging", [ENTRIES, ENTRIES])
    with vault.journal("ledger") as journal:
        journal.append(b"a line")


def assert_full(vault):
    arrays, about = vault.load("tagging")
    np.testing.assert_array_equal(arrays["a"], ARRAYS["a"])
    assert about == {"level": "user"}
    assert vault.read_record("membership") == {"key": "ab" * 32}
    assert vault.read_state("state-1") == b"state"
    assert b"".join(vault.load_history("tagging")) == 2 * ENTRIES
    assert set(vault.lines("ledger")) == {b"a line\n"}
    assert (vault.names(), vault.histories()) == (["tagging"], ["tagging"])


def clear_ones(vault):
    places = vault.files.places()
    assert len(places) == 4
    return [place for place in places if vault.files.is_clear(place)]


@pytest.fixture
def home(tmp_path):
    """Return a home in clear."""
    fill(Vault(tmp_path / "home"))
    return tmp_path / "home"


def test_a_vault_in_clear_is_sealed_in_place_and_reads_as_before(home, tmp_path):
    secrets = by_keyring(tmp_path / "chain")
    vault = Vault(home, secrets)
    assert len(clear_ones(vault)) == 4
    assert lock(vault.files, secrets) == "keyring"
    assert clear_ones(vault) == []
    for reader in (vault, Vault(home, by_keyring(tmp_path / "chain"))):
        assert_full(reader)
    for path in home.rglob("*"):
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_written_later_is_sealed(home, tmp_path):
    secrets = by_keyring(tmp_path / "chain")
    lock(Vault(home).files, secrets)
    vault = Vault(home, by_keyring(tmp_path / "chain"))
    fill(vault)
    vault.save_history("rating", [b"x" * 70_000] * 3)
    path = home / "history" / "rating.entries"
    assert path.read_bytes().startswith(MAGIC)
    assert b"".join(vault.load_history("rating")) == b"x" * 210_000
    assert vault.histories() == ["rating", "tagging"]


def test_a_passphrase_opens_what_it_closed_and_no_other_does(home):
    lock(Vault(home).files, by_passphrase(WORDS, WORDS))
    assert_full(Vault(home, by_passphrase(WORDS)))  # asked once
    with pytest.raises(ConfigError, match="not the passphrase"):
        Vault(home, by_passphrase("correct h0rse battery")).load("tagging")
    with pytest.raises(ConfigError, match="is locked"):
        Vault(home).load("tagging")


@pytest.mark.usefixtures("cheap")
def test_a_wrong_passphrase_writes_nothing(home):
    lock(Vault(home).files, by_passphrase(WORDS, WORDS))
    before = {p: p.read_bytes() for p in home.rglob("*") if p.is_file()}
    vault = Vault(home, by_passphrase(*["wrong"] * 5))
    for call in (
        vault.prepare,
        lambda: vault.write_record("membership", {}),
        lambda: vault.save_history("tagging", [b"x"]),
        lambda: change_passphrase(vault.files, by_passphrase("new words", "new words")),
    ):
        with pytest.raises(ConfigError, match="not the passphrase"):
            call()
    assert {p: p.read_bytes() for p in home.rglob("*") if p.is_file()} == before


@pytest.mark.usefixtures("cheap")
def test_another_passphrase_wraps_the_key_anew_and_touches_no_other_file(home):
    lock(Vault(home).files, by_passphrase(WORDS, WORDS))
    before = {p: p.read_bytes() for p in home.rglob("*.*") if p.name != "key.json"}
    secrets = by_passphrase(WORDS, "new words!", "new words!")
    change_passphrase(Vault(home, secrets).files, secrets)
    after = {p: p.read_bytes() for p in home.rglob("*.*") if p.name != "key.json"}
    assert after == before
    assert_full(Vault(home, by_passphrase("new words!")))
    with pytest.raises(ConfigError, match="not the passphrase"):
        Vault(home, by_passphrase(WORDS)).load("tagging")


@pytest.mark.usefixtures("cheap")
def test_from_the_keyring_to_a_passphrase_and_back(home, tmp_path):
    chain = tmp_path / "chain"
    secrets = by_keyring(chain, WORDS, WORDS, WORDS)
    vault = Vault(home, secrets)
    lock(vault.files, secrets)
    assert len(list(chain.iterdir())) == 1
    change_passphrase(vault.files, secrets)
    assert list(chain.iterdir()) == []  # what the keyring held is gone
    assert_full(Vault(home, by_passphrase(WORDS)))
    vault = Vault(home, secrets)
    assert lock(vault.files, secrets, "keyring") == "keyring"
    assert_full(Vault(home, by_keyring(chain)))


def test_a_key_that_left_the_keyring_is_a_clear_error(home, tmp_path):
    lock(Vault(home).files, by_keyring(tmp_path / "chain"))
    with pytest.raises(ConfigError, match="keyring has no key for this vault"):
        Vault(home, by_keyring(tmp_path / "another")).load("tagging")
    with pytest.raises(ConfigError, match="no keyring") as caught:
        Vault(home, by_passphrase()).load("tagging")
    assert "proper[keyring]" in caught.value.hint


def test_a_fresh_vault_uses_a_keyring_by_itself_and_one_in_clear_stays(home, tmp_path):
    fresh = Vault(tmp_path / "fresh", by_keyring(tmp_path / "chain"))
    fill(fresh)
    assert fresh.key_file.way == "keyring"
    assert clear_ones(fresh) == []
    assert_full(Vault(tmp_path / "fresh", by_keyring(tmp_path / "chain")))
    old = Vault(home, by_keyring(tmp_path / "chain"))
    fill(old)
    assert old.key_file is None
    assert len(clear_ones(old)) == 4


def test_reading_a_fresh_vault_makes_nothing(tmp_path):
    vault = Vault(tmp_path / "fresh", by_keyring(tmp_path / "chain"))
    assert (vault.names(), vault.histories(), vault.key_file) == ([], [], None)
    assert vault.load_history("tagging") is None
    assert list(tmp_path.iterdir()) == []


def test_two_files_that_were_swapped_are_found(home, tmp_path):
    vault = Vault(home, by_keyring(tmp_path / "chain"))
    lock(vault.files, by_keyring(tmp_path / "chain"))
    vault.write_record("contacts", {})
    one, two = (home / "federation" / f"{n}.json" for n in ("contacts", "membership"))
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)
    for name in ("contacts", "membership"):
        with pytest.raises(FormatError, match="changed, cut or moved"):
            vault.read_record(name)


def test_a_file_in_clear_is_no_file_of_a_locked_vault(home, tmp_path):
    vault = Vault(home, by_keyring(tmp_path / "chain"))
    lock(vault.files, by_keyring(tmp_path / "chain"))
    (home / "federation" / "membership.json").write_text('{"key": "mine"}')
    with pytest.raises(FormatError, match="is not sealed"):
        vault.read_record("membership")


def test_without_its_key_file_nothing_is_read_or_written_in_clear(home, tmp_path):
    lock(Vault(home).files, by_keyring(tmp_path / "chain"))
    (home / "key.json").unlink()
    vault = Vault(home, by_keyring(tmp_path / "chain"))
    for call in (
        lambda: vault.load("tagging"),
        lambda: vault.save("other", ARRAYS, {}),
        lambda: lock(vault.files, by_keyring(tmp_path / "chain")),
    ):
        with pytest.raises(FormatError, match=r"there is no key\.json") as caught:
            call()
        assert "copy" in caught.value.hint
    assert not (home / "key.json").exists()


def test_a_process_that_began_before_the_lock_seals_what_it_writes(home, tmp_path):
    running = Vault(home, by_keyring(tmp_path / "chain"))
    fill(running)  # a vault in clear, as far as it knows
    lock(Vault(home).files, by_keyring(tmp_path / "chain"))
    fill(running)
    assert_full(running)
    assert clear_ones(running) == []
    with pytest.raises(ConfigError, match="is locked"):  # it has nothing to open it
        Vault(home).write_record("membership", {})


def test_who_locks_waits_for_writers_and_these_for_it(home, tmp_path):
    files, order = Vault(home, by_keyring(tmp_path / "chain")).files, []
    began, go_on = threading.Event(), threading.Event()

    def slowly():
        began.set()
        go_on.wait()
        order.append("written")
        yield ENTRIES

    writer = threading.Thread(target=files.write, args=("history/x.entries", slowly()))
    writer.start()
    began.wait()

    def close():
        lock(Vault(home).files, by_keyring(tmp_path / "chain"))
        order.append("locked")

    locker = threading.Thread(target=close)
    locker.start()
    go_on.set()
    writer.join()
    locker.join()
    assert order == ["written", "locked"]
    assert not files.is_clear("history/x.entries")


def test_of_two_who_lock_at_once_one_is_told(home, tmp_path):
    vault, secrets = Vault(home), by_keyring(tmp_path / "chain")
    chain = secrets.keychain
    put = chain.put

    class Late:
        def put(self, account, key):
            put(account, key)
            lock(Vault(home).files, by_keyring(tmp_path / "chain"))  # another is faster

    object.__setattr__(secrets, "keychain", Late())
    with pytest.raises(ConfigError, match="another process locked the vault"):
        lock(vault.files, secrets)
    assert_full(Vault(home, by_keyring(tmp_path / "chain")))


def test_what_killed_writers_left_in_clear_goes(home, tmp_path):
    left = home / "history" / f".tagging.entries.{os.getppid()}.tmp"
    left.write_bytes(ENTRIES)
    lock(Vault(home).files, by_keyring(tmp_path / "chain"))
    assert not left.exists()


def test_a_long_history_is_never_in_memory_as_a_whole(tmp_path):
    vault, mib = Vault(tmp_path / "home", by_keyring(tmp_path / "chain")), bytes(2**20)
    vault.prepare()
    tracemalloc.start()
    vault.save_history("tagging", (mib for _ in range(32)))
    assert sum(map(len, vault.load_history("tagging"))) == 32 * 2**20
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not vault.files.is_clear("history/tagging.entries")
    assert peak < 4 * 2**20


def test_a_journal_stays_in_clear_and_goes_on(home, tmp_path):
    lock(Vault(home).files, by_keyring(tmp_path / "chain"))
    unopened = Vault(home)
    with unopened.journal("ledger") as journal:
        journal.append(b"another")
    assert list(unopened.lines("ledger")) == [b"a line\n", b"another\n"]


def test_a_passphrase_for_a_vault_in_clear_says_how_to_lock_it(home):
    with pytest.raises(ConfigError, match="is not locked") as caught:
        change_passphrase(Vault(home).files, by_passphrase())
    assert "proper-client lock" in caught.value.hint
