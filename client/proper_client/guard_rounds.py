"""The guard in the rounds of this device: before each answer, it is asked.

Covered: what is refused and what leaves stands in the ledger under its own name; the
record of what was agreed to is on the disk first.
Not covered: see `guard`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from flwr.app import Message
from numpy.typing import NDArray

from proper_client.contacts import verified
from proper_client.guard import Acquaintance, Guard, Situation
from proper_client.guard_machine import plugged_in
from proper_client.guard_members import LOG, acquaintances, load_pins, see_log
from proper_client.guard_watch import Watch
from proper_client.ledger import Door
from proper_client.ledger_entry import NOWHERE, Place, Purpose
from proper_client.policy import Policy
from proper_client.vault import Vault
from proper_shared.errors import FormatError, ProtocolError
from proper_shared.offers import Offer
from proper_shared.secagg.checks import Known, Refusal
from proper_shared.secagg.membership import Log
from proper_shared.secagg.messages import Phase, read, read_places
from proper_shared.terms import Terms
from proper_shared.vectors.rounding import RandomBytes

PURPOSES = {
    Phase.JOIN: Purpose.JOIN,
    Phase.SHARE: Purpose.SHARE,
    Phase.AGREE: Purpose.AGREE,
    Phase.OPEN: Purpose.OPEN,
}


@dataclass
class DeviceGate:
    """One device at the door of every round; see `flower.Gate`.

    Attributes:
        vault: where record and pins lie.
        door: to the coordinator, its ledger open.
        policy: the person's.
        identity: of this device, 32 bytes.
        federation: that was joined, 32 bytes.
        items: entries in the history.
        clock: local time, with its zone.
    """

    vault: Vault
    door: Door
    policy: Policy
    identity: bytes
    federation: bytes
    items: int
    clock: Callable[[], datetime] = lambda: datetime.now().astimezone()
    _now: tuple[Purpose, Place] = field(default=(Purpose.ERROR, NOWHERE), init=False)

    def __post_init__(self) -> None:
        self._watch = Watch(self._guard_of({}), self.vault, self.door)
        if (log := self.vault.read_state(LOG)) is not None:
            self._take_in(Log.parse(log))

    def see(self, log: bytes) -> None:
        """Pin the membership log and know its members from now on.

        Raises:
            Refusal: it is none, or does not extend what was seen before.
        """
        seen = see_log(self.vault, self.federation, log, self.clock())
        self.vault.write_state(LOG, seen.dump())
        self._take_in(seen)
        self._now = Purpose.QUERY, NOWHERE

    def _take_in(self, log: Log) -> None:
        """Know the members of a log whose head is pinned."""
        pins = load_pins(self.vault, self.federation)
        if log.head == pins.head:  # a crash may have kept the pin and not the log
            friends = verified(self.vault, self.federation, log.members)
            self._watch.guard = self._guard_of(acquaintances(log, pins, friends))

    def _guard_of(self, members: Mapping[bytes, Acquaintance]) -> Guard:
        return Guard(self.policy, self.identity, self.federation, members)

    def known(self, offer: Offer) -> Known:
        """Return what the protocol of a round needs to know of the others."""
        return self._watch.guard.known(offer, self.clock())

    def admit(self, terms: Terms) -> None:
        """Agree to a round, on the disk, or refuse it.

        Raises:
            Refusal: the device does not take part.
        """
        situation = Situation(self.clock(), plugged_in(), self.items)
        self._watch.agree(terms, situation)

    def adding(self, terms: Terms, update: NDArray[np.floating]) -> None:
        """Remember which update goes into a sum, on the disk.

        Raises:
            Refusal: another one went into this very sum before.
        """
        self._watch.adding(terms, update)

    def rounding(self, terms: Terms) -> RandomBytes:
        """Return the random bytes by which an update is rounded for a sum."""
        return self._watch.rounding(terms)

    def leaving(self, terms: Terms, request: bytes) -> None:
        """Note as what the next answer leaves; a vector leaves once.

        Raises:
            Refusal: it left before; or other members are to stand in a sum that may
                have been opened.
        """
        place = Place.of(terms.offer, terms.order)
        phase = request[0] if request else 0
        if phase == Phase.AGREE:
            self._watch.before_agreeing(terms, _survivors(terms, request))
        if phase in PURPOSES:
            self._now = PURPOSES[Phase(phase)], place
        else:  # the vector, under masks or in clear; or what will be refused
            self._now = self._watch.before_sending(terms)

    def refused(self, error: ProtocolError) -> None:
        """Write a refusal down, once."""
        self._now = Purpose.ERROR, NOWHERE
        if not isinstance(error, Refusal):
            error = Refusal("malformed", str(error))
        self.door.refuse(error)

    def sort(self, _: Message, reply: Message) -> tuple[Purpose, Place]:
        """Return why a reply leaves, and in which round."""
        return (Purpose.ERROR, NOWHERE) if reply.has_error() else self._now


def _survivors(terms: Terms, request: bytes) -> tuple[int, ...]:
    """Return the places of those who are to stand in a sum."""
    try:
        _, _, body = read(request)
        return read_places(body, len(terms.offer.cohort))
    except FormatError as error:
        raise Refusal("malformed", str(error)) from None
