"""Lock a few secret bytes by a passphrase, for a file that leaves this machine.

The passphrase is stretched by Argon2id, and the key encrypts by AES-256-GCM. PKCS 8's
own encryption takes 2,048 rounds of PBKDF2, which a stolen file does not survive.

Covered: a wrong passphrase, a byte changed anywhere, a file put in another's place (its
purpose is bound), parameters that were lowered, or raised until the memory is full.
Not covered: a passphrase that can be guessed; traces in memory, which Python cannot
wipe.
"""

from contextlib import suppress
from typing import Annotated, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel, ConfigDict, Field

from proper_shared.errors import ConfigError
from proper_shared.passphrases import (
    GIVE,
    Lanes,
    Memory,
    Passes,
    encoded,
    normal,
    stretch,
)

SHORTEST = 12  # characters
SALT_NBYTES, NONCE_NBYTES = 16, 12
_LABEL = b"proper locked 1/"
Hex = Annotated[str, Field(pattern="^([0-9a-f]{2})+$", max_length=4096)]


class Locked(BaseModel):
    """Secret bytes under a passphrase."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kdf: Literal["argon2id"] = "argon2id"
    memory_kib: Memory = 64 * 1024
    passes: Passes = 3
    lanes: Lanes = 4
    salt: Hex
    nonce: Hex
    ciphertext: Hex


def lock(secret: bytes, passphrase: str, purpose: str, entropy: bytes) -> Locked:
    """Return `secret` under a passphrase.

    Args:
        secret: what is to be kept.
        passphrase: of 12 characters at least.
        purpose: what the bytes are for; opening takes the same.
        entropy: 28 fresh random bytes.

    Raises:
        ConfigError: the passphrase is too short, or no text.
    """
    if len(passphrase) < SHORTEST:
        raise ConfigError(
            f"got a passphrase of {len(passphrase)} characters, expected {SHORTEST}",
            hint="take five words by chance",
        )
    salt, nonce = entropy[:SALT_NBYTES], entropy[SALT_NBYTES:]
    if len(nonce) != NONCE_NBYTES:
        raise ValueError("entropy has another length")
    empty = Locked(salt=salt.hex(), nonce=nonce.hex(), ciphertext="00")
    words = encoded(passphrase, GIVE)
    sealed = _cipher(empty, words).encrypt(nonce, secret, _bound(empty, purpose))
    return empty.model_copy(update={"ciphertext": sealed.hex()})


def unlock(locked: Locked, passphrase: str, purpose: str) -> bytes:
    """Return the secret bytes.

    Raises:
        ConfigError: the passphrase is wrong, or the file was changed.
    """
    nonce, sealed = bytes.fromhex(locked.nonce), bytes.fromhex(locked.ciphertext)
    # As typed is how files were locked before the letters were made the same ones.
    for words in dict.fromkeys((normal(passphrase), passphrase)):
        # ValueError: no text, or a nonce or salt of another length
        with suppress(InvalidTag, ValueError):
            cipher = _cipher(locked, words.encode())
            return cipher.decrypt(nonce, sealed, _bound(locked, purpose))
    raise ConfigError(
        f"the passphrase of {purpose} is wrong, or its file was changed",
        hint="type it again; nothing was done",
    )


def _cipher(locked: Locked, passphrase: bytes) -> AESGCM:
    return AESGCM(
        stretch(
            passphrase,
            bytes.fromhex(locked.salt),
            memory_kib=locked.memory_kib,
            passes=locked.passes,
            lanes=locked.lanes,
        )
    )


def _bound(locked: Locked, purpose: str) -> bytes:
    """Return what the ciphertext is bound to: its purpose and all parameters."""
    words = locked.model_dump_json(exclude={"ciphertext"})
    return _LABEL + purpose.encode() + b"/" + words.encode()
