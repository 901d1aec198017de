"""The keys that sign a release: pairs in files, most of them under a passphrase.

    root-1.1.key  root-2.1.key  root-3.1.key   each for another holder
    targets.1.key
    online.1.key                               goes to the host; without a passphrase
    1.root.json                                whose keys count; public

The number is the version of the root file that brought the pair, so a rotation never
overwrites a key, and a crash in it leaves the old ones in force.

Covered: keys that other accounts read (files 0600, the folder 0700); a stolen folder,
but for `online`; a key overwritten.
Not covered: a folder that was left on the coordinator's host. Whoever has it and the
passphrase can sign anything.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from securesystemslib.signer import CryptoSigner

from proper_coordinator.joining import read_small
from proper_shared.durable import write_file
from proper_shared.errors import ConfigError, FormatError
from proper_shared.locked import NONCE_NBYTES, SALT_NBYTES, Locked, lock, unlock
from proper_shared.strict_json import parse_object

SECRET = 0o600
SEED_NBYTES = 32  # of either key
OFFLINE = ("root-1", "root-2", "root-3", "targets")
ONLINE = "online"
_NAME = re.compile(r"(root-[123]|targets|online)\.([1-9][0-9]{0,5})\.key")

Signers = tuple[CryptoSigner, CryptoSigner]


@dataclass(frozen=True)
class Pair:
    """An Ed25519 and an ML-DSA-65 key of one holder.

    Attributes:
        seed: of both, 64 bytes.
    """

    seed: bytes

    @classmethod
    def make(cls) -> Self:
        """Return a fresh pair, from the system's randomness."""
        return cls(secrets.token_bytes(2 * SEED_NBYTES))

    @property
    def signers(self) -> Signers:
        """What signs, in the two kinds."""
        classic = Ed25519PrivateKey.from_private_bytes(self.seed[:SEED_NBYTES])
        lattice = MLDSA65PrivateKey.from_seed_bytes(self.seed[SEED_NBYTES:])
        return CryptoSigner(classic), CryptoSigner(lattice)


class _KeyFile(BaseModel):
    """The whole of a key file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["proper release key 1"] = "proper release key 1"
    locked: Locked | None = None
    seed: str | None = Field(default=None, pattern="^[0-9a-f]{128}$")

    @model_validator(mode="after")
    def _one(self) -> Self:
        """Refuse a file that is locked and open at once, or neither."""
        if (self.locked is None) == (self.seed is None):
            raise ValueError("expected either locked or seed")
        return self


def write_pair(
    folder: Path, name: str, version: int, pair: Pair, passphrase: str | None
) -> Path:
    """Write a pair into a file of its own; return where.

    Args:
        folder: of the keys.
        name: `targets` for instance.
        version: of the root file that brings it.
        pair: the keys.
        passphrase: None leaves them open to whoever reads the file.

    Raises:
        ConfigError: the passphrase is too short.
        OSError: it cannot be written.
    """
    path = folder / f"{name}.{version}.key"
    if passphrase is None:
        held = _KeyFile(seed=pair.seed.hex())
    else:
        entropy = secrets.token_bytes(SALT_NBYTES + NONCE_NBYTES)
        held = _KeyFile(locked=lock(pair.seed, passphrase, name, entropy))
    text = held.model_dump_json(indent=1, exclude_none=True)
    write_file(path, text.encode(), SECRET)
    return path


def read_pair(path: Path, passphrase: str | None) -> Pair:
    """Return the pair in a file.

    Raises:
        ConfigError: it needs a passphrase, or another one.
        DataError: there is no such file.
        FormatError: it is malformed.
    """
    data = read_small(path)
    name = path.name.partition(".")[0]
    try:
        held = _KeyFile.model_validate_json(data)
        parse_object(data, path.name)
    except ValidationError as error:
        place = error.errors()[0]["loc"]
        raise FormatError(f"{path} is no key: wrong at {place}") from None
    if held.locked is None:
        return Pair(bytes.fromhex(held.seed or ""))
    if passphrase is None:
        raise ConfigError(
            f"{path} is locked, and got no passphrase", hint="--passphrase-file FILE"
        )
    return Pair(unlock(held.locked, passphrase, name))


def key_files(folder: Path, version: int) -> Mapping[str, Path]:
    """Return the newest file of each pair, none newer than a root file's version."""
    newest: dict[str, tuple[int, Path]] = {}
    for path in folder.glob("*.key"):
        if (found := _NAME.fullmatch(path.name)) and int(found[2]) <= version:
            newest[found[1]] = max(
                newest.get(found[1], (0, path)), (int(found[2]), path)
            )
    return {name: path for name, (_, path) in newest.items()}
