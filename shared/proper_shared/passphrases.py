"""Read a passphrase from a file or a prompt, and make a key of it.

A key comes by Argon2id (RFC 9106), and what each guess costs has a floor and a ceiling
here, for all files that lie under a passphrase. The names of the parameters are each
format's own.

Covered: the same letters typed on another system (Unicode's NFC), a prompt where nobody
sits, a new passphrase with a slip of the finger in it, parameters that would make
guessing cheap, or opening so dear that it never ends.
Not covered: whether it can be guessed; who else can read the file.
"""

import getpass
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from pydantic import Field

from proper_shared.errors import ConfigError

MAX_BYTES = 4096
KEY_NBYTES = 32
GIVE = "for scripts give --passphrase-file"

Ask = Callable[[str], str]
Memory = Annotated[int, Field(ge=1 << 16, le=1 << 20)]  # KiB
Passes = Annotated[int, Field(ge=3, le=12)]
Lanes = Annotated[int, Field(ge=4, le=16)]


def stretch(
    passphrase: bytes, salt: bytes, *, memory_kib: int, passes: int, lanes: int
) -> bytes:
    """Return the key that a passphrase makes; it takes time on purpose."""
    return Argon2id(
        salt=salt,
        length=KEY_NBYTES,
        iterations=passes,
        lanes=lanes,
        memory_cost=memory_kib,
    ).derive(passphrase)


def ask_at_terminal(question: str, locked: str, how: str) -> str:
    """Ask somebody, without showing what they type.

    Args:
        question: what they see.
        locked: what the passphrase opens.
        how: a passphrase is given where nobody can be asked.

    Raises:
        ConfigError: nobody is there.
    """
    if not sys.stdin.isatty():
        raise ConfigError(f"{locked} is locked, got no passphrase", hint=how)
    try:
        return getpass.getpass(f"{question}: ", stream=sys.stderr)
    except EOFError:
        raise ConfigError("got no passphrase", hint=how) from None


def ask_twice(ask: Ask, question: str, check: Callable[[str], object]) -> str:
    """Ask somebody for a new passphrase, and for the same again.

    Args:
        ask: asks.
        question: what they see first.
        check: refuses what is not fit, before it is typed again.

    Raises:
        ConfigError: the two differ.
    """
    check(typed := ask(question))
    if normal(typed) != normal(ask("the same again")):
        raise ConfigError(
            "got two different passphrases", hint="nothing was changed; try again"
        )
    return typed


def of_file(path: Path, *, lines: bool = False) -> str:
    """Return the one line in a file, without its end; the file may be a pipe.

    Args:
        path: of the file.
        lines: more than one are a passphrase, too.

    Raises:
        ConfigError: it cannot be read, or holds more than one line.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise ConfigError(
            f"cannot read the passphrase in {path}: {str(error.strerror).lower()}",
            hint="check the path and its permissions",
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(
            f"the passphrase in {path} is not UTF-8", hint="save it as UTF-8"
        ) from None
    text = text.removesuffix("\n").removesuffix("\r")
    if len(data) > MAX_BYTES or ("\n" in text and not lines):
        raise ConfigError(
            f"{path} holds more than one line, expected a passphrase alone",
            hint="put the passphrase into a file of its own",
        )
    return text.rstrip("\r\n") if lines else text


def normal(text: str) -> str:
    """Return a passphrase in the letters that it has on every system."""
    return unicodedata.normalize("NFC", text)


def encoded(text: str, how: str) -> bytes:
    """Return a passphrase as bytes.

    Args:
        text: as it was typed.
        how: else a passphrase can be given.

    Raises:
        ConfigError: it is empty, or no text.
    """
    try:
        data = normal(text).encode()
    except UnicodeEncodeError:
        raise ConfigError("the passphrase is not UTF-8", hint=how) from None
    if not data:
        raise ConfigError("the passphrase is empty", hint=how)
    return data
