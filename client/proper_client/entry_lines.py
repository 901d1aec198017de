"""Entries as they lie in a vault: JSON, one on a line, the oldest first.

Covered: a file that is damaged, or was written by something else, is refused as a
whole; memory is the entries and one line more.
Not covered: whether the entries fit their task; that was looked at when they came in.
"""

import json
from collections.abc import Iterable, Iterator

from proper_shared.errors import FormatError
from proper_shared.history import Entry

_BLOCK = 1 << 16  # bytes that are written at once
_NEEDED, _KNOWN = {"id", "text", "output"}, {"id", "text", "output", "date"}


def line(entry: Entry) -> bytes:
    """Return an entry as JSON, without the end of the line."""
    fields = {"id": entry.id, "date": entry.date, "text": entry.text}
    known = {key: value for key, value in fields.items() if value is not None}
    known["output"] = entry.output
    return json.dumps(known, ensure_ascii=False).encode()


def lines(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Yield entries as the bytes of a file, many lines at once."""
    block = bytearray()
    for entry in entries:
        block += line(entry) + b"\n"
        if len(block) >= _BLOCK:
            yield bytes(block)
            block.clear()
    yield bytes(block)


def parsed(pieces: Iterable[bytes], what: str) -> tuple[Entry, ...]:
    """Return the entries in a file, once all of it was read.

    Args:
        pieces: its bytes, cut anywhere.
        what: its name, for errors.

    Raises:
        FormatError: it is damaged.
    """
    return tuple(_entry(raw, what) for raw in _cut(pieces))


def _cut(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
    if rest:
        yield rest


def _entry(raw: bytes, what: str) -> Entry:
    try:
        said = json.loads(raw)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or not _NEEDED <= said.keys() <= _KNOWN:
        raise _damaged(what)
    if not all(isinstance(value, str) and value for value in said.values()):
        raise _damaged(what)
    return Entry(said["id"], said["text"], said["output"], said.get("date"))


def _damaged(what: str) -> FormatError:
    return FormatError(
        f"{what} is damaged, or another version of this program made it",
        hint="put a copy of it back that you have, or delete it and learn from your "
        "files again: proper-client train --history my.json",
    )
