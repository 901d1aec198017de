"""Messages have one form each, and everything else is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proper_shared.errors import FormatError
from proper_shared.secagg import messages
from proper_shared.secagg.messages import Advert, Phase, Roster

places = st.sets(st.integers(0, 999)).map(sorted)
adverts = st.binary(min_size=160, max_size=160).map(Advert.parse)


@settings(deadline=None)
@given(st.sampled_from(Phase), st.binary(min_size=32, max_size=32), st.binary())
def test_headers_come_back(phase, context, body):
    assert messages.read(messages.write(phase, context, body)) == (phase, context, body)


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, 99), adverts, max_size=5))
def test_rosters_come_back_in_ascending_places(entries):
    roster = Roster(dict(sorted(entries.items())))
    assert Roster.parse(roster.dump(), 100) == roster
    assert list(Roster.parse(roster.dump(), 100)) == sorted(entries)


@settings(deadline=None)
@given(places, st.integers(0, 999))
def test_deals_come_back(sharers, own):
    others = [place for place in sharers if place != own]
    sealed = {place: bytes([place % 256]) * 80 for place in others}
    data = messages.write_deal(sharers, sealed.values())
    assert messages.read_deal(data, own, 1000) == (tuple(sharers), sealed)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_no_bytes_but_the_one_form_are_read(data):
    readers = [
        (lambda: Roster.parse(data, 10), lambda roster: roster.dump()),
        (lambda: messages.read_deal(data, 0, 10), lambda deal: again(*deal)),
        (lambda: messages.read_table(data, 4, 10), messages.write_table),
        (lambda: messages.read(data), lambda parts: messages.write(*parts)),
    ]
    for reader, writer in readers:
        try:
            found = reader()
        except FormatError:
            continue
        assert writer(found) == data


def again(sharers, sealed):
    return messages.write_deal(sharers, sealed.values())


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"\x00\x02\x00\x01", "do not ascend"),
        (b"\x00\x01\x00\x01", "do not ascend"),
        (b"\x00\x0a", "place 10 in a cohort of 10"),
        (b"\x00", "expected 2 for each"),
        (b"\x00\x00" * 1001, "1000 at most"),
    ],
)
def test_places_ascend_within_the_cohort(data, match):
    with pytest.raises(FormatError, match=match):
        messages.read_places(data, 10)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "0 bytes, expected 33"),
        (b"\x00" * 33, "unknown phase 0"),
        (b"\x06" * 33, "unknown phase 6"),
    ],
)
def test_headers_are_whole_and_known(data, match):
    with pytest.raises(FormatError, match=match):
        messages.read(data)


def test_a_deal_holds_as_many_rows_as_it_says():
    data = messages.write_deal([0, 1, 2], [b"s" * 80] * 2)
    for wrong in (
        data[:-1],
        data + b"x",
        data[:-80],
        b"\x00\x04" + data[2:],
        b"",
        b"\x00",
    ):
        with pytest.raises(FormatError):
            messages.read_deal(wrong, 0, 10)
