"""The private files under one home: read, written, and sealed where there is a key.

A sealed file has the name that it has in clear, and says by its first bytes what it is.
So one rename takes each file from clear to sealed, and a vault that is half through
opens too: `key.json` says `sealing` until all are. After that a file in clear is one
that somebody put there, and is refused.

Writers hold `.lock` together, `locking` holds it alone: what is sealed is not written
in clear behind its back, and a process that began before the vault was locked asks for
the key before it writes.

Covered: other accounts of the machine (files 0600, folders 0700), a crash or a full
disk at any step (what was there stays whole), a second process.
Not covered: Windows, which has no such lock; the journals of `ledger_file`, in clear.
"""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from proper_client.at_rest.key_file import DAMAGED, MAX_BYTES, DataKey, KeyFile, Wrap
from proper_client.at_rest.key_file import NAME as KEY_FILE
from proper_client.at_rest.sealing import MAGIC, seal, unseal
from proper_client.at_rest.unlocking import Secrets
from proper_shared.durable import (
    TEMPORARY,
    sweep,
    sync_folder,
    write_file,
    write_pieces,
)
from proper_shared.errors import ConfigError, FormatError
from proper_shared.locks import hold

FILE_MODE = 0o600
FOLDER_MODE = 0o700
# folder -> ends of the names that are sealed there
SEALED = {
    "personal": (".safetensors",),
    "federation": (".json", ".safetensors"),
    "history": (".entries",),
    "training": (".checkpoint",),
}
_PIECE = 1 << 16  # bytes
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}
_FULL = {errno.ENOSPC, errno.EDQUOT}


@dataclass(frozen=True)
class Opened:
    """A key file that was opened.

    Attributes:
        file: as it was then.
        key: what it holds.
        wrap: what opened it.
    """

    file: KeyFile
    key: DataKey
    wrap: Wrap


