"""The one place that writes the private files of a person.

A personal model is one file, `personal/<name>.safetensors`: its arrays, and what is to
be known about them as JSON in the header, so that the two can never disagree.
`history/<task>.entries` is what is learnt from, one entry on a line, and
`training/<task>.checkpoint` where a training stood that was cut short.

What a device did in federations lies in `federation/`: a journal, whose lines are never
changed (see `ledger_file`), and small files that are replaced as a whole.

Covered: other accounts of the machine, a crash or a full disk at any step, names that
climb out of the home folder; once the vault is locked, whoever takes the disk (see
`at_rest`: all but the journal is sealed under one key).
Not covered: a vault that was never locked is in clear; other programs of this person.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from proper_client.at_rest.files import FILE_MODE, PrivateFiles
from proper_client.at_rest.key_file import KeyFile
from proper_client.at_rest.unlocking import Secrets
from proper_client.entry_lines import lines, parsed
from proper_client.home import default_home
from proper_client.ledger_file import Journal
from proper_shared.errors import ConfigError, DataError
from proper_shared.history import Entry
from proper_shared.locks import alone
from proper_shared.strict_json import parse_object
from proper_shared.tensors import Array, Arrays, pack, read_header, unpack

__all__ = ["FILE_MODE", "Vault", "default_home"]

_MODEL, _RECORD, _ENTRIES = ".safetensors", ".json", ".entries"
_CHECKPOINT = ".checkpoint"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LONGEST = 1 << 16  # bytes of a line; ours have less than a tenth


class Vault:
    """The private files under one home folder.

    Args:
        home: The folder; made by `prepare` or the first `save`, never by reading.
        secrets: What opens it, if it is locked.

    Attributes:
        home: The folder.
        files: All but the journals are read and written here.
    """

    def __init__(self, home: Path, secrets: Secrets | None = None) -> None:
        self.home, self.files = home, PrivateFiles(home, secrets)

    @property
    def key_file(self) -> KeyFile | None:
        """By what the vault is locked, if it is; nothing is asked for.

        Raises:
            ConfigError: the key file cannot be read.
            FormatError: it is damaged.
        """
        return self.files.key_file()

    def prepare(self) -> None:
        """Make the folders, and find out now whether a model can be kept later.

        Raises:
            ConfigError: the home folder cannot be made or written, or stays locked.
        """
        self.files.prepare("personal")

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
        place = _personal(name)
        text = json.dumps(about, ensure_ascii=False, sort_keys=True, allow_nan=False)
        return self.files.write(place, [pack(arrays, {"about": text})])

    def load(self, name: str) -> tuple[Arrays, dict[str, object]]:
        """Return the arrays of the personal model `name`, and what is known about them.

        Raises:
            ConfigError: the name is unfit, or the file cannot be read.
            DataError: there is no such model.
            FormatError: the file is damaged.
        """
        place, path = _personal(name), self.path(name)
        data = self._whole(place)
        if data is None:
            raise DataError(
                f"there is no personal model {name!r} in {self.home}",
                hint="make one first: proper-client train --history my.json",
            )
        text = read_header(data, path.name).metadata.get("about", "")
        return unpack(data, path.name), parse_object(text.encode(), path.name)

    def names(self) -> list[str]:
        """Return the names of all personal models, sorted.

        Raises:
            ConfigError: the home folder cannot be read, or is a file.
        """
        return self.files.names("personal", _MODEL)

    def path(self, name: str) -> Path:
        """Return the place of the personal model `name`.

        Raises:
            ConfigError: the name could lead elsewhere.
        """
        return self.files.path(_personal(name))

    def history(self, task: str) -> tuple[Entry, ...]:
        """Return the entries of a task that are kept, the oldest first; maybe none.

        Raises:
            ConfigError: the name is unfit, or the file cannot be read.
            FormatError: the file is damaged.
        """
        place = _history(task)
        pieces = self.files.read(place)
        return () if pieces is None else parsed(pieces, place)

    def keep_history(self, task: str, entries: Iterable[Entry]) -> Path:
        """Replace the entries of a task in one step; return where they lie.

        Args:
            task: Its name.
            entries: The oldest first, each with an id of its own.

        Raises:
            ConfigError: the name is unfit, the disk is full or not writable. The
                entries that were there are as they were.
        """
        return self.save_history(task, lines(entries))

    def save_history(self, task: str, pieces: Iterable[bytes]) -> Path:
        """Replace the entries of a task in one step; return where they lie.

        Args:
            task: Its name.
            pieces: The entries as text, cut anywhere; never in memory as a whole.

        Raises:
            ConfigError: the name is unfit, the disk is full or not writable. The
                entries that were there are as they were.
        """
        return self.files.write(_history(task), pieces)

    def load_history(self, task: str) -> Iterator[bytes] | None:
        """Return the entries of a task in pieces, if there are any.

        Raises:
            ConfigError: the name is unfit, or the file cannot be read.
            FormatError: the file is damaged, perhaps at its end: learn from nothing
                before the last piece has come.
        """
        return self.files.read(_history(task))

    def histories(self) -> list[str]:
        """Return the tasks whose entries are kept, sorted.

        Raises:
            ConfigError: the home folder cannot be read, or is a file.
        """
        return self.files.names("history", _ENTRIES)

    def write_checkpoint(self, task: str, data: bytes) -> None:
        """Replace where the training of a task stands, in one step.

        Raises:
            ConfigError: the name is unfit, the disk is full or not writable.
        """
        self.files.write(_training(task), [data])

    def read_checkpoint(self, task: str) -> bytes | None:
        """Return where the training of a task was cut short, if it was.

        Raises:
            ConfigError: the name is unfit, or the file cannot be read.
            FormatError: the file is sealed and damaged.
        """
        return self._whole(_training(task))

    def drop_checkpoint(self, task: str) -> bool:
        """Delete where the training of a task stands; say whether it was there.

        Raises:
            ConfigError: the name is unfit, or the disk is not writable.
        """
        return self.files.remove(_training(task))

    def drop_model(self, name: str) -> bool:
        """Delete a personal model; say whether it was there.

        Raises:
            ConfigError: the name is unfit, or the disk is not writable.
        """
        return self.files.remove(_personal(name))

    def drop_history(self, task: str) -> bool:
        """Delete the entries of a task; say whether there were any.

        Raises:
            ConfigError: the name is unfit, or the disk is not writable.
        """
        return self.files.remove(_history(task))

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Be the only process that learns or forgets here.

        Raises:
            ConfigError: another does, or the home folder is not writable.
        """
        self.prepare()
        with ExitStack() as held:
            with self.files.explained():
                held.enter_context(alone(self.home, "learn"))
            yield

    def tasks(self) -> list[str]:
        """Return the tasks of which anything is kept, sorted.

        Raises:
            ConfigError: the home folder cannot be read, or is a file.
        """
        begun = self.files.names("training", _CHECKPOINT)
        return sorted({*self.names(), *self.histories(), *begun})

    def journal(self, name: str) -> Journal:
        """Open the journal `name` to add lines; no other process can meanwhile.

        Raises:
            ConfigError: the name is unfit, another process has it open, or it cannot be
                read or written.
        """
        path = self.files.path(_federation(name, ".jsonl"))
        with self.files.explained():
            self.files.make(path.parent)
            return Journal(path, FILE_MODE)

    def lines(self, name: str) -> Iterator[bytes]:
        """Yield the lines of the journal `name`, oldest first, each with its end.

        A line longer than any of ours comes in pieces. Nothing is made by reading.

        Raises:
            ConfigError: the name is unfit, or the file cannot be read.
        """
        path = self.files.path(_federation(name, ".jsonl"))
        with self.files.explained():
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
        place = _federation(name, _RECORD)
        text = json.dumps(about, ensure_ascii=False, sort_keys=True, allow_nan=False)
        self.files.write(place, [text.encode()])

    def read_record(self, name: str) -> dict[str, object] | None:
        """Return the JSON object in the small file `name`, if there is one.

        Raises:
            ConfigError: the name is unfit, or the file cannot be read.
            FormatError: the file is damaged.
        """
        data = self._whole(_federation(name, _RECORD))
        return None if data is None else parse_object(data, f"{name}{_RECORD}")

    def write_state(self, name: str, data: bytes) -> None:
        """Replace the state `name` of a federation, in one step.

        Raises:
            ConfigError: the name is unfit, the disk is full or not writable. What was
                there is as it was.
        """
        self.files.write(_federation(name, _MODEL), [data])

    def read_state(self, name: str) -> bytes | None:
        """Return the state `name` of a federation, if there is one.

        Raises:
            ConfigError: the name is unfit, or the file cannot be read.
            FormatError: the file is sealed and damaged.
        """
        return self._whole(_federation(name, _MODEL))

    def _whole(self, place: str) -> bytes | None:
        pieces = self.files.read(place)
        return None if pieces is None else b"".join(pieces)


def _personal(name: str) -> str:
    return f"personal/{_checked(name)}{_MODEL}"


def _history(task: str) -> str:
    return f"history/{_checked(task)}{_ENTRIES}"


def _training(task: str) -> str:
    return f"training/{_checked(task)}{_CHECKPOINT}"


def _federation(name: str, suffix: str) -> str:
    return f"federation/{_checked(name)}{suffix}"


def _checked(name: str) -> str:
    """Return a name that cannot lead elsewhere."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"got the name {name!r}, expected 1 to 64 of A-Z a-z 0-9 - _",
            hint="choose a plain name without dots, spaces and slashes",
        )
    return name
