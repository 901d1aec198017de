"""The guard at its post: what it decides is kept and written down before it counts.

Whoever speaks for this device asks `agree` before it answers an offer in any way, and
`before_sending` before it hands out a vector. What is refused stands in the ledger.

Covered: a crash between any two steps; the record is then ahead of what was sent.
Not covered: two processes in one home; the open ledger keeps the second one out.
"""

import hmac
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from proper_client.guard import Guard, Situation
from proper_client.guard_own import take_record
from proper_client.guard_record import Record, save_record
from proper_client.guard_terms import Sum
from proper_client.ledger import Door
from proper_client.ledger_entry import NOWHERE, Place, Purpose
from proper_client.vault import Vault
from proper_shared.privacy.gaussian import keystream
from proper_shared.secagg.checks import Known, Refusal
from proper_shared.terms import Terms
from proper_shared.vectors.rounding import RandomBytes


class Watch:
    """Holds what was agreed to, and keeps it on the disk.

    Args:
        guard: decides; it may be replaced when the pinned log has grown.
        vault: where the record lies.
        door: to the coordinator. Its ledger is open, so no other process is at work.

    Raises:
        ConfigError: the record cannot be read.
        FormatError: it is damaged, of another device, or gone.
    """

    def __init__(self, guard: Guard, vault: Vault, door: Door) -> None:
        self.guard, self._vault, self._door = guard, vault, door
        self._record = take_record(vault, guard.identity)

    @property
    def record(self) -> Record:
        """What was agreed to so far, as it is on the disk."""
        return self._record

    def agree(self, terms: Terms, situation: Situation) -> Known:
        """Agree to a round, or refuse it; returns what the protocol needs to know.

        Raises:
            Refusal: and all is as it was, but for a line in the ledger.
            ConfigError: the record or the ledger cannot be written; nothing is agreed.
        """
        with self.recorded(Place.of(terms.offer, terms.order)):
            self._keep(self.guard.check(terms, self._record, situation))
        return self.guard.known(terms.offer, situation.now)

    def before_sending(self, terms: Terms) -> tuple[Purpose, Place]:
        """Count the vector of the attempt that was agreed to as gone, once.

        Args:
            terms: the one that was agreed to.

        Returns:
            How the bytes that leave now are to be called at the door.

        Raises:
            Refusal: it left before, or the attempt was not agreed to; it must not
                leave.
            ConfigError: the record or the ledger cannot be written; it must not leave.
        """
        place = Place.of(terms.offer, terms.order)
        with self.recorded(place):
            self._keep(self.guard.check_sending(terms, self._record))
        masked = terms.offer.masked
        return (Purpose.MASKED_UPDATE if masked else Purpose.UPDATE), place

    def adding(self, terms: Terms, update: NDArray[np.floating]) -> None:
        """Remember which update goes into a sum, before anything of it leaves.

        Raises:
            Refusal: another one went into this very sum before.
            ConfigError: the record or the ledger cannot be written; nothing must leave.
        """
        if not self.guard.bare:
            return
        sum_, key = Sum.of(terms), self._secret()
        numbers = np.ascontiguousarray(update, "<f4").tobytes()
        mark = _derived(key, "update", sum_.name, numbers).hex()
        with self.recorded(Place.of(terms.offer, terms.order)):
            self._keep(self.guard.check_adding(sum_, mark, self._record))

    def rounding(self, terms: Terms) -> RandomBytes:
        """Return the random bytes by which an update is rounded for a sum.

        The same for the same sum, whenever it is asked for: then it is the same to the
        last bit, and there is no second one from which anything could be read.
        """
        if not self.guard.bare:
            return os.urandom
        return keystream(_derived(self._secret(), "rounding", Sum.of(terms).name))

    def before_agreeing(self, terms: Terms, survivors: Sequence[int]) -> None:
        """Remember which sum of this order may be opened from now on.

        Args:
            terms: of the round.
            survivors: places in the cohort of those who stand in the sum.

        Raises:
            Refusal: another sum of this order may have been opened.
            ConfigError: the record cannot be written; nothing must be signed.
        """
        with self.recorded(Place.of(terms.offer, terms.order)):
            self._keep(self.guard.check_agreeing(terms, survivors, self._record))

    @contextmanager
    def recorded(self, place: Place = NOWHERE) -> Iterator[None]:
        """Write down a refusal that is raised within, and let it pass."""
        try:
            yield
        except Refusal as refusal:
            self._door.refuse(refusal, place)
            raise

    def _keep(self, record: Record) -> None:
        save_record(self._vault, record)
        self._record = record

    def _secret(self) -> bytes:
        """Return what marks and rounding come from; it is drawn once for a home."""
        if self._record.secret is None:
            fresh = {"secret": os.urandom(32).hex()}
            self._keep(self._record.model_copy(update=fresh))
        return bytes.fromhex(self._record.secret or "")


def _derived(secret: bytes, purpose: str, sum_: str, data: bytes = b"") -> bytes:
    label = f"proper/guard/1/{purpose}/{sum_}/".encode()
    return hmac.digest(secret, label + data, "sha256")
