"""Join a federation: keys of one's own, and a file that goes back to the coordinator.

The vault then holds, as `federation/membership.json`, the invitation and two keys that
were made here: one by which Flower knows the device (P-256), one that is its identity
towards the other members (Ed25519). The invitation's secret is not kept.

Covered: an invitation that was changed or cut, can never work, or names another
coordinator or office than the log of its federation; a second one in the same home; an
answer of another home, which is not written over.
Not covered: see `invitations` for what an invitation is worth to whoever reads it.
"""

from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import BaseModel, ConfigDict, ValidationError

from proper_client.enrolment_checks import check_invitation
from proper_client.vault import FILE_MODE, Vault
from proper_shared.durable import write_file
from proper_shared.errors import ConfigError, DataError, FormatError
from proper_shared.invitations import (
    NO_OFFICE,
    Enrolment,
    Invitation,
    public_pem,
    read_invitation,
    short,
)
from proper_shared.secagg.keys import HeldSigner

RECORD = "membership"
NODE = "node"
_UNUSED = "0" * 64  # stands where the secret stood


class _Kept(BaseModel):
    """The whole of `membership.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    invitation: Invitation
    node_key: str
    identity_key: str


@dataclass(frozen=True)
class Membership:
    """This device in its federation.

    Attributes:
        invitation: without its secret.
        node_key: by which Flower knows the device.
        identity: towards the other members.
    """

    invitation: Invitation
    node_key: ec.EllipticCurvePrivateKey
    identity: Ed25519PrivateKey

    @property
    def signer(self) -> HeldSigner:
        """What signs for the device towards the other members."""
        return HeldSigner(self.identity.private_bytes_raw())

    @property
    def name(self) -> str:
        """The whole identity, 64 hex digits, for whoever takes it as a contact."""
        return self.identity.public_key().public_bytes_raw().hex()

    @property
    def fingerprints(self) -> dict[str, str]:
        """What two people compare, by name."""
        office = self.invitation.office
        return {
            "coordinator": short(self.invitation.coordinator),
            "office": short(office) if office else NO_OFFICE,
            "this device": short(self.name),
            "its node key": short(public_pem(self.node_key.public_key()).decode()),
        }


def enroll(invitation_file: Path, answer_file: Path, vault: Vault) -> Membership:
    """Accept an invitation: make keys, keep them, and write the answer.

    Args:
        invitation_file: as it came from the coordinator.
        answer_file: goes back; it holds public keys and no secret.
        vault: keeps the keys.

    Raises:
        ConfigError: this home is in a federation already, there is a file where the
            answer goes, or a file cannot be written.
        DataError: there is no such invitation.
        FormatError: it was changed or cut, or can never work.
    """
    if not invitation_file.is_file():
        raise DataError(
            f"there is no file {invitation_file}",
            hint="give the path of the invitation that the coordinator sent you",
        )
    data = invitation_file.read_bytes()
    invitation = read_invitation(data, invitation_file.name)
    if vault.read_record(RECORD) is not None:
        raise ConfigError(
            f"{vault.home} is in a federation already",
            hint="choose another folder with --home, or set PROPER_HOME",
        )
    check_invitation(invitation)
    if answer_file.exists() or answer_file.is_symlink():
        raise ConfigError(
            f"there is a file {answer_file} already, and it is not of this home",
            hint="it may be another home's answer: choose another place with --out",
        )
    membership = Membership(
        invitation.model_copy(update={"secret": _UNUSED}),
        ec.generate_private_key(ec.SECP256R1()),
        Ed25519PrivateKey.generate(),
    )
    answer = Enrolment.answering(invitation, membership.node_key, membership.identity)
    # The answer first: without it the keys are of no use, and it can be made again.
    write_file(answer_file, answer.model_dump_json(indent=1).encode(), FILE_MODE)
    try:
        vault.write_record(RECORD, _kept(membership).model_dump(mode="json"))
    except BaseException:  # Ctrl-C too: an answer without its keys is nobody's
        answer_file.unlink()
        raise
    return membership


def membership_in(vault: Vault) -> Membership:
    """Return this device's membership.

    Raises:
        DataError: it is in no federation.
        FormatError: the file is damaged.
    """
    found = vault.read_record(RECORD)
    if found is None:
        raise DataError(
            f"{vault.home} is in no federation",
            hint="ask a coordinator for an invitation: proper-client enroll FILE",
        )
    try:
        kept = _Kept.model_validate(found)
        node = serialization.load_pem_private_key(kept.node_key.encode(), None)
        identity = Ed25519PrivateKey.from_private_bytes(
            bytes.fromhex(kept.identity_key)
        )
    except (ValidationError, ValueError):
        raise FormatError(f"the membership in {vault.home} is damaged") from None
    if not isinstance(node, ec.EllipticCurvePrivateKey):
        raise FormatError("the node key is of an unknown kind")
    return Membership(kept.invitation, node, identity)


def describe(
    membership: Membership, answer_file: Path, home: Path | None = None
) -> list[str]:
    """Return what a person sees once they enrolled.

    Args:
        membership: that they have now.
        answer_file: where the answer lies.
        home: the option --home, if it was given and so has to be again.
    """
    again = "" if home is None else f" --home {quote(str(home))}"
    kept = membership.fingerprints.items()
    return [
        *(f"{name:<13} {value}" for name, value in kept),
        f"identity      {membership.name}",
        f"Send {answer_file} back to the coordinator. It holds no secret.",
        "Compare coordinator and office with what these publish themselves, and let",
        "them, and your contacts, compare the others with you.",
        f"Then: proper-client participate --history my.json{again}",
    ]


def _kept(membership: Membership) -> _Kept:
    node = membership.node_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return _Kept(
        invitation=membership.invitation,
        node_key=node.decode(),
        identity_key=membership.identity.private_bytes_raw().hex(),
    )
