"""A device with a budget of its own, in whole rounds under noise."""

from datetime import date

import pytest
from toy_federation import ToySite, outline, population

from proper_client.flower import Participant
from proper_client.guard_record import load_record
from proper_client.guard_rounds import DeviceGate
from proper_client.ledger import Door, Ledger
from proper_client.ledger_entry import Purpose, read_ledger
from proper_client.policy import Policy
from proper_client.vault import Vault
from proper_coordinator.flower import Coordinator
from proper_coordinator.names import Names
from proper_coordinator.plan import Plan, Privacy
from proper_coordinator.store import Store
from proper_shared.privacy.accounting import epsilon_of
from proper_shared.secagg.keys import HeldSigner
from proper_shared.secagg.membership import Log
from proper_simulations.engines import MemoryGrid

NODES, ROUNDS, DEVICE, WANTED = 5, 6, 2, 8.0
SITE = ToySite(NODES)
COORDINATOR = HeldSigner(bytes([9]) * 32)
LOG = Log.found(COORDINATOR, None, date(2025, 1, 1))
for seat in range(NODES):
    LOG = LOG.add(COORDINATOR, SITE.signer(seat).identity, date(2025, 1, 1))


class Nodes:
    """All members but one answer whatever they are asked; that one has a guard."""

    def __init__(self, gate):
        self.others = Participant(SITE)
        self.device = Participant(SITE, gate=gate)

    def answer(self, pairs):
        replies = []
        for message, context in pairs:
            guarded = context.node_config["partition-id"] == DEVICE
            who = self.device if guarded else self.others
            replies += who.answer([(message, context)])
        return replies


def lead(tmp_path, epsilon_total, privacy):
    """Run a federation; return the device's vault, and the coordinator."""
    vault = Vault(tmp_path / "home")
    policy = Policy(
        min_cohort=3, min_vouched=0, only_plugged_in=False, epsilon_total=epsilon_total
    )
    me = SITE.signer(DEVICE).identity
    with Ledger(vault) as ledger:
        gate = DeviceGate(
            vault, Door(ledger, "there:1"), policy, me, LOG.federation, 40
        )
        leading = Coordinator(
            Plan(privacy=privacy, max_failures=99),
            Store(tmp_path / "run", "toy"),
            names=Names(LOG.federation.hex(), "ab" * 16),
            log=LOG.dump(),
            outline=outline(ROUNDS)[:1],
        )
        leading.run(MemoryGrid(Nodes(gate).answer, NODES), [population(ROUNDS)])
    return vault, leading


def refused(vault):
    return [e.name for e in read_ledger(vault) if e.purpose == Purpose.REFUSAL]


def test_device_and_coordinator_count_the_same(tmp_path):
    vault, leading = lead(tmp_path, 8.5, Privacy(epsilon=WANTED))
    assert refused(vault) == []
    assert load_record(vault).spent() == leading.store.ledger().counts(0)
    assert sum(load_record(vault).spent().values()) == ROUNDS


@pytest.mark.parametrize("own", [3.0, 5.0])
def test_a_device_adds_until_its_own_budget_is_spent(tmp_path, own):
    vault, leading = lead(tmp_path, own, Privacy(epsilon=WANTED))
    counts = load_record(vault).spent()
    times = sum(counts.values())
    assert 0 < times < ROUNDS
    assert refused(vault) == ["epsilon-spent"] * (ROUNDS - times)
    assert epsilon_of(counts, 1e-5) <= own
    everything = leading.store.ledger().counts(0)
    assert counts <= everything  # the same events, and some rounds fewer
    once = next(iter(everything - counts))
    assert epsilon_of({**counts, once: counts[once] + 1}, 1e-5) > own
    left = [bool(r.dropped) for r in leading.store.rounds()["population"]]
    assert left == [False] * times + [True] * (ROUNDS - times)


def test_a_device_with_a_budget_refuses_rounds_without_noise(tmp_path):
    vault, leading = lead(tmp_path, 8.5, None)
    assert set(refused(vault)) == {"no-noise"}
    assert load_record(vault).runs == {}
    for round_ in leading.store.rounds()["population"]:
        assert [drop.seat for drop in round_.dropped] == [DEVICE]
