"""A stolen laptop: no byte of a history, an adapter or a key is in any file."""

import json

import numpy as np
import pytest
from invited import written
from keychains import FolderKeychain, by_passphrase

from proper_client.at_rest.locking import change_passphrase, lock
from proper_client.at_rest.passphrase import Passphrases
from proper_client.at_rest.unlocking import Secrets
from proper_client.enrolment import RECORD, enroll, membership_in
from proper_client.vault import Vault

TEXT = "the xylophone in the Quarzsandgrube is mine alone 🙂"
ARRAYS = {
    "lora_A": np.random.default_rng(0).normal(size=(64, 300)).astype(np.float32),
    "embedding": np.random.default_rng(1).normal(size=256).astype(np.float32),
}
WORDS = "a passphrase of five words"


@pytest.fixture
def home(tmp_path):
    """Return a home with everything in it, in clear."""
    vault = Vault(tmp_path / "home")
    vault.save("tagging", ARRAYS, {"note": TEXT})
    entries = json.dumps({"text": TEXT}, ensure_ascii=False).encode()
    vault.save_history("tagging", [entries] * 500)
    vault.write_state("state-1-3", ARRAYS["embedding"].tobytes())
    enroll(written(tmp_path), tmp_path / "answer.json", vault)
    vault.write_record("history", {"file": "/home/ann/Quarzsandgrube.json"})
    # what a killed writer left
    (vault.home / "history" / ".tagging.entries.1.tmp").write_bytes(entries)
    return vault.home


def canaries(home):
    """Return what nobody may find, as bytes, by name."""
    member = membership_in(Vault(home))
    record = Vault(home).read_record(RECORD)
    body = record["node_key"].splitlines()[1:-1]
    own = member.identity.private_bytes_raw()
    found = {f"word {word}": word.encode() for word in TEXT.split() if len(word) > 4}
    found |= {"identity, hex": own.hex().encode()}
    found |= {f"line {n} of the node key": line.encode() for n, line in enumerate(body)}
    for name, array in ARRAYS.items():
        raw = array.tobytes()
        found |= {f"{name} at {n}": raw[n : n + 16] for n in range(0, len(raw), 4096)}
    return found


def seen(home, secrets):
    files = [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    return {name for name, secret in secrets.items() if any(secret in f for f in files)}


def of(opened):
    """Return the keys of an opened vault as whoever looks for them would."""
    both = {"data key": opened.key.secret, "wrapping key": opened.wrap.secret}
    return both | {f"{n}, hex": k.hex().encode() for n, k in both.items()}


def test_no_byte_of_a_person_is_in_any_file_of_a_locked_vault(home, tmp_path):
    secrets = canaries(home)
    assert seen(home, secrets) == secrets.keys()  # the search finds them in clear
    lock(Vault(home).files, by_passphrase(WORDS, WORDS))
    vault = Vault(home, by_passphrase(WORDS))
    secrets["identity"] = membership_in(vault).identity.private_bytes_raw()
    secrets |= {"passphrase": WORDS.encode()} | of(vault.files.opened())
    assert seen(home, secrets) == set()
    vault.save("rating", ARRAYS, {"note": TEXT})
    vault.save_history("rating", [TEXT.encode()])
    assert seen(home, secrets) == set()
    both = Passphrases({}, ask=lambda _: WORDS)
    to_keyring = Secrets(both, lambda: FolderKeychain(tmp_path / "chain"))
    opened = Vault(home, to_keyring)
    lock(opened.files, to_keyring, "keyring")
    assert seen(home, secrets | of(Vault(home, to_keyring).files.opened())) == set()


def test_an_old_passphrase_is_in_no_file(home):
    lock(Vault(home).files, by_passphrase(WORDS, WORDS))
    other = "other words than before"
    secrets = by_passphrase(WORDS, other, other)
    change_passphrase(Vault(home, secrets).files, secrets)
    words = {"old": WORDS.encode(), "new": other.encode()}
    assert seen(home, words) == set()
