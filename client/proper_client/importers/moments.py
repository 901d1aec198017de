"""Dates of many kinds, written as a history has them: a day, or a moment in UTC."""

import math
import re
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime

_ISO = re.compile(
    r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})"
    r"(?:[T ](\d{1,2}:\d{2}(?::\d{2})?)(?:[.,]\d+)?\s*(Z|UTC|[+-]\d{2}:?\d{2})?)?"
)
_NUMBERS = re.compile(r"(\d{1,2})([./-])(\d{1,2})\2(\d{4})(?:,?\s+(\d{1,2}:\d{2}))?")
_NUMERIC = re.compile(r"\d{9,19}(\.\d+)?")  # seconds and finer; a year is no moment
_WORDS = ("%d %B %Y", "%d %b %Y", "%B %d, %Y", "%b %d, %Y", "%d. %B %Y", "%B %d %Y")
_LARGEST_SECONDS = 1e11  # the year 5138; above, it is a finer unit


def moment(raw: object, pattern: str | None = None) -> str | None:
    """Return a date as a history has it.

    Args:
        raw: ISO 8601 and its relatives, seconds (or milli-, micro-, nanoseconds) since
            1970, the dates of e-mails, 31.1.2026, 31/1/2026 or 1/31/2026 where only
            one of the two can be meant, 31 January 2026, January 31, 2026.
        pattern: How it is written, as of `strptime`, if none of these.

    Returns:
        2026-01-31 or 2026-01-31T18:30:00+00:00; without a zone where the source has
        none. None if there is no date.

    Raises:
        ValueError: There is one, and it cannot be read, or in two ways.
    """
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        return None
    if isinstance(raw, date):
        return _written(raw)
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        return _written(_since_1970(raw))
    if not isinstance(raw, str) or len(raw) > 64:
        raise ValueError("no date")
    text = raw.strip()
    if pattern:
        read = datetime.strptime(text, pattern)  # noqa: DTZ007 - the source has no zone
        has_hours = any(code in pattern for code in ("%H", "%I", "%c", "%X", "%s"))
        return _written(read if has_hours else read.date())
    return _written(_read(text))


def _read(text: str) -> date:
    if found := _ISO.fullmatch(text):
        year, month, day, hours, zone = found.groups()
        return _at(int(year), int(month), int(day), hours, zone)
    if found := _NUMBERS.fullmatch(text):
        one, sign, two, year, hours = found.groups()
        day, month = _day_first(int(one), int(two), sure=sign == ".")
        return _at(int(year), month, day, hours, None)
    if _NUMERIC.fullmatch(text):
        return _since_1970(float(text))
    for words in _WORDS:
        try:
            return datetime.strptime(text, words).date()  # noqa: DTZ007 - a day alone
        except ValueError:
            continue
    return parsedate_to_datetime(text)


def _day_first(one: int, two: int, *, sure: bool) -> tuple[int, int]:
    """Return day and month of two numbers; dots always have the day first."""
    if sure or one == two or one > 12:
        return one, two
    if two > 12:
        return two, one
    raise ValueError("a date that can be read in two ways")


def _at(year: int, month: int, day: int, hours: str | None, zone: str | None) -> date:
    if hours is None:
        return date(year, month, day)
    clock = [int(part) for part in hours.split(":")]
    read = datetime(year, month, day, *clock)  # type: ignore[arg-type]  # noqa: DTZ001
    if zone is None:
        return read
    sign = zone if zone not in ("Z", "UTC") else "+0000"
    offset = datetime.strptime(sign.replace(":", ""), "%z").tzinfo
    return read.replace(tzinfo=offset)


def _since_1970(number: float) -> datetime:
    if not math.isfinite(number) or number < 0:
        raise ValueError("no moment since 1970")
    for _ in range(3):
        number = number / 1000 if number > _LARGEST_SECONDS else number
    return datetime.fromtimestamp(number, UTC)


def _written(read: date) -> str:
    try:
        if not isinstance(read, datetime):
            return read.isoformat()
        if read.tzinfo is not None:
            read = read.astimezone(UTC)
        return read.isoformat(timespec="seconds")
    except OverflowError:
        raise ValueError("no date on the calendar") from None
