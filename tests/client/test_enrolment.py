"""A device joins a federation: its keys stay, an answer goes back."""

import stat
from datetime import UTC, datetime

import pytest
from invited import COORDINATOR, DAY, FOUNDED, INVITATION, OFFICE, written

from proper_client.enrolment import RECORD, describe, enroll, membership_in
from proper_client.guard_members import see_log
from proper_client.vault import Vault
from proper_shared.errors import ConfigError, DataError, FormatError
from proper_shared.invitations import read_enrolment, short
from proper_shared.secagg.checks import Refusal
from proper_shared.secagg.keys import HeldSigner
from proper_shared.secagg.membership import Log

OTHER = HeldSigner(bytes([3]) * 32)
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
SECRET = INVITATION.secret


@pytest.fixture
def files(tmp_path):
    return written(tmp_path), tmp_path / "enrolment.json", Vault(tmp_path / "home")


def test_keys_are_kept_and_the_answer_proves_them(files):
    invitation, answer, vault = files
    made = enroll(invitation, answer, vault)
    kept = membership_in(vault)
    assert kept.invitation == made.invitation
    assert kept.fingerprints == made.fingerprints
    enrolment = read_enrolment(answer.read_bytes(), "x")
    enrolment.check(SECRET)
    own = kept.identity.public_key().public_bytes_raw().hex()
    assert enrolment.claims.identity == own


def test_files_are_private_and_hold_the_invitations_secret_nowhere(files):
    invitation, answer, vault = files
    enroll(invitation, answer, vault)
    for path in (answer, *(p for p in vault.home.rglob("*") if p.is_file())):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert SECRET not in path.read_text()


def test_two_devices_have_nothing_in_common(files, tmp_path):
    invitation, answer, vault = files
    one = enroll(invitation, answer, vault)
    other = enroll(invitation, tmp_path / "b.json", Vault(tmp_path / "other"))
    assert one.fingerprints["this device"] != other.fingerprints["this device"]
    assert one.fingerprints["its node key"] != other.fingerprints["its node key"]
    assert one.fingerprints["coordinator"] == other.fingerprints["coordinator"]


def test_who_is_in_a_federation_is_not_put_into_another(files):
    invitation, answer, vault = files
    made = enroll(invitation, answer, vault)
    before = answer.read_bytes()
    with pytest.raises(ConfigError, match="already"):
        enroll(invitation, answer, vault)
    assert answer.read_bytes() == before
    assert membership_in(vault).fingerprints == made.fingerprints


@pytest.mark.parametrize("text", ["", "{}", "[1]"])
def test_a_damaged_invitation_makes_nothing(files, text):
    invitation, answer, vault = files
    invitation.write_text(text)
    with pytest.raises(FormatError):
        enroll(invitation, answer, vault)
    assert not answer.exists()
    assert not vault.home.exists()


def test_without_an_invitation_there_is_a_hint(files):
    invitation, answer, vault = files
    invitation.unlink()
    with pytest.raises(DataError, match="there is no file"):
        enroll(invitation, answer, vault)
    with pytest.raises(DataError, match="in no federation") as raised:
        membership_in(vault)
    assert "enroll" in raised.value.hint


def test_a_damaged_membership_is_named(files):
    invitation, answer, vault = files
    enroll(invitation, answer, vault)
    found = vault.read_record(RECORD)
    for key in ("node_key", "identity_key"):
        vault.write_record(RECORD, {**found, key: "xx"})
        with pytest.raises(FormatError, match="damaged"):
            membership_in(vault)


def test_a_person_sees_the_office_and_their_whole_identity(files):
    invitation, answer, vault = files
    made = enroll(invitation, answer, vault)
    shown = "\n".join(describe(made, answer))
    assert f"office        {short(OFFICE.identity.hex())}" in shown
    assert made.name in shown
    assert made.name == made.signer.identity.hex()


def test_no_office_is_said_to_be_none(files):
    invitation, answer, vault = files
    entry = Log.found(COORDINATOR, None, DAY).entries[0].dump().decode()
    without = INVITATION.model_copy(update={"founding": entry})
    invitation.write_text(without.model_dump_json())
    assert enroll(invitation, answer, vault).fingerprints["office"] == "none"


@pytest.mark.parametrize("office", [None, OTHER.identity])
def test_a_log_with_another_office_than_the_invitations_is_refused(files, office):
    invitation, answer, vault = files
    federation = bytes.fromhex(enroll(invitation, answer, vault).invitation.federation)
    with pytest.raises(Refusal, match="was pinned") as raised:
        see_log(vault, federation, Log.found(COORDINATOR, office, DAY).dump(), NOW)
    assert raised.value.name == "forked-log"
    seen = see_log(vault, federation, FOUNDED.dump(), NOW)
    assert seen.enrolment == OFFICE.identity


WRONG = {
    "address": [
        "http://127.0.0.1:9443",
        "127.0.0.999:9443",
        "host:0",
        "host:65536",
        "-host:1",
        "ho/st:1",
        "[::g]:1",
        "::1:9443",
        "a..b:1",
    ],
    "ca_certificate": ["nope", "", "-----BEGIN CERTIFICATE-----\n"],
    "task": ["cooking", "tag\x1bging"],
    "backbone": ["../../../etc", "models/../../x", "na\x1b[2Jno", "..\\x", " "],
    "name": ["ann\x1b[2J", "../../ann", "a\nb"],
}


@pytest.mark.parametrize(
    ("field", "text"), [(f, text) for f, texts in WRONG.items() for text in texts]
)
def test_an_invitation_that_can_never_work_makes_nothing(files, field, text):
    invitation, answer, vault = files
    odd = INVITATION.model_copy(update={field: text})
    invitation.write_text(odd.model_dump_json())
    with pytest.raises(FormatError) as raised:
        enroll(invitation, answer, vault)
    assert field.removeprefix("ca_") in str(raised.value)
    assert str(raised.value).isprintable()
    assert raised.value.hint
    assert not answer.exists()
    assert not vault.home.exists()


@pytest.mark.parametrize(
    "address", ["localhost:1", "192.168.0.7:9443", "[::1]:65535", "a_b.example.org:443"]
)
def test_each_way_to_write_an_address_is_taken(files, address):
    invitation, answer, vault = files
    plain = INVITATION.model_copy(update={"address": address})
    invitation.write_text(plain.model_dump_json())
    assert enroll(invitation, answer, vault).invitation.address == address


def test_an_answer_of_another_home_is_not_written_over(files, tmp_path):
    invitation, answer, vault = files
    enroll(invitation, answer, vault)
    before, other = answer.read_bytes(), Vault(tmp_path / "other")
    with pytest.raises(ConfigError, match="not of this home") as raised:
        enroll(invitation, answer, other)
    assert "--out" in raised.value.hint
    assert answer.read_bytes() == before
    assert not other.home.exists()


def test_who_breaks_off_can_enrol_with_the_same_command(files, monkeypatch):
    invitation, answer, vault = files
    with monkeypatch.context() as broken:
        broken.setattr(vault, "write_record", raises(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            enroll(invitation, answer, vault)
    assert not answer.exists()
    enroll(invitation, answer, vault)


def raises(error):
    def call(*_):
        raise error

    return call


def test_the_command_that_comes_next_works_as_it_stands(files, tmp_path):
    invitation, answer, vault = files
    made = enroll(invitation, answer, vault)
    home = tmp_path / "my home"
    next_, elsewhere = describe(made, answer)[-1], describe(made, answer, home)[-1]
    assert next_ == "Then: proper-client participate --history my.json"
    assert elsewhere == f"{next_} --home '{home}'"
