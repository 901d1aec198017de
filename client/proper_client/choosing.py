"""Choose entries of a history, by number, id, words or date; known before torch is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from proper_client.kept import pick
from proper_client.vault import Vault
from proper_shared.dates import is_later, parse_date
from proper_shared.errors import ConfigError, DataError
from proper_shared.history import Entry


@dataclass(frozen=True)
class Selection:
    """Which entries are meant: those that all of these hold for.

    Attributes:
        named: Numbers from 1 as `history` lists them, ranges of such (3-7), or ids.
        match: Stands in the text or the output, in capitals or not.
        before: A day or a moment; entries that are earlier.
        after: A day or a moment; entries that are later.
    """

    named: tuple[str, ...] = ()
    match: str | None = None
    before: str | None = None
    after: str | None = None

    def __bool__(self) -> bool:
        """Tell whether anything was said."""
        return bool(self.named or self.match or self.before or self.after)

    def of(self, entries: Sequence[Entry]) -> list[tuple[int, Entry]]:
        """Return the entries that are meant, each with its number.

        Raises:
            ConfigError: a number or a date is none, or there is no such entry.
            DataError: a date is asked for, and the entries have none.
        """
        numbers = _numbers(self.named, entries)
        limits = [
            (_moment(written, option), earlier)
            for written, option, earlier in (
                (self.before, "--before", True),
                (self.after, "--after", False),
            )
            if written
        ]
        if limits and any(entry.date is None for entry in entries):
            raise DataError(
                "the entries have no dates to choose by",
                hint="choose by number or text: proper-client history",
            )
        words = (self.match or "").casefold()
        return [
            (number, entry)
            for number, entry in enumerate(entries, start=1)
            if (not self.named or number in numbers)
            and (words in entry.text.casefold() or words in entry.output.casefold())
            and all(_lies(entry, limit, earlier=side) for limit, side in limits)
        ]


def _numbers(named: Sequence[str], entries: Sequence[Entry]) -> set[int]:
    ids = {entry.id: number for number, entry in enumerate(entries, start=1)}
    numbers: set[int] = set()
    for name in named:
        first, _, last = name.partition("-")
        if name in ids:
            numbers.add(ids[name])
        elif first.isdecimal() and (last or first).isdecimal():
            numbers |= set(range(int(first), int(last or first) + 1))
        else:
            numbers.add(0)
        if not numbers <= set(ids.values()):
            raise ConfigError(
                f"there is no entry {name[:40]!r} among {len(entries):,}",
                hint="proper-client history lists their numbers and ids",
            )
    return numbers


def _moment(written: str, option: str) -> date | datetime:
    try:
        return parse_date(written)
    except ValueError as error:
        raise ConfigError(
            f"{option}: {error}", hint="as in 2026-01-31, or 2026-01-31T18:30:00"
        ) from None


def _lies(entry: Entry, limit: date | datetime, *, earlier: bool) -> bool:
    when = parse_date(entry.date or "")
    return is_later(limit, when) if earlier else is_later(when, limit)


@dataclass(frozen=True)
class Part:
    """What is to be forgotten of one task.

    Attributes:
        task: its name.
        gone: the entries, each with its number.
        before: all entries that are there.
        whole: the task is forgotten with all that is kept of it.
    """

    task: str
    gone: tuple[tuple[int, Entry], ...]
    before: tuple[Entry, ...]
    whole: bool

    @property
    def left(self) -> tuple[Entry, ...]:
        """The entries that are kept."""
        numbers = {number for number, _ in self.gone}
        return tuple(
            entry
            for number, entry in enumerate(self.before, start=1)
            if number not in numbers
        )


def to_forget(
    vault: Vault, selection: Selection, task: str | None, *, everything: bool
) -> list[Part]:
    """Return what is meant, of each task.

    Args:
        vault: The private files.
        selection: Of entries; nothing means all of a task that is named.
        task: Which one, if that was said.
        everything: All of all tasks.

    Raises:
        ConfigError: nothing is meant, or too much, or it is not there.
        DataError: no entry is meant.
        FormatError: a history is damaged.
    """
    if everything and (selection or task):
        raise ConfigError(
            "got --all and a choice of entries or a task, expected one of them",
            hint="leave --all out, or all else",
        )
    if not (everything or selection or task):
        raise ConfigError(
            "got nothing to forget",
            hint="name entries as `proper-client history` lists them, words by "
            "--match, dates by --before and --after, or --task or --all",
        )
    tasks = vault.tasks()
    if not tasks:
        raise DataError(f"there is nothing to forget in {vault.home}")
    if everything:
        return [_whole(vault, name) for name in tasks]
    name = pick(tasks, task, "history")
    if not selection:
        return [_whole(vault, name)]
    before = vault.history(name)
    gone = tuple(selection.of(before))
    if not gone:
        raise DataError(
            f"none of {len(before):,} entries of {name} is meant",
            hint="look with the same options first: proper-client history",
        )
    return [Part(name, gone, before, whole=len(gone) == len(before))]


def _whole(vault: Vault, task: str) -> Part:
    before = vault.history(task)
    return Part(task, tuple(enumerate(before, start=1)), before, whole=True)
