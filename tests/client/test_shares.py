"""The shares of S that devices keep, against the S of a coordinator that loses some."""

import numpy as np
import pytest
from toy_federation import GROUP, ToySite, ToyTrainer, parts

from proper_client.flower import Participant
from proper_client.memory import VaultKeeper
from proper_client.shares import constraint_of, keep_share
from proper_client.vault import Vault
from proper_coordinator.flower import Coordinator
from proper_coordinator.plan import Plan
from proper_coordinator.store import Store
from proper_shared.secagg.messages import Phase
from proper_simulations.engines import MemoryGrid
from proper_simulations.members import FolderKeeper

NODES, COHORT, ROUNDS = 10, 5, 8  # a quorum of 5 is 4: one may be lost in a round
FAILING = 15  # serial of a sum of the group part for which all letters are lost


class Sharing(ToyTrainer):
    """The toy, whose members keep their share as the real trainer lets them."""

    def _train(self, order, member):
        update = super()._train(order, member)
        if order.stage != "group":
            return update
        received = GROUP.outgoing().unpack(order.parameters)
        constraint_of(order, received, [member])
        angle = int(member.user.user_id.removeprefix("user-")) + 0.1 * order.round
        direction = np.array([[np.cos(angle), np.sin(angle)]])  # as long as real ones
        keep_share(order, member.state, direction)
        layout = self.layout(order)
        return layout.pack({**layout.unpack(update), "direction": direction})


class Lossy(MemoryGrid):
    """In each third sum a seat's letter of one phase is lost, in one sum everybody's.

    Args:
        participants: processes that take turns.
        phase: which one.
    """

    def __init__(self, participants, phase):
        super().__init__(self.pass_on, NODES)
        self.participants, self.phase, self.turns = participants, phase, 0

    def pass_on(self, pairs):
        self.turns += 1
        lost = self.lost_of(pairs)
        heard = [pair for place, pair in enumerate(pairs) if place not in lost]
        return self.participants[self.turns % len(self.participants)].answer(heard)

    def lost_of(self, pairs):
        message, _ = pairs[0]
        if message.metadata.message_type != "train":
            return ()
        serial = message.content["round"]["serial"]
        if message.content["request"]["bytes"].data[0] != self.phase:
            return ()
        if serial == FAILING:
            return range(len(pairs))
        return (serial % len(pairs),) if serial % 3 == 1 else ()


def processes(kind, folder):
    """Return those who answer, as the engines and a device have them."""
    if kind == "vault":
        return [Participant(site(), VaultKeeper(Vault(folder), "a" * 64))]
    keeper = FolderKeeper(folder)
    if kind == "memory":
        return [Participant(site(), keeper)]
    return [Participant(site(), keeper, portable=True) for _ in range(3)]


def site():
    made = ToySite(NODES)
    made.trainer = Sharing
    return made


@pytest.mark.parametrize("phase", [Phase.SHARE, Phase.MASK])
@pytest.mark.parametrize("kind", ["memory", "ray", "vault"])
def test_shares_add_up_to_the_sum_though_members_are_lost(tmp_path, kind, phase):
    grid = Lossy(processes(kind, tmp_path / "members"), phase)
    store, made = Store(tmp_path / "store", "shares"), []
    # Nobody is late in one process; who does not answer at once is lost.
    waits = {"phase_timeout_s": 0.05, "poll_s": 0.01}
    plan = Plan(cohort_size=COHORT, seed=1, min_nodes=NODES, **waits)
    Coordinator(plan, store).run(grid, kept(parts(ROUNDS), made))
    group, rounds = made[-1], store.rounds()["group"]
    assert sum(done.failed is not None for done in rounds) == 1
    assert sum(len(done.dropped) for done in rounds) >= 2
    assert rounds[1].dropped  # also after a probe, which had moved nobody
    keeper = processes(kind, tmp_path / "members")[0]._keeper
    total, count = np.zeros_like(group.extra["S"], np.float64), 0.0
    for seat in range(NODES):
        state = keeper.load(seat).after
        missed = group.extra["S.folds"][0] - state["own.folds"][0]
        fade = (1 - group.schedule.damping) ** float(missed)
        total += fade * state["own"]
        count += fade * float(state["own.count"][0])
    np.testing.assert_allclose(count, group.extra["S.count"][0], rtol=1e-4)
    error = np.linalg.norm(total - group.extra["S"])  # of the rounding of all rounds
    assert error < 0.02 * count


def kept(source, made):
    for part in source:
        made.append(part)
        yield part
