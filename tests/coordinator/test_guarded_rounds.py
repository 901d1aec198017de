"""What becomes of a federation of guarded devices when a signed sum is lost."""

import numpy as np
import pytest
from flwr.app import ArrayRecord, Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity
from guarded import IDENTITIES, LOG, RUN, SEATS, Federation, KilledError, search

from proper_client.guard import Guard
from proper_coordinator.line import letter, raw
from proper_shared.errors import ProtocolError
from proper_shared.offers import Offer
from proper_shared.secagg.messages import Phase
from proper_shared.summing import collect
from proper_shared.terms import Terms
from proper_shared.vectors.bounds import NORMS, log_norms
from proper_shared.vectors.encoding import ring_for

ROUNDS, AT = 6, 3  # a round of moments, five of the mixture


@pytest.fixture
def federation(tmp_path):
    made = Federation(tmp_path / "here", ROUNDS)
    yield made
    made.close()


@pytest.fixture
def undisturbed(tmp_path):
    twin = Federation(tmp_path / "twin", ROUNDS)
    yield twin.run().state()
    twin.close()


def same(part, state):
    return all(np.array_equal(state[name], a) for name, a in part.state().items())


def lose(phase, rounds, times, then=lambda: None):
    """Lose all letters of a phase in some rounds, so many times over."""
    lost = []

    def at(got, seat, done):
        if got is phase and done in rounds and len(lost) < times * SEATS:
            lost.append(seat)
            if len(lost) == times * SEATS:
                then()
            return False
        return True

    return at


@pytest.mark.parametrize("number", [0, AT])
@pytest.mark.parametrize("restart", [False, True])
def test_a_coordinator_killed_while_a_sum_is_opened_gets_the_very_same_sum(
    federation, undisturbed, number, restart
):
    def kill(phase, _, done):
        if phase is Phase.OPEN and done == number:
            raise KilledError
        return True

    federation.at = kill
    with pytest.raises(KilledError):
        federation.run()
    federation.at = lambda *_: True
    if restart:
        for device in federation.devices:
            device.restart()
    part = federation.run()
    assert [p.outcome.failed for p in federation.rounds] == [None] * ROUNDS
    assert [p.outcome.count for p in federation.rounds] == [SEATS] * ROUNDS
    assert same(part, undisturbed)
    assert not any(device.refusals for device in federation.devices)


def test_an_attempt_after_a_signed_one_has_the_very_same_sum(federation, undisturbed):
    federation.at = lose(Phase.OPEN, {AT}, 1)
    part = federation.run()
    assert all(p.outcome.count == SEATS for p in federation.rounds)
    assert same(part, undisturbed)


def test_a_round_outlives_a_kill_after_its_probe_though_somebody_comes(federation):
    opened = []

    def at(phase, seat, _):
        if opened and phase is not Phase.OPEN:
            raise KilledError
        if phase is Phase.OPEN:
            opened.append(seat)
        return seat != SEATS - 1

    federation.at = at
    with pytest.raises(KilledError):
        federation.run()
    federation.at = lambda *_: True
    federation.run()
    counts = [p.outcome.count for p in federation.rounds]
    assert counts == [SEATS] * ROUNDS
    assert not any(device.refusals for device in federation.devices)


def test_a_device_whose_history_changed_stays_out_of_a_sum_that_comes_again(federation):
    def change():
        learner = federation.devices[2].learner
        honest = learner.update
        learner.update = lambda order, person: honest(order, person) + 1
        federation.devices[2].restart()

    federation.at = lose(Phase.OPEN, {AT}, 1, change)
    federation.run()
    counts = [p.outcome.count for p in federation.rounds]
    assert counts == [6, 6, 6, 0, 6, 6]  # the others do not sign without it
    assert federation.devices[2].refusals == ["other-update"]
    assert federation.devices[0].refusals == ["same-order"]


