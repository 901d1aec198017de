"""Markdown and text: a file, or a folder (or zip) of them, as their owner's writing.

A note is cut into passages at its empty lines. Each passage is an entry: the output is
the passage, the text is what stands before it: a passage, a heading, or for the first
one the title. So the whole note is learnt, not its opening alone. The title is that of
the front matter (`---` or `+++`), else the name of the file; the date is that of the
front matter, else one in the name of the file (2026-01-31). The time of the file itself
is not used: a copy or a download changes it. Code is not taken, it is rarely one's own.
"""

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import PurePosixPath
from typing import TextIO

from proper_client.importers.formats import (
    Dropped,
    Format,
    Found,
    Item,
    Options,
    free_text,
)
from proper_client.importers.look import Look
from proper_client.importers.places import Place
from proper_shared.errors import DataError

_ENDINGS = (".md", ".markdown", ".mdx", ".txt", ".text", ".rst", ".org")
_FENCES = ("---", "+++")
_CODE = ("```", "~~~")
_FIELD = re.compile(r"(title|date|created)\s*[:=]\s*(.*)", re.IGNORECASE)
_HEADING = re.compile(r"#{1,6}\s")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_LONGEST_LINE = 10_000  # characters; a passage without end comes in pieces too
_LONGEST_PASSAGE = 20_000
_LONGEST_HEADING = 1_000
_LONGEST_MATTER = 200  # lines


def _recognises(look: Look) -> bool:
    if not look.is_file:
        return any(_is_note(name) for name in look.names)
    return not look.is_json and bool(look.head.strip())


def _read(place: Place, _options: Options) -> Iterator[Item]:
    if place.is_file:
        with place.text(place.names[0]) as stream:
            yield from _note(place.names[0], stream)
        return
    for _ in range(place.links):
        yield Dropped("links, which are not followed")
    for name in place.names:
        if not _is_note(name):
            yield Dropped("files that are neither Markdown nor text")
            continue
        try:
            with place.text(name) as stream:
                yield from _note(name, stream)
        except DataError:
            yield Dropped("files (or their rest) that cannot be read as UTF-8")


def _note(name: str, stream: TextIO) -> Iterator[Item]:
    lines = _lines(stream)
    about, first = _front_matter(lines)
    day = _DAY.search(PurePosixPath(name).name)
    date = about.get("date") or about.get("created") or (day[0] if day else None)
    before = about.get("title") or PurePosixPath(name).stem
    for passage in _passages(first, lines):
        if _is_heading(passage):
            before = passage.strip("# \t") or before
        elif passage.lstrip()[:3] in _CODE:
            yield Dropped("passages of code")
        else:
            yield Found(before, passage, date)
            before = passage


def _lines(stream: TextIO) -> Iterator[str]:
    """Yield the lines; one without end comes in pieces."""
    while line := stream.readline(_LONGEST_LINE):
        yield line.rstrip("\r\n")


def _front_matter(lines: Iterator[str]) -> tuple[dict[str, str], list[str]]:
    """Return the fields of the front matter, and the lines read that are text."""
    first = next(lines, "")
    if first.strip() not in _FENCES:
        return {}, [first]
    fields: dict[str, str] = {}
    passed = [first]
    for line in lines:
        passed.append(line)
        if line.strip() == first.strip():
            return fields, []
        if field := _FIELD.fullmatch(line.strip()):
            fields[field[1].lower()] = field[2].strip("\"' ")
        if len(passed) > _LONGEST_MATTER:
            break
    return {}, passed  # it never ended, so it was a line across the page


def _passages(first: list[str], lines: Iterator[str]) -> Iterator[str]:
    """Yield what stands between empty lines; headings alone, of code the first line."""
    passage: list[str] = []
    fence, length = "", 0
    for line in chain(first, lines):
        opens = line.lstrip()[:3]
        if fence:
            fence = "" if opens == fence else fence
            continue
        alone = opens in _CODE or _is_heading(line)
        if passage and (alone or not line.strip() or length > _LONGEST_PASSAGE):
            yield "\n".join(passage)
            passage, length = [], 0
        if alone:
            yield line
            fence = opens if opens in _CODE else ""
        elif line.strip():
            passage.append(line)
            length += len(line)
    if passage:
        yield "\n".join(passage)


def _is_heading(line: str) -> bool:
    return len(line) < _LONGEST_HEADING and bool(_HEADING.match(line))


def _is_note(name: str) -> bool:
    return name.lower().endswith(_ENDINGS)


FORMAT = Format(
    "notes", "Markdown or text: a file or a folder", _recognises, free_text, _read
)
