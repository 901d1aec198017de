"""A person's history: what they read, and what they made of it.

The file `my.json` is described in docs/history.md, and for programs in
`history.schema.json` beside this module. Whatever is wrong with a file is said at
once and in full before anything is learnt from it: nothing is repaired, reordered or
left out silently, because a model of a person would hide the damage.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from proper_shared.dates import is_later, parse_date
from proper_shared.errors import ConfigError, DataError
from proper_shared.json_file import FORMAT_HINT, kind_of, read_json, text_field
from proper_shared.suggest import did_you_mean
from proper_shared.tasks import Task, get_task

MAX_FILE_BYTES = 64 * 2**20
VALIDATION_SHARE = 0.2
MIN_FOR_VALIDATION = 5
OWNER = "me"  # the one user of a device

_FILE_KEYS = ("task", "entries", "$schema")
_ENTRY_KEYS = ("id", "text", "output", "date")


@dataclass(frozen=True)
class Entry:
    """One thing that a person read, and what they made of it.

    Attributes:
        id: Unique within a history.
        text: What is read.
        output: The label, score, title or rewriting; of a query, the gold answer.
        date: When, if it is known; comparable within one history.
    """

    id: str
    text: str
    output: str
    date: str | None = None


@dataclass(frozen=True)
class User:
    """One person.

    Attributes:
        user_id: Unique within a data set.
        profile: The history, oldest entry first.
        queries: Later entries that are asked and never trained on.
    """

    user_id: str
    profile: tuple[Entry, ...]
    queries: tuple[Entry, ...] = ()


def split_for_validation(
    profile: Sequence[Entry],
) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """Cut a user's own validation part from the end of the profile.

    The newest fifth (rounded) decides between levels, as the newest entries are the
    most like what will be asked next; under five entries nothing is kept aside.

    Args:
        profile: Entries in time order.

    Returns:
        Entries to train on and entries to validate on, both in time order.
    """
    count = len(profile)
    held = round(VALIDATION_SHARE * count) if count >= MIN_FOR_VALIDATION else 0
    return tuple(profile[: count - held]), tuple(profile[count - held :])


def load_history(path: str | Path, task: str | None = None) -> tuple[Task, User]:
    """Read a person's history from a JSON file.

    Args:
        path: `{"task": ..., "entries": [...]}`, or only the list of entries.
        task: Name of the task; needed for a bare list, else it must agree.

    Returns:
        The task, and one user with all entries as profile in the file's order.

    Raises:
        DataError: Anything is wrong with the file; the message names the entry by
            its number, counted from 1, and never shows its text.
        ConfigError: `task` is not the name of a task.
    """
    path = Path(path)
    content = read_json(path, max_bytes=MAX_FILE_BYTES)
    named, records = _open_envelope(content, path.name)
    chosen = choose_task(named, task, path.name)
    if not records:
        raise DataError(
            f"{path.name} has no entries, expected one or more", hint=FORMAT_HINT
        )
    reader = EntryReader(path.name, chosen)
    entries = tuple(reader.read(n, raw) for n, raw in enumerate(records, start=1))
    _check_ids(entries, path.name)
    _check_dates(entries, path.name)
    return chosen, User(user_id=OWNER, profile=entries)


def _open_envelope(content: Any, name: str) -> tuple[str | None, list[Any]]:  # noqa: ANN401
    if isinstance(content, list):
        return None, content
    if not isinstance(content, dict):
        raise DataError(
            f"{name} holds {kind_of(content)}, expected an object",
            hint=FORMAT_HINT,
        )
    _check_keys(content, _FILE_KEYS, name)
    named, records = content.get("task"), content.get("entries")
    if named is not None and not isinstance(named, str):
        raise DataError(
            f"{name} has {kind_of(named)} as task, expected a string", hint=FORMAT_HINT
        )
    if not isinstance(records, list):
        raise DataError(
            f"{name} has {kind_of(records)} as entries, expected a list",
            hint=FORMAT_HINT,
        )
    return named, records


def choose_task(named: str | None, asked: str | None, name: str) -> Task:
    """Return the task of a file, from inside it or from the command, which must agree.

    Args:
        named: What the file says, if it says it.
        asked: What the command says, if it says it.
        name: Of the file, for messages.

    Raises:
        DataError: Nobody names a task, or the file names another or an unknown one.
        ConfigError: `asked` is not the name of a task.
    """
    wanted = get_task(asked) if asked is not None else None
    if named is None:
        if wanted is None:
            raise DataError(
                f"{name} names no task",
                hint='write {"task": "tagging", "entries": [...]}, or give the task',
            )
        return wanted
    try:
        found = get_task(named)
    except ConfigError as error:
        raise DataError(f"{name}: {error}", hint=error.hint) from None
    if wanted is not None and wanted != found:
        raise DataError(
            f"{name} is a history of {found.name}, asked for {wanted.name}",
            hint="leave the task out, or give another history",
        )
    return found


@dataclass(frozen=True)
class EntryReader:
    """Checks the entries of one file, one by one.

    Attributes:
        name: Of the file, for messages.
        task: What is asked of its texts.
    """

    name: str
    task: Task

    def read(self, number: int, raw: Any) -> Entry:  # noqa: ANN401
        """Return entry `number` (from 1).

        Raises:
            DataError: Anything is wrong with it.
        """
        where = f"{self.name}: entry {number}"
        if not isinstance(raw, dict):
            raise DataError(
                f"{where} is {kind_of(raw)}, expected an object", hint=FORMAT_HINT
            )
        _check_keys(raw, _ENTRY_KEYS, where)
        day = raw.get("date")
        return Entry(
            id=text_field(raw.get("id", f"entry-{number}"), "id", where),
            text=text_field(raw.get("text"), "text", where),
            output=self._output(raw.get("output"), where),
            date=None if day is None else _date(day, where),
        )

    def _output(self, raw: Any, where: str) -> str:  # noqa: ANN401
        is_number = isinstance(raw, int) and not isinstance(raw, bool)
        if self.task.kind == "score" and is_number:
            raw = str(raw)  # nobody puts a score into quotes
        elif self.task.kind == "score" and isinstance(raw, float):
            raw = f"{raw:g}"  # 3.0 is 3
        output = text_field(raw, "output", where)
        if not self.task.accepts(output):
            raise DataError(
                f"{where} has the output {output[:40]!r}, "
                f"expected a {self.task.kind} of {self.task.name}",
                hint=did_you_mean(output, self.task.labels),
            )
        return output


def _date(raw: Any, where: str) -> str:  # noqa: ANN401
    day = text_field(raw, "date", where)
    try:
        parse_date(day)
    except ValueError:
        raise DataError(
            f"{where} has the date {day[:40]!r}, expected 2026-01-31 or "
            "2026-01-31T18:30:00",
            hint="write dates as year-month-day",
        ) from None
    return day


def _check_ids(entries: Sequence[Entry], name: str) -> None:
    seen: dict[str, int] = {}
    for number, entry in enumerate(entries, start=1):
        if entry.id in seen:
            raise DataError(
                f"{name}: entries {seen[entry.id]} and {number} have the same id",
                hint="give each entry its own id, or leave all ids out",
            )
        seen[entry.id] = number


def _check_dates(entries: Sequence[Entry], name: str) -> None:
    """Refuse dates that run backwards: the file's order is the order of time."""
    dated = [entry.date is not None for entry in entries]
    if any(dated) and not all(dated):
        raise DataError(
            f"{name}: entry {dated.index(False) + 1} has no date, but others have",
            hint="date every entry, or leave all dates out and list the oldest first",
        )
    moments = [parse_date(entry.date) for entry in entries if entry.date is not None]
    for number, (before, after) in enumerate(pairwise(moments), start=1):
        if is_later(before, after):
            raise DataError(
                f"{name}: entry {number + 1} is dated before entry {number}, "
                "expected the oldest first",
                hint="sort the entries by date, the oldest first",
            )


def _check_keys(raw: dict[str, Any], known: Sequence[str], where: str) -> None:
    for key in raw:
        if key not in known:
            raise DataError(
                f"{where} has the unknown key {key[:40]!r}",
                hint=did_you_mean(key, known),
            )
