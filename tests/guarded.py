"""A whole federation in one process with guarded devices: vault, ledger, guard, masks.

Devices have fixed secrets, so that two federations round alike and can be compared to
the last bit.
"""

import zlib
from datetime import date

import numpy as np

from proper_client.device import GuardedSite
from proper_client.flower import Participant
from proper_client.guard_record import Record, load_record, save_record
from proper_client.guard_rounds import DeviceGate
from proper_client.ledger import Door, Ledger
from proper_client.ledger_entry import read_ledger
from proper_client.memory import VaultKeeper
from proper_client.policy import Policy
from proper_client.vault import Vault
from proper_coordinator.flower import Coordinator
from proper_coordinator.names import Names
from proper_coordinator.plan import Plan
from proper_coordinator.store import Store
from proper_shared.grouping import Grouping, Sizes, phase_of
from proper_shared.history import Entry, User
from proper_shared.method.config import Recipe
from proper_shared.rounds import Schedule
from proper_shared.secagg.keys import HeldSigner
from proper_shared.secagg.membership import Log
from proper_shared.secagg.messages import Phase
from proper_simulations.engines import MemoryGrid

SEATS, SIZES, RUN = 6, Sizes(4, 3, 2), "cd" * 16
SIGNERS = [HeldSigner(bytes([seat + 1]) * 32) for seat in range(SEATS)]
IDENTITIES = {seat: signer.identity.hex() for seat, signer in enumerate(SIGNERS)}
LEADER = HeldSigner(bytes([99]) * 32)
LOG = Log.found(LEADER, None, date(2025, 1, 1))
for signer in SIGNERS:
    LOG = LOG.add(LEADER, signer.identity, date(2025, 1, 1))
POLICY = Policy(min_cohort=6, min_vouched=0, only_plugged_in=False, min_items=1)


def search(rounds):
    """Return a search for groups; its first tenth are moments."""
    recipe = Recipe(learning_rate=1.0, embedding_rate=1.0, steps=4, schedule="constant")
    return Grouping(SIZES, Schedule(rounds=rounds, recipe=recipe), 0, {})


class Learner:
    """Sends numbers that hang on the person and the round alone."""

    base = "0" * 64

    def layout(self, order):
        return SIZES.sums(phase_of(order.round, order.schedule.rounds))

    def train(self, order, members):
        return [self.update(order, member.user.user_id) for member in members]

    def update(self, order, person):
        rng = np.random.default_rng([zlib.crc32(person.encode()), order.round])
        size = self.layout(order).size
        return rng.normal(size=size, scale=0.1).astype(np.float32)


class Person:
    def __init__(self, seat, learner):
        self._user = User(f"user-{seat}", (Entry("0", "t", "x"),))
        self._learner = learner

    def user(self, _):
        return self._user

    def trainer(self):
        return self._learner


class Device:
    """One guarded device; `restart` opens its home anew."""

    def __init__(self, home, seat):
        self.seat, self.vault, self.learner = seat, Vault(home), Learner()
        save_record(self.vault, Record(secret=f"{seat:02x}" * 32))
        self.ledger = None
        self.restart()

    def restart(self):
        if self.ledger is not None:
            self.ledger.close()
        self.ledger, signer = Ledger(self.vault), SIGNERS[self.seat]
        door = Door(self.ledger, "there:1")
        who = signer.identity
        gate = DeviceGate(self.vault, door, POLICY, who, LOG.federation, 40)
        site = GuardedSite(Person(self.seat, self.learner), signer, gate)
        keeper = VaultKeeper(self.vault, LOG.federation.hex())
        self.answer = Participant(site, keeper, gate).answer

    @property
    def record(self):
        return load_record(self.vault)

    @property
    def refusals(self):
        return [e.name for e in read_ledger(self.vault) if e.purpose == "refusal"]


class KilledError(BaseException):
    """The coordinator dies; nothing catches it."""


class Federation:
    """Devices, a coordinator, and what happens between them.

    Attributes:
        at: called with phase, seat and the number of complete rounds before a letter
            is delivered; False loses it.
        rounds: as the coordinator saw them.
    """

    def __init__(self, folder, rounds):
        self.folder, self.wanted = folder, rounds
        self.devices = [Device(folder / str(seat), seat) for seat in range(SEATS)]
        self.at = lambda *_: True
        self.rounds = []

    def run(self, **plan):
        """Run, or resume; return the part as it is at the end."""
        lead = Coordinator(
            Plan(
                cohort_size=30,
                min_nodes=SEATS,
                poll_s=0.001,
                round_timeout_s=0.01,
                phase_timeout_s=0.01,
                **plan,
            ),
            Store(self.folder / "store", "b" * 64),
            self.rounds.append,
            names=Names(LOG.federation.hex(), RUN),
            log=LOG.dump(),
        )
        part = search(self.wanted)
        lead.run(MemoryGrid(self._answer, SEATS), [part])
        return part

    def close(self):
        for device in self.devices:
            device.ledger.close()

    def _answer(self, pairs):
        replies = []
        for message, context in pairs:
            seat = context.node_config["partition-id"]
            if message.metadata.message_type == "train":
                data = message.content.array_records["request"]["bytes"].data
                if not self.at(Phase(data[0]), seat, len(self.rounds)):
                    continue
            replies += self.devices[seat].answer([(message, context)])
        return replies
