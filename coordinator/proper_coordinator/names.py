"""What a federation and a run of it are called in offers."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Names:
    """What a federation and one run of it are called in offers.

    Attributes:
        federation: hash of the first entry of the membership log, 64 hex digits.
        run: 32 hex digits.
    """

    federation: str
    run: str

    @classmethod
    def of(cls, identity: str) -> "Names":
        """Return the names of a federation that lives in one machine alone."""
        digest = hashlib.sha256(identity.encode()).hexdigest()
        return cls(digest, digest[:32])
