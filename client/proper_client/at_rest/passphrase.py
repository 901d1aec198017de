"""Where a passphrase comes from: a file, the environment, or a prompt, in this order.

Covered: the same letters typed on another system (Unicode's NFC), a prompt where nobody
sits, a new passphrase with a slip of the finger in it.
Not covered: whether it can be guessed, beyond a least length; who else can read the
file or the environment of a process.
"""

import getpass
import sys
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from proper_shared.errors import ConfigError

VARIABLE = "PROPER_PASSPHRASE"
MIN_CHARACTERS = 8
MAX_BYTES = 4096
_HOW = f"for scripts give --passphrase-file or set {VARIABLE}"

Ask = Callable[[str], str]


def ask_at_terminal(question: str) -> str:
    """Ask somebody, without showing what they type.

    Raises:
        ConfigError: nobody is there.
    """
    if not sys.stdin.isatty():
        raise ConfigError("the vault is locked, got no passphrase", hint=_HOW)
    try:
        return getpass.getpass(f"{question}: ", stream=sys.stderr)
    except EOFError:
        raise ConfigError("got no passphrase", hint=_HOW) from None


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
        typed = _fit(_encoded(self.ask("new passphrase")))
        if typed != _encoded(self.ask("the same again")):
            raise ConfigError(
                "got two different passphrases", hint="nothing was changed; try again"
            )
        return typed

    def _given(self) -> bytes | None:
        if self.file is not None:
            return _of_file(self.file)
        text = self.environment.get(VARIABLE)
        return None if text is None else _encoded(text)


def _of_file(path: Path) -> bytes:
    """Return the one line in a file, without its end; the file may be a pipe."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise ConfigError(
            f"cannot read the passphrase in {path}: {str(error.strerror).lower()}",
            hint="check the path and its permissions",
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(
            f"the passphrase in {path} is not UTF-8", hint="save it as UTF-8"
        ) from None
    if len(data) > MAX_BYTES or "\n" in text:
        raise ConfigError(
            f"{path} holds more than one line, expected a passphrase alone",
            hint="put the passphrase into a file of its own",
        )
    return _encoded(text)


def _encoded(text: str) -> bytes:
    """Return a passphrase as bytes, the same ones on every system."""
    try:
        data = unicodedata.normalize("NFC", text).encode()
    except UnicodeEncodeError:
        raise ConfigError("the passphrase is not UTF-8", hint=_HOW) from None
    if not data:
        raise ConfigError("the passphrase is empty", hint=_HOW)
    return data


def _fit(passphrase: bytes) -> bytes:
    """Refuse a new passphrase that is guessed at once."""
    if (length := len(passphrase.decode())) < MIN_CHARACTERS:
        raise ConfigError(
            f"the new passphrase has {length} characters, "
            f"expected at least {MIN_CHARACTERS}",
            hint="five words that nobody puts together are good and easy to keep",
        )
    return passphrase
