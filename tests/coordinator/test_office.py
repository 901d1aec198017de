"""An office says once who is a person, and all devices count them from then on."""

import json
import stat
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from proper_client.cli import main as client
from proper_client.contacts import verified
from proper_client.enrolment import enroll, membership_in
from proper_client.guard import Guard
from proper_client.guard_members import acquaintances, load_pins, see_log
from proper_client.policy import Policy
from proper_client.vault import Vault
from proper_coordinator.cli import main as coordinator
from proper_coordinator.deployment import make_deployment
from proper_coordinator.joining import take_in, write_invitation
from proper_coordinator.members import read_members
from proper_coordinator.office import (
    SUFFIX,
    countersign_files,
    load_office,
    make_office,
    parse_office,
)
from proper_coordinator.settings import Settings
from proper_shared.errors import ConfigError, DataError, FormatError, ProtocolError
from proper_shared.invitations import read_enrolment, short
from proper_shared.secagg.keys import HeldSigner

NOW = datetime.now(UTC)


def an_office(tmp_path, name="office.key"):
    make_office(tmp_path / name)
    return load_office(tmp_path / name).identity


@pytest.fixture
def office(tmp_path):
    return an_office(tmp_path)


@pytest.fixture
def made(tmp_path, office):
    return make_deployment(tmp_path / "d", Settings(), (), NOW, office)


def join(made, tmp_path, name):
    invitation, answer = tmp_path / f"{name}.i", tmp_path / f"{name}.json"
    write_invitation(made.folder, name, invitation)
    enroll(invitation, answer, Vault(tmp_path / name))
    return answer


def signed(tmp_path, *answers, key="office.key"):
    countersign_files(tmp_path / key, answers)
    return [a.with_name(a.name.removesuffix(".json") + SUFFIX) for a in answers]


def state(made):
    return made.log.dump(), read_members(made)


def test_the_private_key_is_private_and_never_shown(tmp_path):
    lines = "\n".join(make_office(tmp_path / "k"))
    office = load_office(tmp_path / "k")
    assert stat.S_IMODE((tmp_path / "k").stat().st_mode) == 0o600
    assert office.identity.hex() in lines
    assert short(office.identity.hex()) in lines
    assert parse_office(office.identity.hex().upper()) == office.identity
    assert office._key.private_bytes_raw().hex() not in lines
    assert "PRIVATE" not in lines


def test_a_key_is_not_overwritten(tmp_path, office):
    with pytest.raises(ConfigError, match="nothing is overwritten"):
        make_office(tmp_path / "office.key")
    assert load_office(tmp_path / "office.key").identity == office


@pytest.mark.parametrize("data", [b"", b"x" * 32, "server-key.pem"])
def test_what_is_no_key_of_an_office_is_refused(made, tmp_path, data):
    if isinstance(data, str):
        data = made.path(data).read_bytes()
    (tmp_path / "other").write_bytes(data)
    with pytest.raises(FormatError, match="not the key of an office"):
        load_office(tmp_path / "other")
    with pytest.raises(DataError, match="no file"):
        load_office(tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["", "ab", "zz" * 32, "ab" * 33])
def test_what_is_no_public_key_is_refused(text):
    with pytest.raises(ConfigError, match="64 hex digits"):
        parse_office(text)


def test_no_public_key_is_no_office():
    assert parse_office(None) is None


def test_the_coordinator_cannot_be_its_own_office(tmp_path, monkeypatch):
    key = HeldSigner(bytes([7]) * 32)
    monkeypatch.setattr(
        "proper_coordinator.deployment.Ed25519PrivateKey.generate", lambda: key._key
    )
    with pytest.raises(ProtocolError, match="that is the coordinator's"):
        make_deployment(tmp_path / "d", Settings(), (), NOW, key.identity)
    assert not (tmp_path / "d").exists()


def test_a_young_federation_with_an_office_is_vouched_for_under_the_default_policy(
    made, tmp_path
):
    answers = [join(made, tmp_path, f"p{n}") for n in range(7)]
    for answer, said in zip(answers, signed(tmp_path, *answers), strict=True):
        take_in(made.folder, answer, said)
    take_in(made.folder, join(made, tmp_path, "guest"), unvouched=True)
    vault = Vault(tmp_path / "p0")
    me = membership_in(vault)
    guest = membership_in(Vault(tmp_path / "guest")).signer.identity
    federation = bytes.fromhex(me.invitation.federation)
    log = see_log(vault, federation, made.log.dump(), NOW)
    assert log.enrolment.hex() == me.invitation.office
    friends = verified(vault, federation, log.members)
    members = acquaintances(log, load_pins(vault, federation), friends)
    guard = Guard(Policy(), me.signer.identity, federation, members)
    vouched = {who for who in members if guard._vouches(who, NOW)}
    assert vouched == log.members.keys() - {guest}
    assert len(vouched) > Policy().min_vouched


def test_without_an_office_nobody_new_is_vouched_for(tmp_path):
    made = make_deployment(tmp_path / "d", Settings(), (), NOW)
    take_in(made.folder, join(made, tmp_path, "ann"))
    (standing,) = made.log.members.values()
    assert not standing.countersigned