class PrivateFiles:
    """The private files under one home folder, each by its place: `folder/name`.

    Args:
        home: the folder; made by the first write, never by reading.
        secrets: what opens a key file. Without, a locked vault stays closed, and a new
            one is in clear.
    """

    def __init__(self, home: Path, secrets: Secrets | None = None) -> None:
        self.home, self._secrets = home, secrets
        self._opened: Opened | None = None

    def path(self, place: str) -> Path:
        """Return the path of a place."""
        return self.home / place

    def write(self, place: str, pieces: Iterable[bytes]) -> Path:
        """Replace one file in one step; return where it lies.

        Raises:
            ConfigError: the disk is full or not writable, or the vault stays closed.
                What was there is as it was.
        """
        path = self.path(place)
        with self._writing() as key, self.explained():
            self.make(path.parent)
            sealed = pieces if key is None else seal(key.secret, place, pieces)
            write_pieces(path, sealed, FILE_MODE)
        return path

    def remove(self, place: str) -> bool:
        """Delete one file and what killed writers left beside it.

        Returns:
            Whether it was there.

        Raises:
            ConfigError: the disk is not writable, or the vault stays closed.
        """
        path = self.path(place)
        with self._writing(), self.explained():
            if not path.parent.is_dir():
                return False
            sweep(path.parent)
            if there := path.exists():
                path.unlink()
                sync_folder(path.parent)
        return there

    def read(self, place: str) -> Iterator[bytes] | None:
        """Return the pieces of one file; None if there is no such file.

        Raises:
            ConfigError: it cannot be read, or the vault stays closed.
            FormatError: it was changed, cut or moved; perhaps only at its end.
        """
        with self.explained():
            if not self.path(place).exists():
                return None
        return self._pieces(place)

    def prepare(self, folder: str) -> None:
        """Find out now whether something can be written into a folder later.

        Raises:
            ConfigError: it cannot, or the vault stays closed.
        """
        with self._writing(), self.explained():
            self.make(self.home / folder)

    def names(self, folder: str, suffix: str) -> list[str]:
        """Return the names in a folder without their end, sorted.

        Raises:
            ConfigError: the home folder cannot be read, or is a file.
        """
        if self.home.exists() and not self.home.is_dir():
            raise ConfigError(
                f"{self.home} is a file, expected a folder",
                hint="name your home folder with --home, or leave that out",
            )
        with self.explained():
            if not (self.home / folder).is_dir():
                return []
            found = (self.home / folder).glob(f"[!.]*{suffix}")
            return sorted(path.name.removesuffix(suffix) for path in found)

    def key_file(self) -> KeyFile | None:
        """Return what stands in the key file, if there is one.

        Raises:
            ConfigError: it cannot be read.
            FormatError: it is damaged.
        """
        with self.explained():
            path = self.home / KEY_FILE
            if not path.exists():
                return None
            with path.open("rb") as file:
                return KeyFile.parse(file.read(MAX_BYTES + 1))

    def write_key_file(self, file: KeyFile) -> None:
        """Replace the key file; only for who is alone.

        Raises:
            ConfigError: it cannot be written; the old one is as it was.
        """
        with self.explained():
            for left in self.home.glob(f".{KEY_FILE}.*{TEMPORARY}"):
                left.unlink()  # of a killed process
            write_file(self.home / KEY_FILE, file.dump(), FILE_MODE)

    def opened(self) -> Opened | None:
        """Open the key file, once; None if there is none.

        Raises:
            ConfigError: there is nothing to open it with, or what there is is wrong.
            FormatError: it is damaged.
        """
        file = self.key_file()
        if file is None:
            return None
        if self._opened is None or self._opened.file.id != file.id:
            if self._secrets is None:
                raise ConfigError(
                    f"the vault in {self.home} is locked",
                    hint="give its passphrase: --passphrase-file or PROPER_PASSPHRASE",
                )
            wrap = self._secrets.wrap_of(file)
            self._opened = Opened(file, wrap.open(file), wrap)
        elif file.state == "sealed":  # by another process; never back to `sealing`
            self._opened = Opened(file, self._opened.key, self._opened.wrap)
        return self._opened

    @contextmanager
    def alone(self, before: KeyFile | None) -> Iterator[None]:
        """Keep other processes from writing.

        Args:
            before: the key file as it was seen.

        Raises:
            ConfigError: it is another by now; nothing was done.
        """
        with self._held(exclusive=True):
            if self.key_file() != before:
                raise ConfigError(
                    "another process locked the vault meanwhile",
                    hint="look with proper-client status what it is like now",
                )
            yield

    def places(self) -> list[str]:
        """Return all that is there and belongs sealed."""
        return [
            f"{folder}/{name}{suffix}"
            for folder, suffixes in SEALED.items()
            for suffix in suffixes
            for name in self.names(folder, suffix)
        ]

    def contents(self) -> Iterator[tuple[str, bytes]]:
        """Yield the place of each private file, and what it holds, opened.

        Releases are left out: they came from elsewhere.

        Raises:
            ConfigError: one cannot be read, or the vault stays closed.
            FormatError: one is damaged.
        """
        sealed = {*self.places()}
        for path in sorted(self.home.rglob("*")):
            place = path.relative_to(self.home).as_posix()
            if place in sealed:
                yield place, b"".join(self._pieces(place))
            elif path.is_file() and not place.startswith("releases/"):
                with self.explained():
                    yield place, path.read_bytes()

    def check_keyed(self) -> None:
        """Refuse to go on without the key file that sealed files were sealed by.

        Raises:
            FormatError: it is gone.
        """
        for place in self.places():
            if not self.is_clear(place):
                raise _keyless(place)

    def is_clear(self, place: str) -> bool:
        """Tell whether a file lies in clear."""
        with self.explained(), self.path(place).open("rb") as file:
            return file.read(len(MAGIC)) != MAGIC

    def seal_in_place(self, place: str, key: DataKey) -> None:
        """Replace a file in clear by the same one sealed; only for who is alone.

        Raises:
            ConfigError: the disk is full or not writable; the file is as it was.
        """
        path = self.path(place)
        with self.explained(), path.open("rb") as file:
            pieces = iter(partial(file.read, _PIECE), b"")
            write_pieces(path, seal(key.secret, place, pieces), FILE_MODE)

    def drop_leftovers(self) -> None:
        """Delete what killed writers left in clear; only for who is alone."""
        with self.explained():
            for folder in SEALED:
                for left in (self.home / folder).glob(f".*{TEMPORARY}"):
                    left.unlink()

    def make(self, folder: Path) -> None:
        """Make a folder of the home, or close one that was open to others.

        Raises:
            OSError: it cannot be made or written.
        """
        self._make_home()
        folder.mkdir(exist_ok=True)
        folder.chmod(FOLDER_MODE)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "not writable")
        sweep(folder)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Say what an error of the file system means for the person."""
        try:
            yield
        except OSError as error:
            raise _explain(error, self.home) from error

    def _make_home(self) -> None:
        # A home that was there keeps its permissions: it may hold other things.
        self.home.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)

    def _pieces(self, place: str) -> Iterator[bytes]:
        opened = self.opened()
        with self.explained(), self.path(place).open("rb") as file:
            first = file.read(len(MAGIC))
            rest = iter(partial(file.read, _PIECE), b"")
            if first == MAGIC:
                opened = opened or self.opened()  # it was locked a moment ago
                if opened is None:
                    raise _keyless(place)
                yield from unseal(opened.key.secret, place, rest)
            elif opened is not None and opened.file.state == "sealed":
                raise FormatError(
                    f"{place} is not sealed, expected a sealed file as all others are",
                    hint="take it out of the folder: it was not put there by PROPER",
                )
            else:
                yield first
                yield from rest

    @contextmanager
    def _writing(self) -> Iterator[DataKey | None]:
        """Yield what to seal with, while no other process locks the vault."""
        while True:
            opened = self._opened_to_write()  # asks, so it must not hold the others up
            with self._held(exclusive=False):
                file = self.key_file()
                if (file and file.id) == (opened and opened.key.id):
                    yield opened.key if opened else None
                    return

    def _opened_to_write(self) -> Opened | None:
        if (opened := self.opened()) is not None:
            return opened
        self.check_keyed()
        if not self.places() and self._secrets and self._secrets.keychain:
            wrap = self._secrets.new_wrap("keyring", None)
            with self.alone(None):  # from the first file on, and nobody need ask for it
                key = DataKey.new(self._secrets.entropy)
                self.write_key_file(wrap.close(key, "sealed"))
        return self.opened()

    @contextmanager
    def _held(self, *, exclusive: bool) -> Iterator[None]:
        """Hold the lock of the home until the end, also by a crash."""
        with self.explained():
            self._make_home()
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            descriptor = os.open(self.home / ".lock", flags, FILE_MODE)
        try:
            hold(descriptor, shared=not exclusive, wait=True)
            yield
        finally:
            os.close(descriptor)


def _keyless(place: str) -> FormatError:
    return FormatError(f"{place} is sealed, but there is no {KEY_FILE}", hint=DAMAGED)


def _explain(error: OSError, home: Path) -> ConfigError:
    if error.errno in _FULL:
        return ConfigError(
            f"the disk of {home} is full",
            hint="free some space and repeat; what was saved before is untouched",
        )
    if error.errno in _READ_ONLY:
        return ConfigError(
            f"cannot write or read in {home}: {error.strerror}",
            hint="choose another folder with --home, or set PROPER_HOME",
        )
    return ConfigError(
        f"cannot use {home} as home: {error.strerror or error}",
        hint="choose another folder with --home, or set PROPER_HOME",
    )
