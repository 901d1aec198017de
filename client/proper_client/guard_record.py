"""What this device agreed to so far: what has to outlive a restart to refuse later.

It is on the disk before anything that follows from it is sent, so a crash can only make
the device remember more than it did.

Covered: a crash at any step, a file that was damaged (an error, never a fresh start).
Not covered: a person, or a backup, that puts an older file in its place; whose record
it is, and what it means that there is none: see `guard_own`.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from proper_client.vault import Vault
from proper_shared.errors import FormatError
from proper_shared.offers import Hex16, Hex32, Offer
from proper_shared.privacy.accounting import Spent
from proper_shared.privacy.losses import Loss, losses_of

NAME = "record"
_HINT = (
    "enrol anew from a home of its own: without this file the device cannot know what "
    "it agreed to, and an old copy would let it agree twice"
)


class Run(BaseModel):
    """What this device did in one run.

    Attributes:
        federation: whose run it is.
        serial, attempt: the last round that was agreed to.
        offer: SHA-256 of its offer.
        rounds: how many were agreed to; attempts at one round count once.
        left: whether the vector of the last attempt left.
        vectors: attempts in which a vector left.
        block: the cohort of the first round.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    federation: Hex32
    serial: int = Field(ge=0)
    attempt: int = Field(ge=0)
    offer: Hex32
    rounds: int = Field(ge=0)
    left: bool
    vectors: int = Field(ge=0)
    block: tuple[Hex32, ...] | None


class Signed(BaseModel):
    """Which sum this device agreed to have opened.

    Attributes:
        sum: see `guard_terms.Sum`.
        survivors: hash of who stands in it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sum: Hex32
    survivors: Hex32


class Record(BaseModel):
    """All that this device agreed to.

    Attributes:
        format: of the file.
        identity: of the device, whose record it is; None in one of an older version.
        runs: by the number of the run.
        losses: of privacy, over all runs, rounds that came to nothing included.
        bare: vectors that left without noise.
        signed: orders whose sum this device agreed to have opened while this program
            did not yet write down which sum; see `order_hash`.
        agreed: which sum of an order, or of its norms, by their hash.
        updates: mark of the update that goes into a sum, by the sum's name.
        secret: from which marks and rounding come; None before the first.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal[1] = 1
    identity: Hex32 | None = None
    runs: dict[Hex16, Run] = Field(default_factory=dict)
    losses: tuple[Loss, ...] = ()
    bare: int = Field(default=0, ge=0)
    signed: tuple[Hex32, ...] = ()
    agreed: dict[Hex32, Signed] = Field(default_factory=dict)
    updates: dict[Hex32, Hex32] = Field(default_factory=dict)
    secret: Hex32 | None = Field(default=None, repr=False)

    def spent(self) -> Counter[Spent]:
        """Return how often each event happened."""
        return Counter({loss.spent(): loss.count for loss in self.losses})

    def runs_of(self, federation: str) -> int:
        """Return how many runs of a federation this device entered."""
        return sum(run.federation == federation for run in self.runs.values())

    def after_agreeing(self, offer: Offer) -> "Record":
        """Return the record once a round was agreed to."""
        old = self.runs.get(offer.run)
        again = old is not None and old.serial == offer.serial
        run = Run(
            federation=offer.federation,
            serial=offer.serial,
            attempt=offer.attempt,
            offer=hash_of(offer),
            rounds=(old.rounds if old else 0) + (not again),
            left=False,
            vectors=old.vectors if old else 0,
            block=old.block if old and old.block else offer.cohort,
        )
        return self.model_copy(update={"runs": {**self.runs, offer.run: run}})

    def after_sending(self, offer: Offer, spent: Spent | None) -> "Record":
        """Return the record once the vector of the agreed attempt left.

        Args:
            offer: of a run that is in the record.
            spent: what it costs; None where there is no noise.
        """
        run = self.runs[offer.run]
        run = run.model_copy(update={"left": True, "vectors": run.vectors + 1})
        counts = self.spent()
        if spent is not None:
            counts[spent] += 1
        changes = {
            "runs": {**self.runs, offer.run: run},
            "losses": losses_of(counts),
            "bare": self.bare + (spent is None),
        }
        return self.model_copy(update=changes)

    def after_adding(self, sum_: str, mark: str) -> "Record":
        """Return the record once an update goes into a sum."""
        if self.updates.get(sum_) == mark:
            return self
        return self.model_copy(update={"updates": {**self.updates, sum_: mark}})

    def after_signing(self, parts: Iterable[str], signed: Signed) -> "Record":
        """Return the record once a sum may be opened.

        Args:
            parts: hashes of what it tells; who has signed for one keeps that sum.
            signed: which sum it is.
        """
        agreed = {**dict.fromkeys(parts, signed), **self.agreed}
        return self.model_copy(update={"agreed": agreed})


def hash_of(offer: Offer) -> str:
    """Return SHA-256 of an offer as it is sent, in hexadecimal."""
    return hashlib.sha256(offer.dump()).hexdigest()


def load_record(vault: Vault) -> Record | None:
    """Return what was agreed to so far; None where there is no such file.

    Raises:
        ConfigError: the file cannot be read.
        FormatError: it is damaged.
    """
    try:
        plain = vault.read_record(NAME)
        if plain is None:
            return None
        return Record.model_validate_json(json.dumps(plain))
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"]))[:100]
        raise FormatError(f"{NAME}.json is wrong in {place}", hint=_HINT) from None
    except FormatError as error:
        raise FormatError(str(error), hint=_HINT) from None


def save_record(vault: Vault, record: Record) -> None:
    """Replace what is kept; it is on the disk afterwards.

    Raises:
        ConfigError: it could not be written; the old one is as it was.
    """
    vault.write_record(NAME, record.model_dump(mode="json"))
