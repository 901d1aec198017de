"""The enrolment office: a key on a machine of its own that says who is a person.

A device cannot tell a person from an identity that a coordinator invented. So somebody
else looks at each person, once, and countersigns their enrolment; the devices then
count them from the first day on. The key is made where the coordinator is not, is
needed for nothing but that, and needs no network.

Covered: an answer that is not signed by its own keys; answers to several federations in
one go; other accounts of the machine (file 0600); a key or an answer overwritten.
Not covered: who has the key file is the office; it bears no passphrase, so keep it
offline. Whether the people are people, and each of them comes once: the office looks,
and compares fingerprints before it hands out what it countersigned. There is no
revocation, the coordinator takes members out of the log.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from proper_coordinator.deployment import SECRET
from proper_coordinator.joining import read_small
from proper_shared.durable import write_file
from proper_shared.errors import ConfigError, FormatError
from proper_shared.invitations import (
    NO_OFFICE,
    Countersignature,
    Enrolment,
    read_enrolment,
    short,
)
from proper_shared.secagg.keys import HeldSigner

SUFFIX = ".countersigned.json"
_KEY = re.compile(r"[0-9a-f]{64}")


def make_office(out: Path) -> list[str]:
    """Make the key of an office; return lines to show.

    Args:
        out: gets the private key, PEM (PKCS 8).

    Raises:
        ConfigError: something stands there.
        OSError: it cannot be written.
    """
    if out.exists() or out.is_symlink():
        raise ConfigError(
            f"{out} is there already, and nothing is overwritten",
            hint="choose another --out; a federation keeps its office for good",
        )
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_file(out, pem, SECRET)
    public = key.public_key().public_bytes_raw().hex()
    return [
        f"wrote {out}: keep it here, away from the coordinator, and keep a copy",
        f"public key    {public}",
        f"fingerprint   {short(public)}",
        "Publish the fingerprint where people find it without the coordinator.",
        f"The coordinator founds with: proper-coordinator init --office {public}",
    ]


def parse_office(text: str | None) -> bytes | None:
    """Return an office's public key as a person passes it on, 32 bytes; None for none.

    Raises:
        ConfigError: it is none.
    """
    if text is None:
        return None
    if not _KEY.fullmatch(text.strip().lower()):
        raise ConfigError(
            f"got the public key {text[:70]!r}, expected 64 hex digits",
            hint="`proper-coordinator office` showed it when it made the key",
        )
    return bytes.fromhex(text)


def describe(office: bytes | None) -> str:
    """Return the fingerprint of an office, or what it means that there is none."""
    if office is None:
        return f"{NO_OFFICE}: at first a device counts only its person's contacts"
    return short(office.hex())


def load_office(key_file: Path) -> HeldSigner:
    """Return the office whose private key lies in a file.

    Raises:
        DataError: it is not there.
        FormatError: it holds no such key.
    """
    pem = read_small(key_file)
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise FormatError(
            f"{key_file} is not the key of an office",
            hint="it is the file that `proper-coordinator office` wrote",
        )
    return HeldSigner(key.private_bytes_raw())


def countersign_files(key_file: Path, answers: Sequence[Path]) -> list[str]:
    """Countersign enrolments, all or none; return lines to show.

    A file `<name>.countersigned.json` is written beside each `<name>.json`.

    Args:
        key_file: see `make_office`.
        answers: what people sent back to the coordinator, all of one federation.

    Raises:
        ConfigError: they are of several federations.
        DataError: a file is not there.
        FormatError: one is malformed, or not signed by its own keys.
    """
    office = load_office(key_file)
    enrolments = [_checked(path) for path in answers]
    if len({enrolment.claims.federation for enrolment in enrolments}) > 1:
        raise ConfigError(
            "got enrolments of several federations, expected one",
            hint="countersign for one federation at a time",
        )
    lines = [f"office        {short(office.identity.hex())}"]
    for path, enrolment in zip(answers, enrolments, strict=True):
        said = Countersignature.on(enrolment.claims, office)
        place = path.with_name(path.name.removesuffix(".json") + SUFFIX)
        write_file(place, said.model_dump_json(indent=1).encode(), SECRET)
        lines += [f"wrote {place}", f"  for device  {short(said.identity)}"]
    return [
        *lines,
        "Hand each on once its person, whom you know, reads you the same fingerprint.",
    ]


def _checked(path: Path) -> Enrolment:
    enrolment = read_enrolment(read_small(path), path.name)
    enrolment.check_keys()
    return enrolment
