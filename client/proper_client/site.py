"""What a participant needs of the process that it runs in: people, identities, a guard.

A device has one person, its own identity and a guard; a simulation has many people, and
nobody at risk.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from proper_client.member import Member
from proper_shared.errors import ProtocolError
from proper_shared.history import User
from proper_shared.offers import Offer
from proper_shared.packing import Layout
from proper_shared.rounds import Order
from proper_shared.secagg.keys import Signer
from proper_shared.summing import Me
from proper_shared.terms import Terms
from proper_shared.vectors.rounding import RandomBytes

Update = NDArray[np.float32]


class Learner(Protocol):
    """What trains members, one update for each; see `trainer.Trainer`."""

    @property
    def base(self) -> str:
        """What is adapted and how; see `offers.base_hash`."""
        ...

    def layout(self, order: Order) -> Layout:
        """Return what lies where in an update for this order."""
        ...

    def train(self, order: Order, members: Sequence[Member]) -> Sequence[Update]:
        """Return one update (Q,) for each member, and replace the members' states."""
        ...


class Site(Protocol):
    """What a process needs to speak for its nodes; a simulation may pickle it."""

    def user(self, seat: int) -> User:
        """Return the person at this seat.

        Raises:
            IndexError: there is no such seat.
        """
        ...

    def signer(self, seat: int) -> Signer:
        """Return the identity of the person at this seat."""
        ...

    def me(self, seat: int, offer: Offer) -> Me:
        """Return the person at this seat as they enter a round."""
        ...

    def rounding(self, seat: int, terms: Terms) -> RandomBytes:
        """Return the random bytes by which this seat rounds for a sum."""
        ...

    def trainer(self) -> Learner:
        """Load what trains; called once in each process, and only when needed."""
        ...


class Gate(Protocol):
    """Decides what one device takes part in; see `guard_rounds`."""

    def see(self, log: bytes) -> None:
        """Look at the membership log that the coordinator shows.

        Raises:
            ProtocolError: it is none, or does not extend what was seen before.
        """
        ...

    def admit(self, terms: Terms) -> None:
        """Agree to a round, on the disk, before anything is answered.

        Raises:
            ProtocolError: the device does not take part.
        """
        ...

    def adding(self, terms: Terms, update: Update) -> None:
        """Note which update goes into a sum, before anything of it leaves.

        Raises:
            ProtocolError: another one went into this very sum before.
        """
        ...

    def leaving(self, terms: Terms, request: bytes) -> None:
        """Note what the answer to this request is: it was made, and leaves next.

        Raises:
            ProtocolError: it must not leave.
        """
        ...

    def refused(self, error: ProtocolError) -> None:
        """Write down that something was refused."""
        ...
