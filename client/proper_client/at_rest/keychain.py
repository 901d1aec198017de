"""The keyring of the operating system, where there really is one.

It holds the key that wraps a vault's data key, under an account of its own for each
wrapping. `keyring` is an optional extra; a backend that would keep secrets in a file in
clear, or that does nothing, counts as none.

Not covered: who is let in to the keyring; most let in every program of the same person
while they are logged in. A keyring that asks to be unlocked lets a command wait.
"""

import importlib
import importlib.util
from dataclasses import dataclass
from typing import Any, Protocol

from proper_shared.errors import ConfigError

SERVICE = "proper-client"
_RECOMMENDED = 1  # keyring's own measure; below are plain files and dummies


class Keychain(Protocol):
    """Holds keys by account, outside of the home folder."""

    def get(self, account: str) -> bytes | None:
        """Return the key of an account, if there is one."""
        ...

    def put(self, account: str, key: bytes) -> None:
        """Keep a key."""
        ...

    def forget(self, account: str) -> None:
        """Delete a key, if it is there."""
        ...


@dataclass(frozen=True)
class SystemKeychain:
    """A backend of `keyring`.

    Attributes:
        backend: as `keyring.get_keyring()` gives it.
    """

    backend: Any

    def get(self, account: str) -> bytes | None:
        """Return the key of an account, if there is one.

        Raises:
            ConfigError: the keyring is locked, or holds something else there.
        """
        text = self._call("get_password", account)
        try:
            return None if text is None else bytes.fromhex(str(text))
        except ValueError:
            raise ConfigError(
                f"the OS keyring holds no key of ours under {SERVICE}",
                hint="was the entry edited? put it back from a backup",
            ) from None

    def put(self, account: str, key: bytes) -> None:
        """Keep a key, and see that it is there.

        Raises:
            ConfigError: the keyring is locked, or does not keep it.
        """
        self._call("set_password", account, key.hex())
        if self.get(account) != key:
            raise ConfigError(
                "the OS keyring did not keep the key", hint=_WITHOUT_KEYRING
            )

    def forget(self, account: str) -> None:
        """Delete a key, if it is there.

        Raises:
            ConfigError: the keyring is locked.
        """
        if self.get(account) is not None:
            self._call("delete_password", account)

    def _call(self, name: str, *words: str) -> object:
        errors = importlib.import_module("keyring.errors")
        try:
            return getattr(self.backend, name)(SERVICE, *words)
        except errors.KeyringError as error:
            what = str(error) or type(error).__name__
            raise ConfigError(
                f"the OS keyring refused: {what}", hint=_WITHOUT_KEYRING
            ) from None


_WITHOUT_KEYRING = (
    "unlock the keyring; a vault without one: proper-client lock --with passphrase"
)


def system_keychain() -> Keychain | None:
    """Return the keyring of this system, if the extra is installed and it has one."""
    if importlib.util.find_spec("keyring") is None:
        return None
    chosen = importlib.import_module("keyring").get_keyring()
    # Where several are there, keyring hands out a chain of them, the best one first.
    for backend in getattr(chosen, "backends", [chosen]):
        if backend.priority >= _RECOMMENDED:
            return SystemKeychain(backend)
    return None
