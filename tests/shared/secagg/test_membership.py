"""A membership log only grows, says who belongs, and cannot be told in two ways."""

import json
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_round import signer_of

from proper_shared.errors import FormatError, ProtocolError
from proper_shared.secagg.membership import Log, Standing, countersign

COORDINATOR, OFFICE, STRANGER = (signer_of(name) for name in ("c", "office", "x"))
ANNA, BERT, CARL = (signer_of(name).identity for name in ("anna", "bert", "carl"))
DAY = date(2026, 3, 1)


def days(count):
    return DAY + timedelta(count)


def small_log():
    log = Log.found(COORDINATOR, OFFICE.identity, DAY)
    log = log.add(COORDINATOR, ANNA, days(1))
    vouched = countersign(OFFICE, log.federation, BERT)
    return log.add(COORDINATOR, BERT, days(2), vouched)


def test_a_log_says_who_belongs_since_when_and_who_says_so():
    log = small_log()
    assert log.members == {
        ANNA: Standing(days(1), countersigned=False),
        BERT: Standing(days(2), countersigned=True),
    }
    assert log.remove(COORDINATOR, ANNA, days(3)).members.keys() == {BERT}
    assert log.coordinator == COORDINATOR.identity
    assert log.enrolment == OFFICE.identity


def test_a_log_survives_bytes_and_keeps_the_name_of_its_federation():
    log = small_log()
    read = Log.parse(log.dump())
    assert read.entries == log.entries
    assert (read.head, read.members) == (log.head, log.members)
    later = log.remove(COORDINATOR, BERT, days(9))
    assert later.federation == log.federation == Log(log.entries[:1]).head
    assert later.head != log.head


def test_who_was_removed_comes_back_as_new():
    log = small_log().remove(COORDINATOR, ANNA, days(3)).add(COORDINATOR, ANNA, days(7))
    assert log.members[ANNA].since == days(7)


def test_a_pinned_head_accepts_extensions_alone():
    log = small_log()
    longer = log.add(COORDINATOR, CARL, days(5))
    other = log.add(COORDINATOR, STRANGER.identity, days(5))
    assert Log.parse(longer.dump(), pinned=log.head).head == longer.head
    for cut in (log, other, Log(log.entries[:2])):
        with pytest.raises(ProtocolError, match="was pinned") as caught:
            Log.parse(cut.dump(), pinned=longer.head)
        assert "different logs" in caught.value.hint


def test_who_was_there_at_an_older_head_can_be_asked():
    log = small_log()
    longer = log.add(COORDINATOR, CARL, days(2))  # backdated, for all one knows
    assert longer.at(log.head).members == log.members
    with pytest.raises(ProtocolError, match="no entry"):
        log.at(longer.head)


lines = small_log().dump().split(b"\n")[:-1]


@settings(deadline=None)
@given(st.integers(0, len(small_log().dump()) - 2), st.integers(0, 7))
def test_every_flipped_bit_is_refused(place, bit):
    data = bytearray(small_log().dump())
    data[place] ^= 1 << bit
    with pytest.raises((FormatError, ProtocolError)):
        Log.parse(bytes(data))


@pytest.mark.parametrize(
    "order",
    [[], [1, 2], [0, 2], [0, 2, 1], [0, 1, 1, 2], [0, 0, 1, 2], [1, 0, 2]],
    ids=str,
)
def test_entries_left_out_repeated_or_reordered_are_refused(order):
    with pytest.raises((FormatError, ProtocolError)):
        Log.parse(b"".join(lines[i] + b"\n" for i in order))


def test_an_entry_has_one_form():
    plain = json.loads(lines[0])
    spaced = json.dumps(plain, sort_keys=True).encode()
    unsorted = json.dumps(dict(reversed(plain.items())), separators=(",", ":")).encode()
    unknown = json.dumps({**plain, "more": 1}, separators=(",", ":")).encode()
    for form in (spaced, unsorted, unknown, lines[0] + b" ", b"{}", b"[]", b"\xff"):
        with pytest.raises(FormatError):
            Log.parse(form + b"\n")
    with pytest.raises(FormatError, match="cut off"):
        Log.parse(lines[0])


def test_only_the_coordinator_writes():
    log = small_log()
    with pytest.raises(ProtocolError, match="did not sign"):
        log.add(STRANGER, CARL, days(5))
    with pytest.raises(ProtocolError, match="did not sign"):
        log.remove(OFFICE, ANNA, days(5))


def test_only_the_office_countersigns_and_for_one_federation_and_identity():
    log = small_log()
    elsewhere = Log.found(COORDINATOR, OFFICE.identity, days(1))
    for wrong in (
        countersign(COORDINATOR, log.federation, CARL),
        countersign(OFFICE, elsewhere.federation, CARL),
        countersign(OFFICE, log.federation, ANNA),
    ):
        with pytest.raises(ProtocolError, match="another office"):
            log.add(COORDINATOR, CARL, days(5), wrong)
    alone = Log.found(COORDINATOR, None, DAY)
    with pytest.raises(ProtocolError, match="another office"):
        alone.add(COORDINATOR, CARL, DAY, countersign(OFFICE, alone.federation, CARL))


def test_what_makes_no_sense_is_refused():
    log = small_log()
    with pytest.raises(ProtocolError, match="added twice"):
        log.add(COORDINATOR, ANNA, days(5))
    with pytest.raises(ProtocolError, match="is no member"):
        log.remove(COORDINATOR, CARL, days(5))
    with pytest.raises(ProtocolError, match="older than the one before"):
        log.add(COORDINATOR, CARL, days(1))
    with pytest.raises(ProtocolError, match="enrolment key that is the coordinator's"):
        Log.found(COORDINATOR, COORDINATOR.identity, DAY)
    assert log.members.keys() == {ANNA, BERT}
