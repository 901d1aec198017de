"""What stands in for the keyring of a system: a folder outside of the home."""

from dataclasses import dataclass
from pathlib import Path

from proper_client.at_rest.passphrase import Passphrases
from proper_client.at_rest.unlocking import Secrets


@dataclass(frozen=True)
class FolderKeychain:
    """Keeps each key in a file; outlives a process, as a keyring does."""

    folder: Path

    def get(self, account):
        path = self.folder / account
        return path.read_bytes() if path.exists() else None

    def put(self, account, key):
        if not self.folder.exists():  # a test may count who makes folders
            self.folder.mkdir()
        (self.folder / account).write_bytes(key)

    def forget(self, account):
        (self.folder / account).unlink(missing_ok=True)


def answers(*words):
    """Somebody at a prompt who types these, one after the other."""
    left = list(words)
    return lambda _question: left.pop(0)


def by_passphrase(*words, **options):
    """Return secrets of a machine without a keyring."""
    typed = Passphrases({}, ask=answers(*words), **options)
    return Secrets(typed, lambda: None)


def by_keyring(folder, *words):
    """Return secrets of a machine whose keyring lies in `folder`."""
    chain = FolderKeychain(folder)
    return Secrets(Passphrases({}, ask=answers(*words)), lambda: chain)
