"""The one place that writes the private files of a person.

A personal model is one file, `personal/<name>.safetensors`: its arrays, and what is to
be known about them as JSON in the header, so that the two can never disagree.

What a device did in federations lies in `federation/`: a journal, whose lines are never
changed (see `ledger_file`), and small files that are replaced as a whole.

Covered: other accounts of the machine (files 0600, folders 0700), a crash or a full
disk at any step (the model that was there stays whole), names that climb out of the
home folder.
Not covered: encryption. Whoever reads the disk as this user, or takes it out of the
machine, reads the files. Nor bits that a failing disk flips inside an array.
"""

import errno
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from proper_client.ledger_file import Journal
from proper_shared.durable import sweep, write_file
from proper_shared.errors import ConfigError, DataError
from proper_shared.strict_json import parse_object
from proper_shared.tensors import Array, Arrays, pack, read_header, unpack

FILE_MODE = 0o600
FOLDER_MODE = 0o700
_SUFFIX = ".safetensors"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LONGEST = 1 << 16  # bytes of a line; ours have less than a tenth
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}
_FULL = {errno.ENOSPC, errno.EDQUOT}


def default_home(environment: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Return where private files go if nobody says otherwise.

    Args:
        environment: As `os.environ`; PROPER_HOME wins over the platform's habit.
        platform: As `sys.platform`.
    """
    if chosen := environment.get("PROPER_HOME"):
        return Path(chosen)
    if platform == "win32" and (local := environment.get("LOCALAPPDATA")):
        return Path(local) / "proper"
    if platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "proper"
    # https://specifications.freedesktop.org/basedir-spec/: relative values are void
    data = Path(environment.get("XDG_DATA_HOME", ""))
    base = data if data.is_absolute() else Path.home() / ".local" / "share"
    return base / "proper"


class Vault:
    """The private files under one home folder.

    Args:
        home: The folder; made by `prepare` or the first `save`, never by reading.
    """

    def __init__(self, home: Path) -> None:
        self.home = home

    def prepare(self) -> None:
        """Make the folders, and find out now whether a model can be kept later.

        Raises:
            ConfigError: the home folder cannot be made or written.
        """
        with self._explained():
            self._make(self._folder)

    def save(self, name: str, arrays: Mapping[str, Array], about: object) -> Path:
        """Replace the personal model `name` in one step; return where it lies.

        Args:
            name: Letters, digits, `-` and `_`.
            arrays: Finite float32 arrays.
            about: A JSON object: what to know about the arrays.

        Raises:
            ConfigError: the name is unfit, the disk is full or not writable. The model
                that was there is as it was.
        """
        path = self.path(name)
        text = json.dumps(about, ensure_ascii=False, sort_keys=True, allow_nan=False)
        data = pack(arrays, {"about": text})
        self.prepare()
        with self._explained():
            write_file(path, data, FILE_MODE)
        return path

    def load(self, name: str) -> tuple[Arrays, dict[str, object]]:
        """Return the arrays of the personal model `name`, and what is known about them.

        Raises:
            ConfigError: the name is unfit, or the file cannot be read.
            DataError: there is no such model.
            FormatError: the file is damaged.
        """
        path = self.path(name)
        with self._explained():
            if not path.is_file():
                raise DataError(
                    f"there is no personal model {name!r} in {self.home}",
                    hint="make one first: proper-client train --history my.json",
                )
            data = path.read_bytes()
        text = read_header(data, path.name).metadata.get("about", "")
        return unpack(data, path.name), parse_object(text.encode(), path.name)

    def names(self) -> list[str]:
        """Return the names of all personal models, sorted.

        Raises:
            ConfigError: the home folder cannot be read, or is a file.
        """
        if self.home.exists() and not self.home.is_dir():
            raise ConfigError(
                f"{self.home} is a file, expected a folder",
                hint="name your home folder with --home, or leave that out",
            )
        with self._explained():
            if not self._folder.is_dir():
                return []
            return sorted(path.stem for path in self._folder.glob(f"[!.]*{_SUFFIX}"))

    def path(self, name: str) -> Path:
        """Return the place of the personal model `name`.

        Raises:
            ConfigError: the name could lead elsewhere.
        """
        return self._folder / f"{_checked(name)}{_SUFFIX}"

    def journal(self, name: str) -> Journal:
        """Open the journal `name` to add lines; no other process can meanwhile.

        Raises:
            ConfigError: the name is unfit, another process has it open, or it cannot be
                read or written.
        """
        path = self._federation(name, ".jsonl")
        with self._explained():
            self._make(path.parent)
            return Journal(path, FILE_MODE)

    def lines(self, name: str) -> Iterator[bytes]:
        """Yield the lines of the journal `name`, oldest first, each with its end.

        A line longer than any of ours comes in pieces. Nothing is made by reading.

        Raises:
            ConfigError: the name is unfit, or the file cannot be read.
        """
        path = self._federation(name, ".jsonl")
        with self._explained():
            if not path.is_file():
                return
            with path.open("rb") as file:
                while line := file.readline(_LONGEST):
                    yield line

    def write_record(self, name: str, about: object) -> None:
        """Replace the small file `name` by a JSON object, in one step.

        Raises:
            ConfigError: the name is unfit, the disk is full or not writable. What was
                there is as it was.
        """
        path = self._federation(name, ".json")
        text = json.dumps(about, ensure_ascii=False, sort_keys=True, allow_nan=False)
        with self._explained():
            self._make(path.parent)
            write_file(path, text.encode(), FILE_MODE)

    def read_record(self, name: str) -> dict[str, object] | None:
        """Return the JSON object in the small file `name`, if there is one.

        Raises:
            ConfigError: the name is unfit, or the file cannot be read.
            FormatError: the file is damaged.
        """
        path = self._federation(name, ".json")
        with self._explained():
            if not path.exists():
                return None
            data = path.read_bytes()
        return parse_object(data, path.name)

    def write_state(self, name: str, data: bytes) -> None:
        """Replace the state `name` of a federation, in one step.

        Raises:
            ConfigError: the name is unfit, the disk is full or not writable. What was
                there is as it was.
        """
        path = self._federation(name, _SUFFIX)
        with self._explained():
            self._make(path.parent)
            write_file(path, data, FILE_MODE)

    def read_state(self, name: str) -> bytes | None:
        """Return the state `name` of a federation, if there is one.

        Raises:
            ConfigError: the name is unfit, or the file cannot be read.
        """
        path = self._federation(name, _SUFFIX)
        with self._explained():
            return path.read_bytes() if path.exists() else None

    @property
    def _folder(self) -> Path:
        return self.home / "personal"

    def _federation(self, name: str, suffix: str) -> Path:
        return self.home / "federation" / f"{_checked(name)}{suffix}"

    def _make(self, folder: Path) -> None:
        """Make a folder of the home, or close one that was open to others."""
        # A home that was there keeps its permissions: it may hold other things.
        self.home.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        folder.mkdir(exist_ok=True)
        folder.chmod(FOLDER_MODE)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "not writable")
        sweep(folder)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say what an error of the file system means for the person."""
        try:
            yield
        except OSError as error:
            raise _explain(error, self.home) from error


def _checked(name: str) -> str:
    """Return a name that cannot lead elsewhere."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"got the name {name!r}, expected 1 to 64 of A-Z a-z 0-9 - _",
            hint="choose a plain name without dots, spaces and slashes",
        )
    return name


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
