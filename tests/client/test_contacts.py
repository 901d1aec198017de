"""Whom a person verified, the device counts from the first day on; and nobody else."""

from datetime import UTC, datetime

import pytest
from invited import COORDINATOR, DAY, FOUNDED, OFFICE, written

from proper_client import contacts as module
from proper_client.contacts import (
    NAME,
    add_contact,
    contacts_in,
    describe,
    own,
    remove_contact,
    verified,
)
from proper_client.enrolment import enroll, membership_in
from proper_client.guard_rounds import DeviceGate
from proper_client.ledger import Door, Ledger
from proper_client.policy import Policy
from proper_client.vault import Vault
from proper_shared.errors import ConfigError, DataError, FormatError
from proper_shared.invitations import short
from proper_shared.secagg.keys import HeldSigner

ANN, BERT, CLEO = (HeldSigner(bytes([n]) * 32).identity for n in (10, 11, 12))
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
FEDERATION = FOUNDED.federation
PRINT = short(BERT.hex())


@pytest.fixture
def vault(tmp_path):
    vault = Vault(tmp_path / "home")
    enroll(written(tmp_path), tmp_path / "answer", vault)
    return vault


def known(vault, *members):
    return verified(vault, FEDERATION, members)


def record(vault):
    return vault.read_record(NAME)


def test_contacts_are_verified_by_identity_or_fingerprint_and_no_one_else(vault):
    assert known(vault, ANN, BERT) == frozenset()
    add_contact(vault, ANN.hex(), "Ann", DAY)
    add_contact(vault, f" {PRINT.upper()} ", "Bert", DAY)
    assert known(vault, ANN, BERT, CLEO) == {ANN, BERT}
    assert known(vault, CLEO) == frozenset()
    assert [one.name for one in contacts_in(vault)] == ["Ann", "Bert"]


@pytest.mark.parametrize("which", ["Bert", PRINT, BERT.hex(), PRINT.upper()])
@pytest.mark.parametrize("key", [PRINT, BERT.hex()])
def test_a_removed_contact_is_verified_no_more(vault, which, key):
    add_contact(vault, ANN.hex(), "Ann", DAY)
    add_contact(vault, key, "Bert", DAY)
    assert remove_contact(vault, which).name == "Bert"
    assert known(vault, ANN, BERT) == {ANN}
    before = record(vault)
    with pytest.raises(ConfigError, match="there is no contact"):
        remove_contact(vault, which)
    assert record(vault) == before


def test_a_name_that_looks_like_a_fingerprint_means_the_name(vault):
    add_contact(vault, BERT.hex(), "Bert", DAY)
    add_contact(vault, ANN.hex(), PRINT, DAY)
    assert remove_contact(vault, PRINT).key == ANN.hex()


def test_of_two_members_with_one_fingerprint_only_an_identity_tells(vault, monkeypatch):
    monkeypatch.setattr(
        module, "short", lambda key: f"{key[:1]}000-0000-0000-0000-0000"
    )
    twin = bytes([BERT[0], *ANN[1:]])
    add_contact(vault, module.short(BERT.hex()), "Bert", DAY)
    assert known(vault, BERT) == {BERT}
    assert known(vault, BERT, twin) == frozenset()
    remove_contact(vault, "Bert")
    add_contact(vault, BERT.hex(), "Bert", DAY)
    assert known(vault, BERT, twin) == {BERT}


@pytest.mark.parametrize(
    ("key", "name", "match"),
    [
        ("", "x", "64 hex digits"),
        (PRINT[:-1], "x", "64 hex digits"),
        (CLEO.hex() + "00", "x", "64 hex digits"),
        (CLEO.hex(), " ", "0 characters"),
        (CLEO.hex(), "x" * 101, "101 characters"),
        (BERT.hex(), "x", "contact already"),
        (PRINT, "x", "contact already"),
        (CLEO.hex(), "Bert", "contact already"),
        (COORDINATOR.identity.hex(), "x", "key of the coordinator"),
        (short(OFFICE.identity.hex()), "x", "key of the office"),
    ],
)
def test_what_is_no_new_contact_is_refused_and_changes_nothing(vault, key, name, match):
    add_contact(vault, BERT.hex(), "Bert", DAY)
    before = record(vault)
    with pytest.raises(ConfigError, match=match):
        add_contact(vault, key, name, DAY)
    assert record(vault) == before


def test_ones_own_device_is_no_contact(vault):
    membership = membership_in(vault)
    assert own(vault)[0].endswith(membership.name)
    for value in membership.fingerprints.values():
        with pytest.raises(ConfigError, match="expected another member"):
            add_contact(vault, value, "me", DAY)
    assert record(vault) is None


def test_without_a_federation_there_are_no_contacts(tmp_path):
    vault = Vault(tmp_path / "nobody")
    for ask in (own, contacts_in):
        with pytest.raises(DataError, match="in no federation"):
            ask(vault)
    assert not vault.home.exists()


def test_contacts_of_another_federation_are_refused(vault):
    add_contact(vault, BERT.hex(), "Bert", DAY)
    with pytest.raises(FormatError, match="of the federation"):
        verified(vault, bytes(32), [BERT])


@pytest.mark.parametrize("change", [{"format": 2}, {"contacts": [{}]}, {"more": 1}])
def test_damaged_contacts_are_named_and_count_for_nothing(vault, change):
    add_contact(vault, BERT.hex(), "Bert", DAY)
    vault.write_record(NAME, {**record(vault), **change})
    with pytest.raises(FormatError, match="damaged"):
        known(vault, BERT)


def test_a_list_shows_one_line_for_each_whatever_the_name(vault):
    assert "no contacts" in describe(contacts_in(vault))[0]
    add_contact(vault, BERT.hex(), "Bert\nby the office", DAY)
    (line,) = describe(contacts_in(vault))
    assert line == f"{PRINT}  2026-11-01  Bert\\nby the office"


def test_a_device_counts_its_contacts_in_the_log_at_once(vault):
    log = FOUNDED
    for who in (ANN, BERT, CLEO):
        log = log.add(COORDINATOR, who, DAY)
    me = membership_in(vault).signer.identity
    with Ledger(vault) as ledger:
        door = Door(ledger, "here")
        gate = DeviceGate(vault, door, Policy(), me, FEDERATION, 9, lambda: NOW)
        for contact in (BERT.hex(), short(CLEO.hex())):
            add_contact(vault, contact, contact[:4], DAY)
        gate.see(log.dump())
        assert trusted(gate) == {BERT, CLEO}
        remove_contact(vault, CLEO.hex())
        gate.see(log.dump())
        assert trusted(gate) == {BERT}


def trusted(gate):
    members = gate._watch.guard.members
    return {who for who, one in members.items() if one.trusted}
