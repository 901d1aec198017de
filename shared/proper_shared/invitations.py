"""How a person joins a federation: an invitation goes out, an enrolment comes back.

    invitation         coordinator to person: where, whom to trust, what is trained, a
                       secret
    enrolment          person to coordinator: two public keys, bound to the invitation
    countersignature   office to coordinator: this identity is a person's

All are small JSON files, carried by whatever way the people trust. Private keys are
made on the device and never leave it. An invitation holds the first entry of the
membership log, whose hash is the federation: who the coordinator and the office are
cannot be said in one way there and in another way later.

Covered: a file that was cut or changed, an enrolment without the invitation's secret
or without the private keys, one that was made for another federation or another person,
a countersignature of another office, to another identity or federation.
Not covered: whoever reads an invitation on its way can enrol in that person's place;
both sides see fingerprints to compare. Whether the office is one: compare its
fingerprint with what it published itself.
"""

import hashlib
import hmac
import json
from typing import Annotated, Literal, Self, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from proper_shared.errors import FormatError, ProperError
from proper_shared.method.config import Method
from proper_shared.offers import Hex32
from proper_shared.secagg.keys import Signer, verify
from proper_shared.secagg.membership import ENROLMENT, Log, countersign
from proper_shared.strict_json import parse_object

MAX_BYTES = 65_536  # of either file
NO_OFFICE = "none"  # what people see in the place of its fingerprint
_LABEL = b"proper enrolment 1\n"
_MODEL = ConfigDict(frozen=True, extra="forbid")
_CURVES = (ec.SECP256R1, ec.SECP384R1)

T = TypeVar("T", bound=BaseModel)
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


class Invitation(BaseModel):
    """What one person needs to join."""

    model_config = _MODEL

    format: Literal["proper invitation 1"] = "proper invitation 1"
    founding: str = Field(max_length=2048, description="first entry of the log")
    number: int = Field(ge=0, lt=2**31, description="the person's seat")
    name: str = Field(max_length=100, description="what the coordinator calls them")
    address: str = Field(pattern=r"^\S{1,300}:\d{1,5}$", description="host and port")
    ca_certificate: str = Field(max_length=8192, description="PEM; trusted for this")
    secret: Hex32 = Field(description="proves, once, that this file was received")
    backbone: str = Field(max_length=300, description="nano, or a folder or hub id")
    task: str = Field(max_length=100, description="what is asked of a text")
    method: Method = Field(description="shapes of all that is trained")
    seed: int = Field(ge=0, description="of fresh tensors, order and dropout")
    releases: Hex32 | None = Field(
        default=None, description="fingerprint of the root file of its releases"
    )

    @field_validator("founding")
    @classmethod
    def _expect_founding(cls, text: str) -> str:
        try:
            entries = _log(text).entries
        except ProperError as error:
            raise ValueError(str(error)) from None  # what pydantic expects
        if len(entries) > 1:
            raise ValueError("got more than the first entry")
        return text

    @property
    def federation(self) -> str:
        """Its name: hash of the entry that founds it, 64 hex digits."""
        return _log(self.founding).federation.hex()

    @property
    def coordinator(self) -> str:
        """Ed25519 key that signs for the coordinator, 64 hex digits."""
        return _log(self.founding).coordinator.hex()

    @property
    def office(self) -> str | None:
        """Ed25519 key of the enrolment office, 64 hex digits, if there is one."""
        key = _log(self.founding).enrolment
        return None if key is None else key.hex()


class Claims(BaseModel):
    """Who answers which invitation."""

    model_config = _MODEL

    federation: Hex32
    number: int = Field(ge=0, lt=2**31)
    node_key: str = Field(max_length=1024, description="PEM, P-256 or P-384")
    identity: Hex32 = Field(description="Ed25519 public key")

    def signed(self) -> bytes:
        """Return the bytes under the signatures."""
        return _LABEL + json.dumps(self.model_dump(), sort_keys=True).encode()


