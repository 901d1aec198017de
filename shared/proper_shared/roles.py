"""Who may sign a release, and how many of them: the roles of The Update Framework.

    root        says whose keys count; two of three holders
    targets     says which files the release has; one holder
    snapshot    says which targets file is the newest  } one key pair, on a machine that
    timestamp   says that all this is still so         } is always on

A holder has a pair of keys, Ed25519 and ML-DSA-65, and signs with both. So that the
framework needs no rule of its own for that, each key counts for one and a role needs as
many signatures as two times its holders: one of a kind alone, whoever broke it, never
reaches that.

Covered: a root file that names fewer keys, other kinds of keys, or needs fewer
signatures; that it is the one a person was told about (its fingerprint).
Not covered: that the holders are different people.
"""

import hashlib
from datetime import timedelta

from tuf.api.metadata import Root

from proper_shared.errors import FormatError

ED25519, ML_DSA = "ed25519", "ml-dsa-65/1"  # schemes, as the framework spells them
HOLDERS = {"root": 3, "targets": 1, "snapshot": 1, "timestamp": 1}
NEEDED = {"root": 2, "targets": 1, "snapshot": 1, "timestamp": 1}
METADATA, TARGETS = "metadata", "targets"  # folders of what is published
FIRST_ROOT = "1.root.json"
TIMESTAMP_LIFE = timedelta(days=7)  # it is signed anew before
MAX_ROOT_BYTES = 1 << 17  # six pairs and their signatures take 60 kB


def check_roles(root: Root) -> None:
    """Refuse a root file whose roles could be signed for by less than they should.

    Raises:
        FormatError: a role has other keys or another threshold than is said above.
    """
    for name, holders in HOLDERS.items():
        role = root.roles[name]
        schemes = sorted(root.keys[keyid].scheme for keyid in role.keyids)
        if schemes != sorted([ED25519, ML_DSA] * holders):
            raise FormatError(
                f"the role {name} has keys {', '.join(schemes) or 'none'}, expected "
                f"{holders} of each of {ED25519} and {ML_DSA}"
            )
        if role.threshold != 2 * NEEDED[name]:
            raise FormatError(
                f"the role {name} needs {role.threshold} signatures, "
                f"expected {2 * NEEDED[name]}"
            )


def fingerprint_of(root_file: bytes) -> str:
    """Return what people compare of a root file: its SHA-256, 64 hex digits."""
    return hashlib.sha256(root_file).hexdigest()
