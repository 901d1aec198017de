"""What opens a vault, and what a vault can be closed with, on this machine and now."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from proper_client.at_rest.key_file import (
    SALT_BYTES,
    Entropy,
    Hardness,
    KeyFile,
    Way,
    Wrap,
)
from proper_client.at_rest.keychain import Keychain, system_keychain
from proper_client.at_rest.passphrase import Passphrases
from proper_client.at_rest.sealing import KEY_BYTES
from proper_shared.errors import ConfigError


@dataclass(frozen=True)
class Secrets:
    """The passphrase and the keyring, looked for when they are needed.

    Attributes:
        passphrases: asked for or given.
        find_keychain: finds the keyring of the system, if there is one.
        entropy: random bytes.
    """

    passphrases: Passphrases
    find_keychain: Callable[[], Keychain | None] = system_keychain
    entropy: Entropy = os.urandom

    @cached_property
    def keychain(self) -> Keychain | None:
        """The keyring of this system, if there is one."""
        return self.find_keychain()

    def wrap_of(self, file: KeyFile) -> Wrap:
        """Return what is to open a key file.

        Raises:
            ConfigError: there is no passphrase, or no such key in the keyring.
        """
        if file.argon2id is not None:
            secret = file.argon2id.stretch(self.passphrases.current())
            return Wrap(secret, argon2id=file.argon2id)
        account = file.keyring or ""
        held = self._keychain().get(account)
        if held is None or len(held) != KEY_BYTES:
            raise ConfigError(
                "the OS keyring has no key for this vault",
                hint="log in as the person, and on the machine, that locked it",
            )
        return Wrap(held, keyring=account)

    def new_wrap(self, way: Way, before: KeyFile | None) -> Wrap:
        """Return what is to close a vault from now on; a keyring holds it already.

        Args:
            way: by a passphrase or the keyring.
            before: the key file that is replaced.

        Raises:
            ConfigError: there is no keyring, or no fit passphrase.
        """
        if way == "keyring":
            account, secret = self.entropy(16).hex(), self.entropy(KEY_BYTES)
            self._keychain().put(account, secret)
            return Wrap(secret, keyring=account)
        first = before is None or before.way != "passphrase"
        passphrase = self.passphrases.new(first=first)
        hardness = Hardness(salt=self.entropy(SALT_BYTES).hex())
        return Wrap(hardness.stretch(passphrase), argon2id=hardness)

    def forget(self, file: KeyFile) -> None:
        """Delete what the keyring holds for a key file that was replaced.

        Raises:
            ConfigError: there is no keyring, or it is locked.
        """
        if file.keyring is not None:
            self._keychain().forget(file.keyring)

    def _keychain(self) -> Keychain:
        if self.keychain is None:
            raise ConfigError(
                "this machine has no keyring that could be used",
                hint="pip install 'proper[keyring]', or lock it by a passphrase: "
                "proper-client lock --with passphrase",
            )
        return self.keychain