class Enrolment(BaseModel):
    """What a person sends back."""

    model_config = _MODEL

    format: Literal["proper enrolment 1"] = "proper enrolment 1"
    claims: Claims
    mac: Hex32 = Field(description="HMAC-SHA-256 under the invitation's secret")
    by_identity: Hex64 = Field(description="Ed25519 signature")
    by_node: str = Field(
        pattern=r"^([0-9a-f]{2}){8,160}$", description="ECDSA, SHA-256"
    )

    @classmethod
    def answering(
        cls,
        invitation: Invitation,
        node: ec.EllipticCurvePrivateKey,
        identity: Ed25519PrivateKey,
    ) -> Self:
        """Answer an invitation with two keys of one's own."""
        claims = Claims(
            federation=invitation.federation,
            number=invitation.number,
            node_key=public_pem(node.public_key()).decode(),
            identity=identity.public_key().public_bytes_raw().hex(),
        )
        signed = claims.signed()
        return cls(
            claims=claims,
            mac=_mac(invitation.secret, signed),
            by_identity=identity.sign(signed).hex(),
            by_node=node.sign(signed, ec.ECDSA(hashes.SHA256())).hex(),
        )

    def check(self, secret: str) -> None:
        """Refuse an answer that is not from who was invited and holds both keys.

        Args:
            secret: of the invitation that the answer names.

        Raises:
            FormatError: the secret or a signature is wrong, or a key is of no use.
        """
        signed = self.claims.signed()
        if not hmac.compare_digest(self.mac, _mac(secret, signed)):
            raise FormatError(
                "the enrolment does not answer this invitation",
                hint="send the person a new invitation, and let them enrol with it",
            )
        self.check_keys()

    def check_keys(self) -> None:
        """Refuse an answer that is not from who holds both keys.

        Raises:
            FormatError: a signature is wrong, or a key is of no use.
        """
        signed = self.claims.signed()
        node, identity = self._keys()
        try:
            identity.verify(bytes.fromhex(self.by_identity), signed)
            node.verify(bytes.fromhex(self.by_node), signed, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            raise FormatError("the enrolment is not signed by its own keys") from None

    def _keys(self) -> tuple[ec.EllipticCurvePublicKey, Ed25519PublicKey]:
        try:
            node = serialization.load_pem_public_key(self.claims.node_key.encode())
            identity = Ed25519PublicKey.from_public_bytes(
                bytes.fromhex(self.claims.identity)
            )
        except ValueError:
            raise FormatError("the enrolment holds a key that is none") from None
        if not isinstance(node, ec.EllipticCurvePublicKey) or not isinstance(
            node.curve, _CURVES
        ):
            raise FormatError("the enrolment holds a node key of another curve")
        if public_pem(node).decode() != self.claims.node_key:
            raise FormatError("the enrolment spells its node key in an unusual way")
        return node, identity


class Countersignature(BaseModel):
    """What an enrolment office says of one identity, for one federation."""

    model_config = _MODEL

    format: Literal["proper countersignature 1"] = "proper countersignature 1"
    federation: Hex32
    identity: Hex32
    signature: Hex64

    @classmethod
    def on(cls, claims: Claims, office: Signer) -> Self:
        """Vouch for the identity of an enrolment that was checked."""
        federation, identity = claims.federation, claims.identity
        said = countersign(office, bytes.fromhex(federation), bytes.fromhex(identity))
        return cls(federation=federation, identity=identity, signature=said.hex())

    def check(self, office: bytes, claims: Claims) -> None:
        """Refuse what `office` did not say of these claims.

        Raises:
            FormatError: it is of another office, identity or federation, or forged.
        """
        if self.federation != claims.federation:
            raise FormatError("the countersignature is for another federation")
        if self.identity != claims.identity:
            raise FormatError("the countersignature is to another enrolment")
        message = ENROLMENT + bytes.fromhex(self.federation + self.identity)
        if not verify(office, bytes.fromhex(self.signature), message):
            raise FormatError(
                "the countersignature is not by this federation's office",
                hint=f"the office of the log has the fingerprint {short(office.hex())}",
            )


def public_pem(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return a public key as Flower has it."""
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def short(key: str) -> str:
    """Return a fingerprint of a public key that people can compare: 5 groups of 4."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    return "-".join(digest[at : at + 4] for at in range(0, 20, 4))


def public_name(name: str) -> str:
    """Return a person's name as a part of a file name."""
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name) or "member"


def read_invitation(data: bytes, what: str) -> Invitation:
    """Return the invitation in a file.

    Raises:
        FormatError: it is none.
    """
    return _read(Invitation, data, what)


def read_enrolment(data: bytes, what: str) -> Enrolment:
    """Return the enrolment in a file; `check` it before it counts.

    Raises:
        FormatError: it is none.
    """
    return _read(Enrolment, data, what)


def read_countersignature(data: bytes, what: str) -> Countersignature:
    """Return the countersignature in a file; `check` it before it counts.

    Raises:
        FormatError: it is none.
    """
    return _read(Countersignature, data, what)


def _log(founding: str) -> Log:
    return Log.parse(founding.encode() + b"\n")


def _read(kind: type[T], data: bytes, what: str) -> T:
    if len(data) > MAX_BYTES:
        raise FormatError(f"{what} has {len(data):,} bytes, expected {MAX_BYTES:,}")
    try:
        return kind.model_validate(parse_object(data, what))
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"])) or "the top"
        raise FormatError(
            f"{what} is no {kind.__name__.lower()}: wrong at {place}",
            hint="ask for the file again; it should arrive unchanged",
        ) from None


def _mac(secret: str, signed: bytes) -> str:
    return hmac.new(bytes.fromhex(secret), signed, hashlib.sha256).hexdigest()
