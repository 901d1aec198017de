"""The guard at its post: what it decides is kept and written down before it counts.

Whoever speaks for this device asks `agree` before it answers an offer in any way, and
`before_sending` before it hands out a vector. What is refused stands in the ledger.

Covered: a crash between any two steps; the record is then ahead of what was sent.
Not covered: two processes in one home; the open ledger keeps the second one out.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from proper_client.guard import Guard, Situation
from proper_client.guard_record import Record, load_record, save_record
from proper_client.guard_terms import order_hash
from proper_client.ledger import Door
from proper_client.ledger_entry import NOWHERE, Place, Purpose
from proper_client.vault import Vault
from proper_shared.secagg.checks import Known, Refusal
from proper_shared.terms import Terms


class Watch:
    """Holds what was agreed to, and keeps it on the disk.

    Args:
        guard: decides; it may be replaced when the pinned log has grown.
        vault: where the record lies.
        door: to the coordinator. Its ledger is open, so no other process is at work.

    Raises:
        ConfigError: the record cannot be read.
        FormatError: it is damaged.
    """

    def __init__(self, guard: Guard, vault: Vault, door: Door) -> None:
        self.guard, self._vault, self._door = guard, vault, door
        self._record = load_record(vault)

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

    def before_agreeing(self, terms: Terms) -> None:
        """Remember that the sum of this order may be opened from now on.

        Raises:
            ConfigError: the record cannot be written; nothing must be signed.
        """
        self._keep(self._record.after_signing(order_hash(terms)))

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
