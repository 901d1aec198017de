"""Masked sums are plain sums, bit for bit, whoever is lost and whenever."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_round import Drops, network_of, round_of, signer_of

from proper_shared.errors import FormatError, ProtocolError
from proper_shared.secagg.checks import Refusal
from proper_shared.secagg.collector import Collector
from proper_shared.secagg.keys import memoising
from proper_shared.secagg.member import Member
from proper_shared.secagg.messages import Phase
from proper_shared.secagg.quorum import Quorum

SLOW = pytest.mark.slow
MEMO = memoising()  # one for all schedules: toy members are the same in each


def test_a_standard_suite_comes_to_the_plain_sum():
    network = network_of(10, length=1000)
    found = network.run().result()
    assert (found.total == network.sum_of(range(10))).all()
    assert (found.seats, found.lost, found.refused) == (tuple(range(10)), {}, {})


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize(
    "n",
    [3, 4, 5, 7, 10, 31, pytest.param(100, marks=SLOW), pytest.param(200, marks=SLOW)],
)
def test_a_masked_sum_is_the_plain_sum_bit_for_bit(n, bits):
    network = network_of(n, length=257, ring_bits=bits, suite=memoising())
    spare = list(range(Quorum(n).lost))
    losses = {phase: spare[i::5] for i, phase in enumerate(Phase)}
    found = network.run(losses).result()
    gone = {seat for phase in list(Phase)[:3] for seat in losses[phase]}
    assert set(found.seats) == set(range(n)) - gone
    assert (found.total == network.sum_of(found.seats)).all()


def schedule_of(data, n):
    """Draw who is lost in which phase; returns it with the number of all lost."""
    gone = data.draw(st.sets(st.integers(0, n - 1), max_size=Quorum(n).lost))
    phases = {seat: data.draw(st.sampled_from(Phase)) for seat in sorted(gone)}
    return {p: [s for s in phases if phases[s] is p] for p in Phase}, phases


@settings(max_examples=1500, deadline=None)
@given(st.data(), st.integers(3, 7), st.sampled_from([16, 24]))
def test_whoever_is_lost_whenever_the_rest_is_added(data, n, bits):
    losses, phases = schedule_of(data, n)
    network = network_of(n, length=3, ring_bits=bits, suite=MEMO)
    found = network.run(losses).result()
    before = {seat for seat, phase in phases.items() if phase <= Phase.MASK}
    assert set(found.seats) == set(range(n)) - before
    assert (found.total == network.sum_of(found.seats)).all()
    assert found.lost == {seat: phase.title for seat, phase in phases.items()}
    assert found.refused == {}


@settings(max_examples=400, deadline=None)
@given(st.data(), st.integers(3, 7))
def test_beyond_the_quorum_there_is_no_sum_and_the_phase_is_named(data, n):
    phase = data.draw(st.sampled_from(list(Phase)[:4]))
    losses, phases = schedule_of(data, n)
    early = {p: [s for s in losses[p] if p < phase] for p in Phase}
    left = sorted(set(range(n)) - {s for s in phases if phases[s] < phase})
    too_many = len(left) - Quorum(n).size + 1
    early[phase] = data.draw(st.permutations(left))[:too_many]
    collector = network_of(n, length=3, suite=MEMO).run(early)
    with pytest.raises(
        ProtocolError,
        match=f"got {Quorum(n).size - 1} sound answers in the phase {phase.title}",
    ):
        collector.result()
    assert not collector.requests()


@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(3, 7))
def test_who_was_lost_and_returns_is_neither_asked_nor_heard(data, n):
    losses, phases = schedule_of(data, n)
    network = network_of(n, length=3, suite=MEMO)
    collector = network.collector
    lost, late = set(), {}
    for phase in Phase:
        requests = collector.requests()
        assert not lost & requests.keys()
        answers = {s: network.members[s].answer(r) for s, r in requests.items()}
        now = {s: answers.pop(s) for s in losses[phase]}
        collector.receive(answers | {s: a for s, a in late.items() if s in lost})
        lost |= now.keys()
        late |= now
    found = collector.result()
    assert (found.total == network.sum_of(found.seats)).all()
    assert found.lost == {seat: phase.title for seat, phase in phases.items()}
    assert all("without being asked" in reason for reason in found.refused.values())


def test_the_last_phase_needs_no_more_than_the_threshold():
    network = network_of(10)
    found = network.run({Phase.OPEN: range(5)}).result()
    assert (found.total == network.sum_of(range(10))).all()
    with pytest.raises(ProtocolError, match="got 4 sound answers in the phase open"):
        network_of(10).run({Phase.OPEN: range(6)}).result()


def test_seats_are_whatever_the_engine_calls_them():
    network = network_of(4)
    seats = [70, 30, 50, 10]  # by place
    roster = dict(zip(seats, network.known.cohort, strict=True))
    collector = Collector(network.round_id, roster)
    for phase in Phase:
        requests = collector.requests()
        assert set(requests) == set(seats) - ({30} if phase > Phase.MASK else set())
        members = {s: network.members[seats.index(s)] for s in requests}
        answers = {s: members[s].answer(requests[s]) for s in members}
        if phase is Phase.MASK:
            del answers[30]
        collector.receive(answers)
    found = collector.result()
    assert (found.seats, found.lost) == ((10, 50, 70), {30: "mask"})
    assert (found.total == network.sum_of([0, 2, 3])).all()


@pytest.mark.parametrize("phase", Phase, ids=lambda phase: phase.title)
def test_a_phase_is_answered_once_and_in_its_turn(phase):
    network = network_of(4)
    collector = network.collector
    for _ in range(phase):
        network.step(collector)
    member, due = network.members[0], network.members[0].due
    for earlier, requests in network.asked.items():
        with pytest.raises(Refusal, match=f"got the phase {earlier.title}") as caught:
            member.answer(requests[0])
        assert caught.value.name == "out-of-order"
    assert member.due is due
    while network.step(collector):
        pass
    found = collector.result()
    assert (found.total == network.sum_of(range(4))).all()  # nothing was disturbed


def test_an_early_request_is_refused_too():
    network = network_of(4)
    network.run()
    fresh = network_of(4).members[0]
    for phase, requests in network.asked.items():
        if phase is not Phase.JOIN:
            with pytest.raises(Refusal, match="expected join"):
                fresh.answer(requests[0])


@pytest.mark.parametrize("phase", Phase, ids=lambda phase: phase.title)
def test_a_malformed_request_is_refused_and_changes_nothing(phase):
    network = network_of(4)
    collector = network.collector
    for _ in range(phase - 1):
        network.step(collector)
    request, member = collector.requests()[0], network.members[0]
    before = member.snapshot()
    for wrong in (b"", request[:20], request + b"x", b"\x09" + request[1:]):
        with pytest.raises(Refusal) as caught:
            member.answer(wrong)
        assert caught.value.name == "malformed"
    assert member.snapshot() == before
    member.answer(request)


def test_nothing_is_left_after_the_last_answer_or_an_abort():
    network, aborted = network_of(4), network_of(4).members[0]
    network.run()
    aborted.abort()
    for member in (network.members[0], aborted):
        assert member.due is None
        assert len(member.snapshot()) == 32  # the public context alone
        with pytest.raises(Refusal, match="this session is over"):
            member.answer(network.asked[Phase.JOIN][0])


def test_a_vector_is_copied_and_no_longer_held_once_it_was_sent():
    network = network_of(4)
    collector, kept = network.collector, network.vectors[0].copy()
    network.step(collector)
    network.vectors[0][:] = 0
    spelt = network.round_id.ring.to_bytes(kept)
    assert spelt in network.members[0].snapshot()
    network.step(collector)
    network.step(collector)
    assert spelt not in network.members[0].snapshot()


def carried(network, place):
    """Return the member at a place, through a snapshot."""
    return Member.restore(
        network.signers[place],
        network.round_id,
        network.known,
        network.members[place].snapshot(),
        Drops("again", place),
    )


@pytest.mark.parametrize("bits", [16, 24])
def test_a_session_survives_a_snapshot_in_every_phase(bits):
    network = network_of(5, ring_bits=bits)
    collector = network.collector
    for phase in Phase:
        network.members = [carried(network, place) for place in range(5)]
        network.step(collector, silent=[2] if phase is Phase.MASK else [])
    found = collector.result()
    assert (found.total == network.sum_of([0, 1, 3, 4])).all()


def test_snapshots_of_other_rounds_and_broken_ones_are_refused():
    network, other = network_of(4), network_of(4, serial=9)
    args = network.signers[0], network.round_id, network.known
    whole = network.members[0].snapshot()
    for wrong in (
        other.members[0].snapshot(),
        whole[:-1],
        whole[:40],
        whole + b"x",
        b"",
    ):
        with pytest.raises(FormatError, match="snapshot"):
            Member.restore(*args, wrong, Drops())


@pytest.mark.parametrize("phase", list(Phase), ids=lambda phase: phase.title)
@pytest.mark.parametrize("harm", ["cut", "longer", "empty", "another phase", "noise"])
def test_a_broken_answer_costs_its_sender_the_round_alone(phase, harm):
    def forge(at, seat, answer):
        if (at, seat) != (phase, 1):
            return answer
        return {
            "cut": answer[:-1],
            "longer": answer + b"x",
            "empty": b"",
            "another phase": bytes([at % 5 + 1]) + answer[1:],
            "noise": answer[:33] + Drops("noise")(len(answer) - 33),
        }[harm]

    network = network_of(7)
    collector = network.run(forge=forge)
    if (phase, harm) == (Phase.MASK, "noise"):
        return  # under masks a lie about one's own vector cannot be seen
    if (phase, harm) == (Phase.SHARE, "noise"):
        with pytest.raises(ProtocolError, match="no sum without seat 1: got 1 shares"):
            collector.result()
        return  # nor can sealed shares before it is too late; but who, is known
    found = collector.result()
    assert found.refused.keys() == {1}
    assert found.refused[1].startswith(phase.title)
    assert (found.total == network.sum_of(found.seats)).all()


def test_collectors_need_a_quorum_of_distinct_identities_and_their_turn():
    cohort = {seat: signer_of(seat).identity for seat in range(3)}
    with pytest.raises(ProtocolError, match="expected 3 to 1000"):
        Collector(round_of(), {0: cohort[0], 1: cohort[1]})
    with pytest.raises(ProtocolError, match="an identity in two seats"):
        Collector(round_of(), cohort | {3: cohort[0]})
    collector = Collector(round_of(), cohort)
    with pytest.raises(ProtocolError, match="no sum yet"):
        collector.result()
    with pytest.raises(ProtocolError, match="look at the requests"):
        collector.receive({})


def test_vectors_that_are_not_of_the_round_are_refused():
    network = network_of(4, length=5, ring_bits=24)
    args = network.signers[0], network.round_id, network.known
    vector = network.vectors[0]
    for wrong in (vector[:4], vector.astype("u2"), vector | 1 << 24, vector[None]):
        with pytest.raises(FormatError):
            Member(*args, wrong, Drops())
