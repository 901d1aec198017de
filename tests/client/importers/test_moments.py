from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proper_client.importers.moments import moment
from proper_shared.dates import parse_date

KNOWN = {
    "2026-01-31": "2026-01-31",
    "2026/1/31": "2026-01-31",
    "2026-01-31 18:30": "2026-01-31T18:30:00",
    "2026-01-31T18:30:05.123Z": "2026-01-31T18:30:05+00:00",
    "2026-01-31T18:30:05+0200": "2026-01-31T16:30:05+00:00",
    "31.1.2026": "2026-01-31",
    "31.01.2026 08:05": "2026-01-31T08:05:00",
    "31/1/2026": "2026-01-31",
    "1/31/2026": "2026-01-31",
    "3/3/2026": "2026-03-03",
    "31 January 2026": "2026-01-31",
    "Jan 31, 2026": "2026-01-31",
    "Sat, 31 Jan 2026 18:30:00 +0200": "2026-01-31T16:30:00+00:00",
    1769884200: "2026-01-31T18:30:00+00:00",
    1769884200.75: "2026-01-31T18:30:00+00:00",
    1769884200000: "2026-01-31T18:30:00+00:00",
    "1769884200000000": "2026-01-31T18:30:00+00:00",
    1769884200000000000: "2026-01-31T18:30:00+00:00",
    None: None,
    " ": None,
}


@pytest.mark.parametrize(("raw", "expected"), KNOWN.items())
def test_a_date_of_many_kinds_is_one_date(raw, expected):
    assert moment(raw) == expected


def test_dates_of_the_calendar_are_taken_as_they_are():
    assert moment(date(2026, 1, 31)) == "2026-01-31"
    assert moment(datetime(2026, 1, 31, 1, tzinfo=UTC)) == "2026-01-31T01:00:00+00:00"


def test_a_pattern_says_which_of_two_readings_is_meant():
    assert moment("1/2/2026", "%m/%d/%Y") == "2026-01-02"
    assert moment("1/2/2026 07", "%d/%m/%Y %H") == "2026-02-01T07:00:00"


@pytest.mark.parametrize(
    "raw",
    [
        *("1/2/2026", "2026-02-30", "2026", "soon", "x" * 99, "9" * 19 + ".5.5"),
        *("0001-01-01T00:00+05:00", "2026-01-31T25:00"),
        *(True, [], -1, 1e400, 10**400, float("nan")),
    ],
)
def test_what_is_no_date_or_two_is_refused(raw):
    with pytest.raises((ValueError, OverflowError)):
        moment(raw)


@settings(deadline=None)
@given(st.text() | st.integers() | st.floats() | st.dates().map(str))
def test_whatever_is_read_is_a_date_of_a_history(raw):
    try:
        read = moment(raw)
    except (ValueError, OverflowError, OSError):
        return
    assert read is None or parse_date(read)