def test_the_mixture_goes_on_without_a_member_that_signed_and_is_gone_for_good(
    federation,
):
    def at(phase, seat, done):
        if (done, phase) == (AT, Phase.OPEN):
            gone.append(5)
            return False
        return not gone or seat != 5

    gone = []
    federation.at = at
    part = federation.run()
    counts = [p.outcome.count for p in federation.rounds]
    assert counts == [6, 6, 6, 0, 5, 5]
    assert all(np.isfinite(array).all() for array in part.state().values())
    for device in federation.devices[:5]:
        assert device.refusals == ["same-order"]


def test_moments_wait_for_a_member_that_signed_and_the_error_says_so(
    federation, undisturbed
):
    gone = []

    def at(phase, seat, _):
        if phase is Phase.OPEN:
            gone.append(5)
        return not (gone and (seat == 5 or phase is Phase.OPEN))

    federation.at = at
    with pytest.raises(ProtocolError, match="agrees again for the same") as caught:
        federation.run()
    assert "gone for good" in caught.value.hint
    assert [p.outcome.count for p in federation.rounds] == [0] * 3
    federation.at = lambda *_: True  # it is back
    part = federation.run()
    assert [p.outcome.count for p in federation.rounds] == [0] * 3 + [6] * 3
    first = search(ROUNDS).state()
    assert not np.array_equal(part.state()["second_x"], first["second_x"])
    assert np.array_equal(part.state()["second_x"], undisturbed["second_x"])


# A coordinator that asks for the norms of one order twice


def sum_of(federation, terms, without=()):
    """Play the phases of one sum, as whoever holds the coordinator's keys may."""
    collector = collect(terms, IDENTITIES)
    order = terms.order
    while requests := collector.requests():
        answers = {}
        for seat, request in requests.items():
            asked = letter(terms.offer, request, order)
            reply = tell(federation, seat, "train", asked)
            if seat not in without and not reply.has_error():
                answers[seat] = reply.content.array_records["answer"]["bytes"].data
        collector.receive(answers)
        order = None
    return collector.result()


def tell(federation, seat, kind, content):
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
    message = Message(RecordDict(content), seat + 1, kind)
    message.metadata.__dict__["_message_id"] = "1"
    node = Context(1, seat + 1, {"partition-id": seat}, RecordDict(), {})
    return federation.devices[seat].answer([(message, node)])[0]


def offered(serial, bounds):
    part = search(ROUNDS)
    order, layout = part.order(0), part.layout(0)
    offer = Offer(
        federation=LOG.federation.hex(),
        base="0" * 64,
        run=RUN,
        serial=serial,
        attempt=0,
        cohort=tuple(sorted(IDENTITIES.values())),
        masked=True,
        ring_bits=ring_for(SEATS, layout.size).bits,
        bounds=bounds,
        noise=None,
    )
    return Terms(offer, order, layout)


def norms_of_one(federation, serial):
    """Return what two sums of norms tell of the member that is in one of them."""
    for seat in range(SEATS):
        shown = {"log": ArrayRecord({"bytes": raw(LOG.dump())})}
        tell(federation, seat, "query", shown)
    probe = offered(serial, {})
    before = sum_of(federation, probe)
    beside = offered(serial + 1, probe.next_bounds(before))
    after = sum_of(federation, beside, without={3})
    first, second = (
        terms.sent.unpack(found.total)[NORMS].ravel()
        for terms, found in ((probe, before), (beside, after))
    )
    return first - second


def test_no_two_sums_tell_the_norms_of_one_order(federation, monkeypatch):
    with pytest.raises(ProtocolError, match="got 0 sound answers in the phase join"):
        norms_of_one(federation, 1)
    for device in federation.devices:
        assert device.refusals == ["same-norms"]
    monkeypatch.setattr(Guard, "_new_order", lambda *_: None)
    monkeypatch.setattr(Guard, "check_agreeing", lambda *args: args[-1])
    for device in federation.devices:
        device.restart()
    found = norms_of_one(federation, 3)
    device = federation.devices[3]
    terms = offered(1, {})
    own = log_norms(device.learner.update(terms.order, "user-3"), terms.layout).ravel()
    assert np.abs(found[:4] - own[:4]).max() < 0.1
