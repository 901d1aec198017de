"""Our own format as JSON Lines: one entry on a line, for histories that only grow.

The first line may name the task: `{"task": "rating"}`. An entry has the keys that it
has in our JSON, and is checked as strictly; the order of the lines is free, because
an importer sorts by date. docs/history-lines.schema.json describes one line.
"""

from collections.abc import Iterator
from typing import Any

from proper_client.importers.formats import Format, Found, Options
from proper_client.importers.look import Look
from proper_client.importers.places import Place
from proper_client.importers.values import values
from proper_shared.history import EntryReader, choose_task

_FIRST_LINE = {"task"}
_NEEDED = {"text", "output"}
_KNOWN = {*_NEEDED, "id", "date"}


def _recognises(look: Look) -> bool:
    if look.head[:1] != "{":
        return False
    return look.keys == _FIRST_LINE or (
        bool(look.keys & _NEEDED) and _mostly_ours(look)
    )


def _mostly_ours(look: Look) -> bool:
    return len(look.keys & _KNOWN) * 2 > len(look.keys)


def _lines(place: Place) -> Iterator[Any]:
    name = place.names[0]
    with place.text(name) as stream:
        yield from values(stream, name)


def _task(place: Place, options: Options) -> str:
    first = next(_lines(place), None)
    named = first["task"] if first is not None and _is_first_line(first) else None
    named = named if isinstance(named, str) else None
    return choose_task(named, options.task, place.path.name).name


def _read(place: Place, options: Options) -> Iterator[Found]:
    task = choose_task(None, _task(place, options), place.path.name)
    reader = EntryReader(place.path.name, task)
    number = 0
    for line, value in enumerate(_lines(place)):
        if line == 0 and _is_first_line(value):
            continue
        number += 1
        entry = reader.read(number, value)
        yield Found(entry.text, entry.output, entry.date)


def _is_first_line(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, dict) and set(value) == _FIRST_LINE


FORMAT = Format(
    "jsonl", "our own, one entry on a line: docs/history.md", _recognises, _task, _read
)
