"""Import a source: find its format, gather its entries, write them as a history.

Covered: whatever is wrong with the source or with the file that is there ends in an
error before anything is written; the file is replaced in one step, readable by its
owner alone.
Not covered: keeping the history secret on the disk (that is the vault's), or two
imports into one file at the same time (the last one wins).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from proper_client.entry_lines import line
from proper_client.importers import (
    chat,
    chatgpt,
    lamp,
    notes,
    own_json,
    own_lines,
    table,
)
from proper_client.importers.formats import Format, Options
from proper_client.importers.gathering import Gathering
from proper_client.importers.look import Look, look_at
from proper_client.importers.places import Place, opened
from proper_shared.durable import write_file
from proper_shared.errors import ConfigError, DataError
from proper_shared.history import Entry, choose_task, load_history
from proper_shared.suggest import did_you_mean
from proper_shared.tasks import Task

# Asked in this order; the first that recognises a source reads it.
FORMATS: tuple[Format, ...] = (
    chatgpt.FORMAT,
    lamp.FORMAT,
    chat.FORMAT,
    own_lines.FORMAT,
    own_json.FORMAT,
    table.FORMAT,
    notes.FORMAT,
)
Beside = Callable[[Task], Iterable[Entry]]
_FILE_MODE = 0o600
_HINT = "see `proper-client import --formats`, or name the format by --format"


@dataclass(frozen=True)
class Import:
    """What came of a source.

    Attributes:
        format: That it was read as.
        gathering: What was kept, what was dropped and why.
    """

    format: Format
    gathering: Gathering

    @property
    def task(self) -> Task:
        """What is asked of the texts."""
        return self.gathering.task


def gather(
    path: Path,
    options: Options | None = None,
    *,
    name: str | None = None,
    there: Path | None = None,
    beside: Beside | None = None,
) -> Import:
    """Read a source; nothing is written.

    Args:
        path: A file, a folder or a zip.
        options: What only the person can say.
        name: Of the format, if it shall not be found by the content.
        there: A history that the entries come beside, if it exists.
        beside: Or a look-up of the entries of a task that they come beside.

    Raises:
        DataError: Anything is wrong with the source or the history, or it has no entry.
        ConfigError: An option is wrong.
    """
    options = options or Options()
    with opened(path) as place:
        chosen = _named(name) if name else recognise(look_at(place))
        _check_kind(chosen, place)
        task = choose_task(chosen.task(place, options), options.task, path.name)
        gathering = Gathering(task, options.date_format)
        if there is not None and there.exists():
            gathering.start_from(load_history(there, task.name)[1].profile)
        if beside is not None:
            gathering.start_from(beside(task))
        gathering.take(chosen.read(place, options))
    if not gathering.accepted:
        raise DataError(
            f"{path.name} has no entry of {task.name}{_reasons(gathering)}", hint=_HINT
        )
    return Import(chosen, gathering)


def import_into(
    source: Path | None,
    out: Path | None,
    options: Options,
    *,
    name: str | None = None,
    dry_run: bool = False,
) -> tuple[Import, bool]:
    """Gather a source beside what is in `out`, and write both there if that adds any.

    Returns:
        What came of it, and whether it was written.

    Raises:
        ConfigError: No source, neither a file to write nor a dry run; or as `gather`.
        DataError: As `gather`.
        OSError: As `write`.
    """
    if source is None or (out is None and not dry_run):
        raise ConfigError(
            "got no source" if source is None else "got nothing to write to",
            hint="proper-client import SOURCE --out my.json, or with --dry-run",
        )
    done = gather(source, options, name=name, there=out)
    written = out is not None and not dry_run and done.gathering.count(new=True) > 0
    if written and out is not None:
        write(done, out)
    return done, written


def recognise(look: Look) -> Format:
    """Return the format of a source by its content.

    Raises:
        DataError: It is none that we know.
    """
    for one in FORMATS:
        if one.recognises(look):
            return one
    what = "no file of a format that we read" if not look.is_file else "nothing to read"
    raise DataError(f"{look.name} holds {what}", hint=_HINT)


def write(done: Import, out: Path) -> None:
    """Write all entries as a history in our own format; only the owner can read it.

    Raises:
        OSError: The disk is full or the folder not writable; the file is as before.
    """
    data = bytearray(f'{{"task": "{done.task.name}", "entries": [\n'.encode())
    for number, entry in enumerate(done.gathering.entries()):
        data += b",\n" if number else b""
        data += line(entry)
    data += b"\n]}\n"
    write_file(out, bytes(data), _FILE_MODE)


def describe_formats() -> Iterator[str]:
    """Yield a line for each format."""
    for one in FORMATS:
        yield f"{one.name:<9}{one.about}"


def _named(name: str) -> Format:
    known = {one.name: one for one in FORMATS}
    if name not in known:
        raise ConfigError(
            f"got format {name[:40]!r}, expected a known one",
            hint=did_you_mean(name, known),
        )
    return known[name]


def _check_kind(chosen: Format, place: Place) -> None:
    """Only some formats are a folder or a zip, whatever was asked for."""
    if not place.is_file and chosen not in (chatgpt.FORMAT, lamp.FORMAT, notes.FORMAT):
        raise DataError(
            f"{place.path.name} is a folder or a zip, expected a file for "
            f"{chosen.name}",
            hint="give one of the files in it",
        )


def _reasons(gathering: Gathering) -> str:
    most = [f"{n} {reason}" for reason, n in gathering.dropped.most_common(3)]
    return f": dropped {', '.join(most)}" if most else ""
