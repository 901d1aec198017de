"""CSV with named columns: one for the text, one for what was made of it, maybe a date.

The columns are those that the options name, else the first of the usual names that the
header has. A table cannot know its task, so that comes from outside. Commas,
semicolons, tabs and bars are told apart by the header.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TextIO

from proper_client.importers.formats import (
    Dropped,
    Format,
    Found,
    Item,
    Options,
    asked_outside,
)
from proper_client.importers.look import Look
from proper_client.importers.places import Place
from proper_shared.errors import ConfigError, DataError
from proper_shared.suggest import did_you_mean

_TEXTS = "text input prompt question review abstract article description message body "
_TEXTS += "content read source"
_OUTPUTS = "output label tag category score rating stars headline title answer reply "
_OUTPUTS += "response completion written"
_DATES = "date datetime timestamp created_at created time when day"
_SAYS_SO = re.compile(r"sep=(.)\r?\n", re.IGNORECASE)  # a first line of Excel
_LONGEST_NAME = 40
_LONGEST_LINE = 2**20  # characters
_LOOKED_AT = 5  # rows


def _recognises(look: Look) -> bool:
    """Tell a table by its shape: short names on top, as many fields in each row."""
    if not look.is_file or look.is_json:
        return False
    lines = look.head.splitlines(keepends=True)
    try:
        seen = iter(lines if look.whole else lines[:-1])
        rows = list(islice(_rows(seen, strict=False), _LOOKED_AT))
    except csv.Error:
        return False
    header, *below = rows or [[]]
    named = all(0 < len(cell.strip()) <= _LONGEST_NAME for cell in header)
    plain = all(cell.count(" ") < 3 for cell in header)
    even = all(len(row) == len(header) for row in below)
    return bool(len(header) > 1 and below and named and plain and even)


def _rows(lines: Iterator[str], *, strict: bool) -> Iterator[list[str]]:
    """Yield the header and all rows that are not empty."""
    first = next(lines, "")
    if said := _SAYS_SO.fullmatch(first):
        mark, first = said[1], next(lines, "")
    else:
        mark = max(",;\t|", key=first.count)
    yield from filter(None, csv.reader([first], delimiter=mark, strict=strict))
    yield from filter(None, csv.reader(lines, delimiter=mark, strict=strict))


def _lines(stream: TextIO) -> Iterator[str]:
    """Yield the lines; csv would hold one without end in memory."""
    while line := stream.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise csv.Error(f"a line of more than {_LONGEST_LINE:,} characters")
        yield line


def _read(place: Place, options: Options) -> Iterator[Item]:
    name = place.names[0]
    with place.text(name) as stream:
        yield from _entries(name, stream, options)


def _entries(name: str, stream: TextIO, options: Options) -> Iterator[Item]:
    rows, number = _rows(_lines(stream), strict=True), 1
    try:
        header = [cell.strip() for cell in next(rows, [])]
        text, output, date = _columns(header, options)
        for number, row in enumerate(rows, start=2):  # noqa: B007 - for the error
            if len(row) != len(header):
                yield Dropped("rows with more or fewer fields than the header")
                continue
            when = None if date is None else row[date]
            yield Found(row[text], row[output], when)
    except csv.Error as error:
        raise DataError(
            f"{name} is no CSV after row {number}: {error}",
            hint="is a quote missing there? save it again as CSV (UTF-8)",
        ) from None


def _columns(header: Sequence[str], options: Options) -> tuple[int, int, int | None]:
    text = _column(header, options.text_column, _TEXTS)
    output = _column(header, options.output_column, _OUTPUTS, but=text)
    date = _column(header, options.date_column, _DATES)
    if text is None or output is None:
        what, option = ("text", "text") if text is None else ("output", "output")
        raise DataError(
            f"the columns are {', '.join(header)[:200]}; none is known as {what}",
            hint=f"name it by --{option}-column; of no table: --format notes",
        )
    return text, output, date


def _column(
    header: Sequence[str], asked: str | None, usual: str, but: int | None = None
) -> int | None:
    """Return the place of the column that is asked for, or has a usual name."""
    names = [cell.lower() for cell in header]
    if asked is not None:
        if asked.strip().lower() not in names:
            raise ConfigError(
                f"there is no column {asked!r}", hint=did_you_mean(asked, header)
            )
        return names.index(asked.strip().lower())
    found = (names.index(name) for name in usual.split() if name in names)
    return next((place for place in found if place != but), None)


FORMAT = Format("csv", "CSV with named columns", _recognises, asked_outside, _read)
