"""What a round costs a device: the vector and the signature that leave, no more."""

from datetime import date

import pytest
import toy_federation as toy
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from proper_client.flower import Participant
from proper_client.guard_record import load_record
from proper_client.guard_rounds import DeviceGate
from proper_client.ledger import Door, Ledger
from proper_client.policy import Policy
from proper_client.vault import Vault
from proper_shared.errors import ConfigError
from proper_shared.offers import Offer
from proper_shared.orders import header_of
from proper_shared.secagg.keys import HeldSigner
from proper_shared.secagg.membership import Log
from proper_shared.secagg.messages import Phase
from proper_shared.summing import collect
from proper_shared.terms import Terms
from proper_simulations.crowd import Crowd

NODES, RUN = 5, "ab" * 16
COORDINATOR = HeldSigner(bytes([9]) * 32)
POLICY = Policy(min_cohort=NODES, min_vouched=0, min_items=1, only_plugged_in=False)


@pytest.fixture(autouse=True)
def _sender():
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1


def raw(data):
    return ArrayRecord({"bytes": Array("uint8", (len(data),), "proper.bytes", data)})


class Round:
    """A masked round of five, of whom the first has a guard; letters go by hand."""

    def __init__(self, vault, door):
        crowd = Crowd(NODES, 0)
        names = [crowd.signer(seat).identity for seat in range(NODES)]
        log = Log.found(COORDINATOR, None, date(2025, 1, 1))
        for name in names:
            log = log.add(COORDINATOR, name, date(2025, 1, 1))
        gate = DeviceGate(vault, door, POLICY, names[0], log.federation, 40)
        gate.see(log.dump())
        site = toy.ToySite(NODES)
        self.people = [Participant(site, gate=gate), *[Participant(site)] * 4]
        part = toy.population()
        order = part.order(0)
        offer = Offer(
            federation=log.federation.hex(),
            base="0" * 64,
            run=RUN,
            serial=0,
            attempt=0,
            cohort=tuple(sorted(name.hex() for name in names)),
            masked=True,
            ring_bits=16,
            bounds=dict.fromkeys(("update", "loss", "norms"), 1e3),
            noise=None,
        )
        self.opening = {
            "offer": ConfigRecord({"json": offer.dump()}),
            "order": ConfigRecord(header_of(order)),
            "parameters": ArrayRecord({"vector": Array(order.parameters)}),
        }
        ids = {seat: name.hex() for seat, name in enumerate(names)}
        self.collector = collect(Terms(offer, order, part.layout(0)), ids)
        self.nodes = [
            Context(1, seat, {"partition-id": seat}, RecordDict(), {})
            for seat in range(NODES)
        ]

    def send(self, seat, request):
        numbers = ConfigRecord({"serial": 0, "attempt": 0})
        opening = self.opening if request[0] == Phase.JOIN else {}
        content = {**opening, "round": numbers, "request": raw(request)}
        message = Message(RecordDict(content), 7, "train")
        message.metadata.__dict__["_message_id"] = "m"
        return self.people[seat].answer([(message, self.nodes[seat])])[0]

    def play_until(self, phase):
        """Play all phases before that one; return what it asks the first member."""
        while (requests := self.collector.requests())[0][0] != phase:
            answers = {
                seat: self.send(seat, request).content["answer"]["bytes"].data
                for seat, request in requests.items()
            }
            self.collector.receive(answers)
        return requests[0]


@pytest.fixture
def vault(tmp_path):
    return Vault(tmp_path / "home")


@pytest.fixture
def played(vault):
    with Ledger(vault) as ledger:
        yield Round(vault, Door(ledger, "there:1"))


def charged(vault):
    record = load_record(vault)
    return record.runs[RUN].vectors, record.bare, len(record.agreed)


# The sum tells norms too, so agreeing to it is agreeing to the sum and to the norms.
COSTS = {Phase.MASK: ((0, 0, 0), (1, 1, 0)), Phase.AGREE: ((1, 1, 0), (1, 1, 2))}


@pytest.mark.parametrize("phase", COSTS)
def test_an_answer_is_charged_before_it_leaves(vault, played, phase):
    request = played.play_until(phase)
    before, after = COSTS[phase]
    assert charged(vault) == before
    assert not played.send(0, request).has_error()
    assert charged(vault) == after


@pytest.mark.parametrize("phase", COSTS)
def test_a_request_that_nobody_can_answer_costs_nothing(vault, played, phase):
    request = played.play_until(phase)
    before, _ = COSTS[phase]
    assert played.send(0, request[:33] + b"nonsense").has_error()
    assert charged(vault) == before
    assert played.send(0, request).has_error()  # the session is over
    assert charged(vault) == before


@pytest.mark.parametrize("phase", COSTS)
def test_an_answer_that_cannot_be_charged_does_not_leave(
    vault, played, phase, monkeypatch
):
    request = played.play_until(phase)
    before = charged(vault)

    def full(*_):
        raise ConfigError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(vault, "write_record", full)
        with pytest.raises(ConfigError, match="full"):
            played.send(0, request)
    assert charged(vault) == before
    assert played.send(0, request).has_error()  # its secrets are gone
