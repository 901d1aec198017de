"""One person's device in a federation: vault, history, trainer and the way out.

Covered: what is sent goes through the ledger; what is learnt stays in the vault.
Not covered: what a coordinator may ask for is for `policy` to say.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from proper_client.enrolment import NODE, Membership, membership_in
from proper_client.flower import Participant
from proper_client.guard_rounds import DeviceGate
from proper_client.ledger import Door, Ledger
from proper_client.memory import VaultKeeper
from proper_client.participation import Participation
from proper_client.policy import load_policy
from proper_client.resident import MIB, Fleet, Seat
from proper_client.site import Learner
from proper_client.vault import Vault
from proper_shared.errors import ConfigError
from proper_shared.history import User, load_history
from proper_shared.method.config import Recipe
from proper_shared.offers import Offer
from proper_shared.secagg.keys import Signer
from proper_shared.summing import Me
from proper_shared.tasks import get_task
from proper_shared.terms import Terms
from proper_shared.vectors.rounding import RandomBytes

if TYPE_CHECKING:
    from proper_client.trainer import Trainer

# How a user LoRA is trained before the router's warm start; see docs/log.md.
PERSONAL = Recipe(learning_rate=4e-3, steps=30, caution=20)
HISTORY = "history"


@dataclass(frozen=True)
class DeviceSite:
    """The one person of a device, and what trains them.

    Attributes:
        membership: of the device.
        history: file of the person's entries.
        backbone: in the place of the invitation's, if it lies elsewhere here.
    """

    membership: Membership
    history: Path
    backbone: str | None = None

    @cached_property
    def person(self) -> User:
        """The person.

        Raises:
            DataError: the history is wrong, or for another task.
        """
        _, person = load_history(self.history, self.membership.invitation.task)
        return person

    def user(self, seat: int) -> User:
        """Return the person, at the one seat of this device."""
        if seat != self.membership.invitation.number:
            raise IndexError(seat)
        return self.person

    def trainer(self) -> "Trainer":
        """Load what trains; it takes seconds, on a busy machine minutes."""
        from proper_client.trainer import Trainer  # noqa: PLC0415  torch is slow
        from proper_shared.backbone import load_backbone  # noqa: PLC0415

        invitation = self.membership.invitation
        return Trainer(
            load_backbone(self.backbone or invitation.backbone),
            get_task(invitation.task),
            invitation.method,
            PERSONAL,
            invitation.seed,
        )


def site_of(vault: Vault, history: Path | None, backbone: str | None) -> DeviceSite:
    """Return the person of a device, whose history is remembered from the last time.

    Raises:
        ConfigError: no history was ever given.
        DataError: this device is in no federation, or the history is wrong.
    """
    membership = membership_in(vault)
    if history is None:
        place = (vault.read_record(HISTORY) or {}).get("file")
        if not isinstance(place, str):
            raise ConfigError(
                "got no history to learn from",
                hint="give it once: proper-client participate --history my.json",
            )
        history = Path(place)
    site = DeviceSite(membership, history.resolve(), backbone)
    site.user(membership.invitation.number)  # a fault in it is said now
    vault.write_record(HISTORY, {"file": str(site.history)})
    return site


class People(Protocol):
    """Who sits at which seat, and what trains them."""

    def user(self, seat: int) -> User:
        """Return the person at a seat."""
        ...

    def trainer(self) -> Learner:
        """Load what trains."""
        ...


@dataclass(frozen=True)
class GuardedSite:
    """The person of a device, behind the device's own identity and guard.

    Attributes:
        people: the person, and what trains.
        identity: of the device.
        gate: what it lets in.
    """

    people: People
    identity: Signer
    gate: DeviceGate

    def user(self, seat: int) -> User:
        """Return the person."""
        return self.people.user(seat)

    def trainer(self) -> Learner:
        """Load what trains."""
        return self.people.trainer()

    def signer(self, seat: int) -> Signer:  # noqa: ARG002  a device has one seat
        """Return the identity of the device."""
        return self.identity

    def me(self, seat: int, offer: Offer) -> Me:  # noqa: ARG002
        """Return the device as it enters a round."""
        known = self.gate.known(offer)
        return Me(self.identity, known.members, known.min_cohort, known.min_vouched)

    def rounding(self, seat: int, terms: Terms) -> RandomBytes:  # noqa: ARG002
        """Return random bytes that are the same for the same sum; see `guard_watch`."""
        return self.gate.rounding(terms)


@dataclass
class Device:
    """Takes part for one person.

    Attributes:
        vault: the private files.
        people: the person, and what trains.
        stop: set it to end.
    """

    vault: Vault
    people: People
    stop: threading.Event = field(default_factory=threading.Event)

    def participate(
        self, *, once: bool = False, tell: Callable[[str], None] = lambda _: None
    ) -> int:
        """Take part until `stop`; return how many requests were answered.

        Nobody hears of this device before all that a round needs is loaded: whoever is
        asked and has still to load it is late, and its round is lost.

        Args:
            once: end when something was answered and nothing more comes.
            tell: told what begins, once no other process is at work in this home.

        Raises:
            ConfigError: the ledger is open elsewhere or cannot be written.
            DataError: this device is in no federation.
            ProperError: the backbone is not there, or another one.
        """
        membership = membership_in(self.vault)
        invitation = membership.invitation
        seat = Seat(
            invitation.address,
            invitation.ca_certificate,
            membership.node_key,
            load_policy(self.vault.home).max_object_mib * MIB,
        )
        keeper = VaultKeeper(self.vault, invitation.federation)
        with Ledger(self.vault) as ledger, Door(ledger, invitation.address) as door:
            gate = self._gate(membership, door)
            site = GuardedSite(self.people, membership.signer, gate)
            participant = Participant(site, keeper, gate)
            tell("loading the backbone ...")
            participant.warm_up()
            tell("taking part; Ctrl-C ends it")
            loop = Participation(
                Fleet(seat, door, self._node_id()),
                door,
                participant.answer,
                invitation.number,
                self.stop,
                gate.sort,
            )
            return loop.run(once=once, arrived=self._note)

    def _gate(self, membership: Membership, door: Door) -> DeviceGate:
        return DeviceGate(
            self.vault,
            door,
            load_policy(self.vault.home),
            membership.signer.identity,
            bytes.fromhex(membership.invitation.federation),
            len(self.people.user(membership.invitation.number).profile),
        )

    def _node_id(self) -> int:
        """Return Flower's number of this device, if it was there before."""
        found = (self.vault.read_record(NODE) or {}).get("id")
        return found if isinstance(found, int) else 0

    def _note(self, node_id: int) -> None:
        self.vault.write_record(NODE, {"id": node_id})
