"""Keys and what is made of them: X25519, Ed25519, HKDF-SHA256, AES-256.

Everything slow, or worth remembering, goes through a `Suite`, so that a simulation in
which one process plays all members need not verify one signature a hundred times.

Covered: keys of low order; a key for one purpose, direction or session used in another.
Not covered: side channels, secrets that stay in Python's memory after their use, and
recordings that a quantum computer opens later.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from proper_shared.errors import ProtocolError
from proper_shared.secagg.binding import Label, framed
from proper_shared.secagg.quorum import LARGEST
from proper_shared.secagg.shamir import ORDER

Derive = Callable[..., bytes]  # see `derive`
Entropy = Callable[[int], bytes]  # as many secret random bytes as asked for

TAG_NBYTES = 16  # what AES-GCM adds to a message
_ONCE = bytes(12)  # a nonce for keys that seal one message each
_FROM_ZERO = modes.CTR(bytes(16))
_PRIME = 2**255 - 19
# The u-coordinates of order 1, 2, 4 and 8 on Curve25519 and its twist (RFC 7748, 6.1).
_LOW_ORDER = {
    0,
    1,
    _PRIME - 1,
    0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
    0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
}


class Signer(Protocol):
    """Somebody's identity, wherever its private key lies."""

    @property
    def identity(self) -> bytes:
        """The Ed25519 public key, 32 bytes."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return an Ed25519 signature, 64 bytes."""
        ...


class HeldSigner:
    """An identity whose private key (32 bytes) lies in this process."""

    def __init__(self, private: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(private)
        self.identity = self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """Return an Ed25519 signature, 64 bytes (RFC 8032)."""
        return self._key.sign(message)


@dataclass(frozen=True)
class KeyPair:
    """An X25519 key pair.

    Attributes:
        secret: the private key with its bits clamped, 32 bytes, little end first.
        public: 32 bytes.
    """

    secret: bytes = field(repr=False)
    public: bytes
    private: X25519PrivateKey = field(repr=False, compare=False)

    @classmethod
    def of(cls, seed: bytes) -> "KeyPair":
        """Return the pair of 32 secret bytes, which are clamped as in RFC 7748."""
        secret = bytes([seed[0] & 248, *seed[1:31], seed[31] & 127 | 64])
        private = X25519PrivateKey.from_private_bytes(secret)
        return cls(secret, private.public_key().public_bytes_raw(), private)


def verify(identity: bytes, signature: bytes, message: bytes) -> bool:
    """Say whether `identity` signed `message` (Ed25519, RFC 8032)."""
    try:
        Ed25519PublicKey.from_public_bytes(identity).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def agree(own: KeyPair, public: bytes) -> bytes:
    """Return the secret shared with the owner of `public`, 32 bytes (RFC 7748).

    Raises:
        ProtocolError: `public` has low order, so that the secret would be known.
    """
    try:
        return own.private.exchange(_public_key(public))
    except ValueError:
        raise ProtocolError("got a public key of low order") from None


@lru_cache(maxsize=2 * LARGEST)
def _public_key(public: bytes) -> X25519PublicKey:
    """Return a key from its bytes; one process that plays all sees each many times."""
    return X25519PublicKey.from_public_bytes(public)


def has_low_order(public: bytes) -> bool:
    """Say whether every secret shared with `public` would be zero (RFC 7748, 6.1)."""
    coordinate = int.from_bytes(public, "little") & (2**255 - 1)
    return coordinate % _PRIME in _LOW_ORDER


def derive(secret: bytes, context: bytes, label: Label, *bound: bytes) -> bytes:
    """Return a 32-byte key for one purpose (HKDF-SHA256, RFC 5869).

    Args:
        secret: input keying material.
        context: of the round; the salt.
        label: the purpose.
        bound: what else both sides have to agree on.
    """
    return HKDF(hashes.SHA256(), 32, context, framed(label, *bound)).derive(secret)


@dataclass(frozen=True)
class Suite:
    """How signatures are verified, secrets agreed on, and keys derived from them.

    Attributes:
        verify: see the function of that name.
        agree: see the function of that name.
        derive: see the function of that name.
    """

    verify: Callable[[bytes, bytes, bytes], bool] = verify
    agree: Callable[[KeyPair, bytes], bytes] = agree
    derive: Derive = derive


STANDARD = Suite()


def memoising() -> Suite:
    """Return a suite that does the same work once, for simulations only.

    It remembers secrets, and both ends of a pair find one secret under one name: make
    a new one for each round, and never one on a device.
    """
    verdicts: dict[tuple[bytes, bytes, bytes], bool] = {}
    secrets: dict[tuple[bytes, bytes], bytes] = {}
    derived: dict[tuple[object, ...], bytes] = {}

    def verify_once(identity: bytes, signature: bytes, message: bytes) -> bool:
        key = identity, signature, message
        if (verdict := verdicts.get(key)) is None:
            verdict = verdicts[key] = verify(identity, signature, message)
        return verdict

    def agree_once(own: KeyPair, public: bytes) -> bytes:
        key = min(own.public, public), max(own.public, public)
        if (secret := secrets.get(key)) is None:
            secret = secrets[key] = agree(own, public)
        return secret

    def derive_once(
        secret: bytes, context: bytes, label: Label, *bound: bytes
    ) -> bytes:
        name = secret, context, label, *bound
        if (key := derived.pop(name, None)) is None:  # the other end asks once more
            key = derived[name] = derive(secret, context, label, *bound)
        return key

    return Suite(verify_once, agree_once, derive_once)


def keystream(key: bytes, nbytes: int) -> bytes:
    """Return AES-256-CTR of zeros (NIST SP 800-38A), for a key that is used once."""
    cipher = Cipher(algorithms.AES(key), _FROM_ZERO)
    return cipher.encryptor().update(_zeros(nbytes))


@lru_cache(maxsize=4)
def _zeros(nbytes: int) -> bytes:
    return bytes(nbytes)


def seal(key: bytes, message: bytes) -> bytes:
    """Return `message` under AES-256-GCM, for a key that seals nothing else."""
    return AESGCM(key).encrypt(_ONCE, message, None)


def unseal(key: bytes, sealed: bytes) -> bytes | None:
    """Return what was sealed, None where it was not sealed under this key."""
    try:
        return AESGCM(key).decrypt(_ONCE, sealed, None)
    except InvalidTag:
        return None


def draw_scalars(entropy: Entropy, count: int) -> list[int]:
    """Return uniform numbers below the order of P-256, by rejection."""
    drawn: list[int] = []
    while missing := count - len(drawn):
        data = entropy(32 * missing)
        fresh = (data[i : i + 32] for i in range(0, len(data), 32))
        numbers = (int.from_bytes(chunk, "big") for chunk in fresh)
        drawn += [number for number in numbers if number < ORDER]
    return drawn
