"""Where a passphrase comes from: a file, the environment, or a prompt, in this order.

Covered: the same letters typed on another system (Unicode's NFC), a prompt where nobody
sits, a new passphrase with a slip of the finger in it.
Not covered: whether it can be guessed, beyond a least length; who else can read the
file or the environment of a process.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from proper_shared import passphrases
from proper_shared.errors import ConfigError
from proper_shared.passphrases import GIVE, Ask, ask_twice, encoded, of_file

VARIABLE = "PROPER_PASSPHRASE"
MIN_CHARACTERS = 8
_HOW = f"{GIVE} or set {VARIABLE}"


def ask_at_terminal(question: str) -> str:
    """Ask somebody, without showing what they type.

    Raises:
        ConfigError: nobody is there.
    """
    return passphrases.ask_at_terminal(question, "the vault", _HOW)


@dataclass(frozen=True)
class Passphrases:
    """Passphrases for one command.

    Attributes:
        environment: as `os.environ`.
        file: holds the passphrase, in the place of the environment's.
        new_file: holds the one that replaces it.
        ask: asks the person.
    """

    environment: Mapping[str, str]
    file: Path | None = None
    new_file: Path | None = None
    ask: Ask = ask_at_terminal

    def current(self) -> bytes:
        """Return the passphrase that the vault has.

        Raises:
            ConfigError: there is none, or it cannot be read.
        """
        given = self._given()
        return given if given is not None else _encoded(self.ask("passphrase"))

    def new(self, *, first: bool) -> bytes:
        """Return a passphrase that the vault gets.

        Args:
            first: the vault has none, so the one that was given is meant to be it.

        Raises:
            ConfigError: there is none, it is short, or it was typed in two ways.
        """
        if self.new_file is not None:
            return _fit(_of_file(self.new_file))
        if first and (given := self._given()) is not None:
            return _fit(given)
        typed = ask_twice(self.ask, "new passphrase", lambda text: _fit(_encoded(text)))
        return _encoded(typed)

    def _given(self) -> bytes | None:
        if self.file is not None:
            return _of_file(self.file)
        text = self.environment.get(VARIABLE)
        return None if text is None else _encoded(text)


def _of_file(path: Path) -> bytes:
    return _encoded(of_file(path))


def _encoded(text: str) -> bytes:
    return encoded(text, _HOW)


def _fit(passphrase: bytes) -> bytes:
    """Refuse a new passphrase that is guessed at once."""
    if (length := len(passphrase.decode())) < MIN_CHARACTERS:
        raise ConfigError(
            f"the new passphrase has {length} characters, "
            f"expected at least {MIN_CHARACTERS}",
            hint="five words that nobody puts together are good and easy to keep",
        )
    return passphrase
