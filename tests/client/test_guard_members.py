"""Whom a device has seen, since when, by its own clock and not the coordinator's."""

from datetime import UTC, date, datetime, timedelta

import pytest
from offered import LAYOUT as VECTOR
from offered import a_situation, an_offer, an_order

from proper_client.guard import Acquaintance, Guard
from proper_client.guard_members import acquaintances, load_pins, see_log
from proper_client.guard_record import Record
from proper_client.policy import Policy
from proper_client.vault import Vault
from proper_shared.errors import FormatError, ProtocolError
from proper_shared.secagg.checks import Refusal
from proper_shared.secagg.keys import HeldSigner
from proper_shared.secagg.membership import Log, countersign
from proper_shared.terms import Terms

COORDINATOR, OFFICE = HeldSigner(bytes([1]) * 32), HeldSigner(bytes([2]) * 32)
PEOPLE = [HeldSigner(bytes([n]) * 32).identity for n in range(10, 25)]
OLD_DAY = date(2020, 1, 1)  # what a coordinator may write
START = datetime(2026, 11, 1, 12, tzinfo=UTC)
FOUNDED = Log.found(COORDINATOR, OFFICE.identity, OLD_DAY)
FEDERATION = FOUNDED.federation


def with_members(log, *people):
    for who in people:
        log = log.add(COORDINATOR, who, OLD_DAY)
    return log


def days(number):
    return START + timedelta(days=number)


@pytest.fixture
def vault(tmp_path):
    return Vault(tmp_path / "home")


def see(vault, log, at):
    return see_log(vault, FEDERATION, log.dump(), at)


def known(vault, log, contacts=()):
    return acquaintances(log, load_pins(vault, FEDERATION), contacts)


def test_a_member_was_seen_from_the_first_log_that_had_it(vault):
    first = with_members(FOUNDED, *PEOPLE[:3])
    second = with_members(first, *PEOPLE[3:5])
    see(vault, first, days(0))
    see(vault, first, days(5))
    see(vault, second, days(9))
    see(vault, second, days(20))
    since = {who: one.since for who, one in known(vault, second).items()}
    assert since == {
        **dict.fromkeys(PEOPLE[:3], days(0)),
        **dict.fromkeys(PEOPLE[3:5], days(9)),
    }
    assert len(load_pins(vault, FEDERATION).pins) == 2


def test_who_left_and_came_again_counts_anew(vault):
    log = with_members(FOUNDED, *PEOPLE[:2])
    see(vault, log, days(0))
    log = with_members(log.remove(COORDINATOR, PEOPLE[0], OLD_DAY), PEOPLE[0])
    see(vault, log, days(40))
    since = {who: one.since for who, one in known(vault, log).items()}
    assert since == {PEOPLE[0]: days(40), PEOPLE[1]: days(0)}


def test_contacts_and_the_countersigned_are_trusted(vault):
    stamp = countersign(OFFICE, FEDERATION, PEOPLE[1])
    log = with_members(FOUNDED, PEOPLE[0]).add(COORDINATOR, PEOPLE[1], OLD_DAY, stamp)
    log = with_members(log, PEOPLE[2])
    see(vault, log, days(0))
    trusted = {w: one.trusted for w, one in known(vault, log, {PEOPLE[2]}).items()}
    assert trusted == {PEOPLE[0]: False, PEOPLE[1]: True, PEOPLE[2]: True}


def test_a_log_that_does_not_extend_the_one_seen_is_refused(vault):
    seen = with_members(FOUNDED, *PEOPLE[:3])
    see(vault, seen, days(0))
    fork = with_members(FOUNDED, *PEOPLE[:2], PEOPLE[9])
    elsewhere = with_members(Log.found(COORDINATOR, None, OLD_DAY), *PEOPLE[:3])
    before = load_pins(vault, FEDERATION)
    for other in (fork, with_members(FOUNDED, *PEOPLE[:2]), FOUNDED, elsewhere):
        with pytest.raises(Refusal) as caught:
            see(vault, other, days(1))
        assert caught.value.name == "forked-log"
    for data in (b"", b"{}\n", seen.dump()[:-1], seen.dump() + b"x\n"):
        with pytest.raises(Refusal) as caught:
            see_log(vault, FEDERATION, data, days(1))
        assert caught.value.name == "malformed"
    assert load_pins(vault, FEDERATION) == before


def test_the_first_log_has_to_found_the_federation_that_was_joined(vault):
    other = with_members(Log.found(COORDINATOR, None, OLD_DAY), *PEOPLE[:3])
    with pytest.raises(Refusal) as caught:
        see(vault, other, days(0))
    assert caught.value.name == "forked-log"
    assert load_pins(vault, FEDERATION).pins == ()


def test_an_invention_of_today_is_not_vouched_for_whatever_the_log_says(vault):
    old = with_members(FOUNDED, *PEOPLE[:3])
    see(vault, old, days(0))
    log = with_members(old, *PEOPLE[3:12])
    see(vault, log, days(60))
    me = PEOPLE[0]
    guard = Guard(Policy(), me, FEDERATION, known(vault, log))
    cohort = tuple(sorted(who.hex() for who in PEOPLE[:12]))
    offer = an_offer(cohort=cohort, federation=FEDERATION.hex())
    proposal = Terms(offer, an_order(), VECTOR)
    with pytest.raises(Refusal, match="vouch for 2 others"):
        guard.check(proposal, Record(), a_situation(now=days(61)))
    guard.check(proposal, Record(), a_situation(now=days(91)))


def test_a_head_that_was_not_pinned_says_nothing_of_anybody(vault):
    log = with_members(FOUNDED, *PEOPLE[:2])
    with pytest.raises(ProtocolError, match="not pinned"):
        known(vault, log)
    see(vault, log, days(0))
    with pytest.raises(ProtocolError, match="not pinned"):
        known(vault, with_members(log, PEOPLE[5]))


def test_damaged_pins_are_never_a_fresh_start(vault):
    see(vault, with_members(FOUNDED, PEOPLE[0]), days(0))
    path = vault.home / "federation" / "pins.json"
    whole = path.read_text()
    odd = (whole[:-3], "{}", whole.replace("T12", " 12").replace("Z", ""), "[]")
    for text in odd:
        path.write_text(text)
        with pytest.raises(FormatError) as caught:
            load_pins(vault, FEDERATION)
        assert caught.value.hint
    path.write_text(whole)
    with pytest.raises(FormatError, match="expected ffff"):
        load_pins(vault, bytes([255]) * 32)
    assert known(vault, with_members(FOUNDED, PEOPLE[0])) == {
        PEOPLE[0]: Acquaintance(trusted=False, since=days(0))
    }
