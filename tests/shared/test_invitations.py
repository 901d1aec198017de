"""An invitation goes out, an enrolment comes back, and nothing else passes for one."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from invited import COORDINATOR, DAY, INVITATION, OFFICE
from invited import FOUNDED as LOG

from proper_shared.errors import FormatError
from proper_shared.invitations import (
    MAX_BYTES,
    Countersignature,
    Enrolment,
    read_countersignature,
    read_enrolment,
    read_invitation,
    short,
)
from proper_shared.secagg.keys import HeldSigner
from proper_shared.secagg.membership import Log

OTHER = HeldSigner(bytes([3]) * 32)
NODE, IDENTITY = ec.generate_private_key(ec.SECP256R1()), Ed25519PrivateKey.generate()


def answer(invitation=INVITATION, node=NODE, identity=IDENTITY):
    return Enrolment.answering(invitation, node, identity)


def changed(enrolment, **changes):
    claims = enrolment.claims.model_copy(update=changes)
    return enrolment.model_copy(update={"claims": claims})


def test_both_files_come_back_as_they_went():
    text = INVITATION.model_dump_json().encode()
    assert read_invitation(text, "x") == INVITATION
    made = answer()
    read = read_enrolment(made.model_dump_json(indent=1).encode(), "x")
    assert read == made
    read.check(INVITATION.secret)


def test_an_answer_without_the_secret_is_refused():
    with pytest.raises(FormatError, match="does not answer this invitation"):
        answer().check("00" * 32)


@pytest.mark.parametrize(
    "changes",
    [{"number": 4}, {"federation": "00" * 32}, {"identity": "11" * 32}],
)
def test_a_changed_claim_is_refused(changes):
    with pytest.raises(FormatError, match="does not answer"):
        changed(answer(), **changes).check(INVITATION.secret)


@pytest.mark.parametrize("field", ["by_identity", "by_node"])
def test_a_key_that_is_only_claimed_is_refused(field):
    other = answer(
        node=ec.generate_private_key(ec.SECP256R1()),
        identity=Ed25519PrivateKey.generate(),
    )
    mixed = answer().model_copy(update={field: getattr(other, field)})
    with pytest.raises(FormatError, match="not signed by its own keys"):
        mixed.check(INVITATION.secret)


def test_a_node_key_of_another_curve_is_refused():
    made = answer(node=ec.generate_private_key(ec.SECP521R1()))
    with pytest.raises(FormatError, match="another curve"):
        made.check(INVITATION.secret)


def test_no_private_key_and_no_secret_is_in_the_answer():
    text = answer().model_dump_json()
    assert INVITATION.secret not in text
    assert "PRIVATE" not in text
    assert IDENTITY.private_bytes_raw().hex() not in text


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"format": 1}', b"x" * (MAX_BYTES + 1), b'{"a":1,"a":1}'],
)
def test_what_is_no_invitation_is_refused(data):
    for read in (read_invitation, read_enrolment, read_countersignature):
        with pytest.raises(FormatError):
            read(data, "a file")


def test_short_fingerprints_tell_keys_apart():
    assert short("a") != short("b")
    assert len(short("a")) == 24


def founded(log):
    lines = log.dump().decode().removesuffix("\n")
    plain = INVITATION.model_copy(update={"founding": lines})
    return read_invitation(plain.model_dump_json().encode(), "x")


@pytest.mark.parametrize("office", [None, OFFICE.identity, OTHER.identity])
def test_an_invitation_names_whom_the_log_names(office):
    log = Log.found(COORDINATOR, office, DAY)
    invitation = founded(log)
    assert invitation.federation == log.federation.hex()
    assert invitation.coordinator == COORDINATOR.identity.hex()
    assert invitation.office == (office and office.hex())


def test_another_office_is_another_federation():
    names = (None, OFFICE.identity, OTHER.identity)
    made = {founded(Log.found(COORDINATOR, n, DAY)).federation for n in names}
    assert len(made) == 3


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (OFFICE.identity.hex(), OTHER.identity.hex()),
        (COORDINATOR.identity.hex(), OTHER.identity.hex()),
        ("2026-11-01", "2026-11-02"),
        ('"kind":"found"', '"kind":"add"'),
        ("}", ""),
    ],
)
def test_a_founding_entry_that_was_changed_is_refused(old, new):
    assert old in INVITATION.founding
    changed = INVITATION.founding.replace(old, new)
    plain = INVITATION.model_copy(update={"founding": changed})
    with pytest.raises(FormatError, match="wrong at founding"):
        read_invitation(plain.model_dump_json().encode(), "x")


def test_more_than_the_founding_entry_is_refused():
    with pytest.raises(FormatError, match="wrong at founding"):
        founded(LOG.add(COORDINATOR, OTHER.identity, DAY))


def test_what_the_office_said_is_what_the_log_takes():
    claims = answer().claims
    made = Countersignature.on(claims, OFFICE)
    read = read_countersignature(made.model_dump_json(indent=1).encode(), "x")
    read.check(OFFICE.identity, claims)
    who, said = bytes.fromhex(claims.identity), bytes.fromhex(read.signature)
    assert LOG.add(COORDINATOR, who, DAY, said).members[who].countersigned


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"federation": "00" * 32}, "another federation"),
        ({"identity": "11" * 32}, "another enrolment"),
        ({"signature": "00" * 64}, "not by this federation's office"),
        (
            {"signature": Countersignature.on(answer().claims, OTHER).signature},
            "not by this federation's office",
        ),
    ],
)
def test_a_countersignature_of_elsewhere_is_refused(changes, match):
    claims = answer().claims
    made = Countersignature.on(claims, OFFICE).model_copy(update=changes)
    with pytest.raises(FormatError, match=match):
        made.check(OFFICE.identity, claims)


@pytest.mark.parametrize("part", ["federation", "identity"])
def test_a_countersignature_does_not_move_to_other_claims(part):
    said = Countersignature.on(answer().claims, OFFICE)
    claims = answer().claims.model_copy(update={part: "11" * 32})
    moved = said.model_copy(update={part: "11" * 32})
    with pytest.raises(FormatError, match="not by this federation's office"):
        moved.check(OFFICE.identity, claims)
