"""The key file of a vault: its data key, wrapped by a passphrase or by the keyring.

The data key seals all files and never changes; another passphrase wraps it anew. All
other fields are the context of the wrapping, so that none can be changed by itself.

Covered: a wrong passphrase, told apart from a damaged file; parameters of Argon2id that
would make guessing cheap, or opening so dear that it never ends.
Not covered: an older copy of the key file still opens by the passphrase it had.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from proper_client.at_rest.sealing import KEY_BYTES
from proper_shared.errors import ConfigError, FormatError
from proper_shared.passphrases import Lanes, Memory, Passes, stretch
from proper_shared.strict_json import parse_object

NAME = "key.json"
MAX_BYTES = 4096  # ours have a sixth
SALT_BYTES = 16
DAMAGED = "put a copy of it back; without it the sealed files stay closed"

Entropy = Callable[[int], bytes]
Way = Literal["passphrase", "keyring"]
State = Literal["sealing", "sealed"]


def _hex(nbytes: int) -> StringConstraints:
    return StringConstraints(pattern=f"^[0-9a-f]{{{2 * nbytes}}}$")


class Hardness(BaseModel):
    """How dear one guess at a passphrase is."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    memory_kib: Memory = 64 * 1024
    iterations: Passes = 3
    lanes: Lanes = 4
    salt: Annotated[str, _hex(SALT_BYTES)]

    def stretch(self, passphrase: bytes) -> bytes:
        """Return the key that a passphrase makes; it takes time on purpose."""
        return stretch(
            passphrase,
            bytes.fromhex(self.salt),
            memory_kib=self.memory_kib,
            passes=self.iterations,
            lanes=self.lanes,
        )


@dataclass(frozen=True)
class DataKey:
    """What seals the files of a vault.

    Attributes:
        id: of the key, public.
        secret: 32 random bytes.
    """

    id: str
    secret: bytes = field(repr=False)

    @classmethod
    def new(cls, entropy: Entropy) -> Self:
        """Make one."""
        return cls(entropy(16).hex(), entropy(KEY_BYTES))


class KeyFile(BaseModel):
    """The whole of `key.json`.

    Attributes:
        format: of this file.
        id: of the data key.
        state: `sealing` while files in clear may still lie in the vault.
        argon2id: how the passphrase is stretched, if one wraps the key.
        keyring: the account in the OS keyring that holds what wraps it, if one does.
        wrapped: the data key, hexadecimal.
        sha256: of all the rest, to tell damage from a wrong passphrase.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["proper-key-1"] = "proper-key-1"
    id: Annotated[str, _hex(16)]
    state: State
    argon2id: Hardness | None = None
    keyring: Annotated[str, _hex(16)] | None = None
    wrapped: Annotated[str, _hex(KEY_BYTES + 72)] = ""
    sha256: Annotated[str, _hex(32)] = ""

    @property
    def way(self) -> Way:
        """What wraps the key."""
        return "keyring" if self.argon2id is None else "passphrase"

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Return the key file in `data`.

        Raises:
            FormatError: it is damaged, or its parameters are out of bounds.
        """
        if len(data) > MAX_BYTES:
            raise FormatError(f"{NAME} has more than {MAX_BYTES} bytes", hint=DAMAGED)
        try:
            found = cls.model_validate(parse_object(data, NAME))
        except FormatError as error:
            raise FormatError(str(error), hint=DAMAGED) from None
        except ValidationError as error:
            place = ".".join(map(str, error.errors()[0]["loc"]))[:100]
            raise FormatError(f"{NAME} is wrong in {place}", hint=DAMAGED) from None
        if (found.argon2id is None) == (found.keyring is None):
            raise FormatError(f"{NAME} names no one way to open it", hint=DAMAGED)
        if found.sha256 != found.digest():
            raise FormatError(f"{NAME} is damaged", hint=DAMAGED)
        return found

    def dump(self) -> bytes:
        """Return the file as bytes."""
        plain = self.model_dump(mode="json", exclude_none=True)
        return json.dumps(plain, indent=1, sort_keys=True).encode() + b"\n"

    def digest(self) -> str:
        """Return what `sha256` has to be."""
        return hashlib.sha256(self._canonical({"sha256"})).hexdigest()

    def context(self) -> bytes:
        """Return what the wrapping is bound to: every other field."""
        return b"proper-key-1\0" + self._canonical({"wrapped", "sha256"})

    def _canonical(self, less: set[str]) -> bytes:
        plain = self.model_dump(mode="json", exclude=less)
        return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Wrap:
    """A key around the data key: it opens a key file, or makes a new one.

    Attributes:
        secret: 32 bytes, stretched from a passphrase or held by the keyring.
        argon2id: how it was stretched, if it was.
        keyring: the account that holds it, if one does.
    """

    secret: bytes = field(repr=False)
    argon2id: Hardness | None = None
    keyring: str | None = None

    def close(self, key: DataKey, state: State) -> KeyFile:
        """Return a key file that holds `key`."""
        bare = KeyFile.model_construct(
            id=key.id, state=state, argon2id=self.argon2id, keyring=self.keyring
        )
        encryptor = Cobblestone256Encryptor(self.secret, bare.context())
        wrapped = encryptor.update(key.secret) + encryptor.finalize()
        full = bare.model_copy(update={"wrapped": wrapped.hex()})
        return full.model_copy(update={"sha256": full.digest()})

    def open(self, file: KeyFile) -> DataKey:
        """Return the data key in a key file.

        Raises:
            ConfigError: this is not what wraps it.
        """
        decryptor = Cobblestone256Decryptor(self.secret, file.context())
        try:
            wrapped = bytes.fromhex(file.wrapped)
            secret = decryptor.update(wrapped) + decryptor.finalize()
        except InvalidTag:
            raise _wrong(file.way) from None
        return DataKey(file.id, secret)


def _wrong(way: Way) -> ConfigError:
    if way == "passphrase":
        return ConfigError(
            "this is not the passphrase of the vault",
            hint="try again: mind the keyboard's layout and Caps Lock",
        )
    return ConfigError(
        "the key in the OS keyring is not the one of the vault",
        hint=f"put the {NAME} back that belongs to this machine's keyring",
    )
