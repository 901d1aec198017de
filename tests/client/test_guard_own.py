"""A device's record is its own, and where it is gone nothing starts afresh."""

import pytest
from invited import FOUNDED as LOG
from offered import ME, MEMBERS, NOW, a_guard, a_proposal, a_situation

from proper_client.guard import Guard
from proper_client.guard_members import see_log
from proper_client.guard_own import own_record
from proper_client.guard_record import Record, load_record, save_record
from proper_client.guard_watch import Watch
from proper_client.ledger_entry import Purpose
from proper_shared.errors import FormatError

OTHER = MEMBERS[7]


def lose(vault):
    (vault.home / "federation" / "record.json").unlink()


def refused_everywhere(vault, door, words):
    for look in (
        lambda: Watch(a_guard(), vault, door),
        lambda: own_record(vault, ME),
    ):
        with pytest.raises(FormatError, match=words) as caught:
            look()
        assert "enrol anew" in caught.value.hint
    assert load_record(vault) is None


def test_a_record_names_its_device_before_anything_is_agreed_to(vault, door):
    Watch(a_guard(), vault, door)
    assert load_record(vault) == Record(identity=ME.hex())


@pytest.mark.parametrize(
    "purpose", ["join", "share", "masked update", "update", "agree", "open"]
)
def test_a_record_that_is_gone_after_a_round_is_no_fresh_start(vault, door, purpose):
    Watch(a_guard(), vault, door).agree(a_proposal(), a_situation())
    door.send(b"a vector", Purpose(purpose), lambda _: None)
    lose(vault)
    refused_everywhere(vault, door, r"record.json is gone, though the ledger tells")


def test_a_record_that_is_gone_beside_pins_is_no_fresh_start(vault, door):
    Watch(a_guard(), vault, door)
    see_log(vault, LOG.federation, LOG.dump(), NOW)
    lose(vault)
    refused_everywhere(vault, door, r"record.json is gone, though pins.json is here")


def test_a_record_that_is_gone_beside_a_broken_ledger_is_no_fresh_start(vault, door):
    Watch(a_guard(), vault, door)
    with (vault.home / "federation" / "ledger.jsonl").open("ab") as file:
        file.write(b"nothing\n")
    lose(vault)
    refused_everywhere(vault, door, "damaged lines")


def test_a_home_of_before_that_refused_every_round_goes_on(vault, door):
    door.send(b"hello", Purpose.HELLO, lambda _: None)
    door.send(b"a name", Purpose.QUERY, lambda _: None)
    see_log(vault, LOG.federation, LOG.dump(), NOW)
    assert Watch(a_guard(), vault, door).record == Record(identity=ME.hex())


def test_who_pulled_a_release_before_enrolling_starts_as_anybody(vault, door):
    door.send(b"GET release", Purpose.PULL, lambda _: None)
    assert Watch(a_guard(), vault, door).record == Record(identity=ME.hex())


def test_a_record_of_before_is_taken_once_and_names_its_device(vault, door):
    save_record(vault, Record(bare=3))
    watch = Watch(a_guard(), vault, door)
    assert load_record(vault) == watch.record == Record(identity=ME.hex(), bare=3)
    refused_for_another(vault, door)


def refused_for_another(vault, door):
    known = a_guard()
    guard = Guard(known.policy, OTHER, known.federation, known.members)
    before = load_record(vault)
    with pytest.raises(FormatError, match="is of the device 05050505") as caught:
        Watch(guard, vault, door)
    assert "own file" in caught.value.hint
    assert load_record(vault) == before