def test_who_forgot_the_countersignature_is_told_and_nothing_changes(made, tmp_path):
    answer = join(made, tmp_path, "ann")
    before = state(made)
    with pytest.raises(ConfigError, match="got no countersignature") as raised:
        take_in(made.folder, answer)
    assert "--countersignature" in raised.value.hint
    assert state(made) == before
    (said,) = signed(tmp_path, answer)
    with pytest.raises(ConfigError, match="expected none"):
        take_in(made.folder, answer, said, unvouched=True)
    assert state(made) == before
    take_in(made.folder, answer, said)
    (standing,) = made.log.members.values()
    assert standing.countersigned


def test_a_countersignature_of_another_office_or_enrolment_changes_nothing(
    made, tmp_path
):
    ann, bert = (join(made, tmp_path, name) for name in ("ann", "bert"))
    an_office(tmp_path, "foreign.key")
    before = state(made)
    (foreign,) = signed(tmp_path, ann, key="foreign.key")
    with pytest.raises(FormatError, match="not by this federation's office"):
        take_in(made.folder, ann, foreign)
    (genuine,) = signed(tmp_path, ann)
    with pytest.raises(FormatError, match="another enrolment"):
        take_in(made.folder, bert, genuine)
    plain = json.loads(genuine.read_text())
    forged = tmp_path / "forged"
    forged.write_text(json.dumps({**plain, "signature": "0" * 128}))
    with pytest.raises(FormatError, match="not by this federation's office"):
        take_in(made.folder, ann, forged)
    with pytest.raises(FormatError, match="is no countersignature"):
        take_in(made.folder, ann, ann)
    with pytest.raises(DataError, match="no file"):
        take_in(made.folder, ann, tmp_path / "nowhere")
    assert state(made) == before


def test_a_countersignature_for_another_federation_is_refused(made, tmp_path, office):
    other = make_deployment(tmp_path / "e", Settings(), (), NOW, office)
    here, there = join(made, tmp_path, "ann"), join(other, tmp_path, "bert")
    (said,) = signed(tmp_path, there)
    before = state(made)
    with pytest.raises(FormatError, match="another federation"):
        take_in(made.folder, here, said)
    assert state(made) == before
    with pytest.raises(ConfigError, match="several federations"):
        signed(tmp_path, here, there)


def test_a_federation_without_an_office_takes_no_countersignature(tmp_path, office):
    made = make_deployment(tmp_path / "d", Settings(), (), NOW)
    answer = join(made, tmp_path, "ann")
    (said,) = signed(tmp_path, answer)
    assert short(office.hex())
    with pytest.raises(ConfigError, match="has no enrolment office"):
        take_in(made.folder, answer, said)
    assert read_members(made)[0].identity is None


def test_one_bad_answer_and_none_is_countersigned(made, tmp_path):
    good, bad = (join(made, tmp_path, name) for name in ("ann", "bert"))
    plain = json.loads(bad.read_text())
    plain["claims"]["identity"] = json.loads(good.read_text())["claims"]["identity"]
    bad.write_text(json.dumps(plain))
    with pytest.raises(FormatError, match="not signed by its own keys"):
        signed(tmp_path, good, bad)
    assert not list(tmp_path.glob(f"*{SUFFIX}"))


def test_a_crash_before_the_seat_was_taken_loses_no_countersignature(made, tmp_path):
    answer = join(made, tmp_path, "ann")
    who = bytes.fromhex(read_enrolment(answer.read_bytes(), "x").claims.identity)
    halfway = made.log.add(made.signer, who, NOW.date())  # as --unvouched had begun
    made.path("membership.log").write_bytes(halfway.dump())
    (said,) = signed(tmp_path, answer)
    take_in(made.folder, answer, said)
    assert made.log.members[who].countersigned
    assert made.log.at(halfway.head)


def call(command, *words):
    done = CliRunner().invoke(command, [str(word) for word in words])
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_the_commands_in_the_order_of_a_person(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = call(coordinator, "office").splitlines()
    public, fingerprint = (line.split()[-1] for line in shown[1:3])
    founded = ("init", "--dir", "fed", "--address", "a.example:9443")
    assert fingerprint in call(coordinator, *founded, "--office", public)
    assert fingerprint in call(coordinator, "invite", "--dir", "fed", "--name", "ann")
    joined = call(client, "enroll", "ann.invitation.json", "--home", "ann")
    assert f"office        {fingerprint}" in joined
    assert "enrolment.countersigned.json" in call(
        coordinator, "countersign", "--key", "office.key", "enrolment.json"
    )
    said = ("--countersignature", "enrolment.countersigned.json")
    admitted = call(coordinator, "admit", "enrolment.json", *said, "--dir", "fed")
    assert "countersigned by the office" in admitted
    me = call(client, "contact", "me", "--home", "ann")
    assert me.split()[1] in joined
    assert me.split()[3] in admitted


def test_contacts_by_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call(coordinator, "init", "--dir", "fed")
    for name in ("ann", "bert"):
        call(coordinator, "invite", "--dir", "fed", "--name", name)
        answer = ("--out", f"{name}.json", "--home", name)
        call(client, "enroll", f"{name}.invitation.json", *answer)
    _, identity, _, fingerprint = call(
        client, "contact", "me", "--home", "bert"
    ).split()
    at = ("--home", "ann")
    line = call(client, "contact", "add", identity, "--name", "Bert", *at)
    assert line.startswith(fingerprint)
    assert call(client, "contact", "list", *at) == line
    assert call(client, "contact", "remove", fingerprint, *at) == line
    assert "no contacts yet" in call(client, "contact", "list", *at)
