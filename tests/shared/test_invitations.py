"""An invitation goes out, an enrolment comes back, and nothing else passes for one."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from proper_shared.errors import FormatError
from proper_shared.invitations import (
    MAX_BYTES,
    Enrolment,
    Invitation,
    read_enrolment,
    read_invitation,
    short,
)
from proper_shared.method.config import Method

INVITATION = Invitation(
    federation="ab" * 32,
    number=3,
    name="ann",
    address="localhost:9443",
    ca_certificate="-----",
    coordinator="cd" * 32,
    secret="ef" * 32,
    backbone="nano",
    task="tagging",
    method=Method(),
    seed=0,
)
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
    for read in (read_invitation, read_enrolment):
        with pytest.raises(FormatError):
            read(data, "a file")


def test_short_fingerprints_tell_keys_apart():
    assert short("a") != short("b")
    assert len(short("a")) == 24
