"""Who is here, who sits where, and when a round begins."""

import threading

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.proto.node_pb2 import NodeInfo
from toy_federation import ToySite, population

from proper_client.flower import Participant
from proper_client.policy import Policy
from proper_coordinator.attendance import Attendance, Seated
from proper_coordinator.flower import MIN_COHORT, Coordinator
from proper_coordinator.line import Line, StoppedError
from proper_coordinator.plan import Plan
from proper_coordinator.store import Store
from proper_shared.errors import ConfigError, ProtocolError
from proper_simulations.engines import MemoryGrid

NODES = 6
SITE = ToySite(NODES)
SEATS = {s: Seated(SITE.signer(s).identity.hex(), f"key {s}") for s in range(NODES)}
TIMES = {"join_timeout_s": 0.05, "phase_timeout_s": 0.05, "poll_s": 0.001}


class Keyed(MemoryGrid):
    """Nodes of which the grid knows the keys, and some are not here."""

    def __init__(self, answer, away=(), keys=None):
        super().__init__(answer, NODES)
        self.away = set(away)
        self.keys = keys or {seat + 1: f"key {seat}" for seat in range(NODES)}

    def get_nodes(self):
        here = [n for n in super().get_node_ids() if n - 1 not in self.away]
        return [NodeInfo(node_id=n, public_key=self.keys[n].encode()) for n in here]


def answers():
    return Participant(SITE).answer


def there(grid, seats=SEATS, said=None, **plan):
    line = Line(grid, 0.001, threading.Event())
    say = [].append if said is None else said.append
    return Attendance(line, Plan(**TIMES | plan), seats=seats, say=say)


def seated(here, block=range(NODES)):
    return {s: n.number for s, n in here.members(tuple(block)).items()}


def without(*gone):
    return {
        s: Seated(who.identity, None if s in gone else who.node_key)
        for s, who in SEATS.items()
    }


def test_nodes_are_waited_for_and_given_up_in_time():
    grid, said = MemoryGrid(answers(), 2), []
    here = there(grid, None, said, min_nodes=3)
    with pytest.raises(ProtocolError, match=r"2 nodes came .* expected 3"):
        here.gather()
    assert said == ["2 of 3 clients are here, waiting for more"]


def test_a_stop_ends_the_waiting():
    stop = threading.Event()
    stop.set()
    line = Line(MemoryGrid(lambda _: [], 2), 60, stop)
    with pytest.raises(StoppedError):
        Attendance(line, Plan(min_nodes=3)).gather()


def as_member(liar, seat):
    """Return nodes of which one says that it is at another's seat."""
    honest = answers()

    def answer(pairs):
        replies = []
        for pair in pairs:
            if pair[1].node_id == liar and pair[0].metadata.message_type == "query":
                said = {"seat": seat, "identity": SEATS[seat].identity}
                lie = RecordDict({"member": ConfigRecord(said)})
                replies.append(Message(lie, reply_to=pair[0]))
            else:
                replies += honest([pair])
        return replies

    return answer


def test_nobody_takes_the_seat_of_another_member():
    here = there(Keyed(as_member(1, 2)))
    here.gather()
    assert seated(here) == {0: None, 1: 2, 2: 3, 3: 4, 4: 5, 5: 6}


def test_a_node_whose_key_is_nobodys_is_not_even_asked():
    asked = []

    def answer(pairs):
        asked.extend(context.node_id for _, context in pairs)
        return honest(pairs)

    honest = answers()
    keys = {seat + 1: f"key {seat}" for seat in range(NODES)} | {1: "a stranger's"}
    here = there(Keyed(answer, keys=keys))
    here.gather()
    assert seated(here)[0] is None
    assert 1 not in asked


def test_who_comes_later_is_met_before_the_next_round():
    grid = Keyed(answers(), away=range(4, NODES))
    here = there(grid)
    here.gather()
    assert [s for s, n in seated(here).items() if n is None] == [4, 5]
    grid.away.clear()
    assert None not in seated(here).values()


def test_a_device_that_comes_back_under_another_number_has_its_seat():
    grid = Keyed(answers())
    here = there(grid)
    here.gather()
    context = grid._contexts.pop(1)
    context.node_id = 71
    grid._contexts[71], grid.keys[71] = context, grid.keys[1]
    assert seated(here)[0] == 71


def test_a_round_begins_once_a_quorum_of_its_block_is_here():
    grid, said = Keyed(answers(), away=range(1, NODES)), []
    here = there(grid, said=said, join_timeout_s=60)
    here.gather()

    def arrive(words):
        said.append(words)
        grid.away.pop()

    here.say = arrive
    found = seated(here)
    assert sum(number is not None for number in found.values()) == 4  # Q of 6
    assert f"1 of a block of {NODES} are here, waiting for more" in said


def test_a_round_that_cannot_come_to_a_sum_is_not_offered(tmp_path):
    kinds = []

    def answer(pairs):
        kinds.extend(message.metadata.message_type for message, _ in pairs)
        return honest(pairs)

    honest = answers()
    grid, seen = Keyed(answer, away=range(3)), []
    plan = Plan(max_failures=9, **TIMES)
    lead = Coordinator(plan, Store(tmp_path, "toy"), seen.append, seats=SEATS)
    lead.run(grid, [population(1)])
    assert "3 of the 6 members of the block came, expected 4" in seen[0].outcome.failed
    assert [d.seat for d in seen[0].outcome.dropped] == [0, 1, 2]
    assert set(kinds) == {"query"}


def test_a_lost_device_is_away_in_the_block_that_it_was_in(tmp_path):
    seen = []

    def run(seats, rounds, away=()):
        store = Store(tmp_path, "toy")
        lead = Coordinator(Plan(**TIMES), store, seen.append, seats=seats)
        lead.run(Keyed(answers(), away), [population(rounds)])

    run(SEATS, 1)
    run(without(5), 2, away=[5])
    assert [progress.outcome.count for progress in seen] == [6, 5]
    assert [d.seat for d in seen[1].outcome.dropped] == [5]
    assert seen[1].outcome.failed is None


def test_the_next_blocks_are_without_those_who_are_gone():
    assert there(Keyed(answers()), without(1, 5)).everybody == (0, 2, 3, 4)


def test_blocks_that_come_to_nothing_any_more_are_named_and_not_waited_for():
    said = []
    here = there(Keyed(answers()), without(0, 1), said, join_timeout_s=3600)
    here.check_blocks([(0, 2, 3), (1, 4, 5)])
    assert said == []
    here.check_blocks([(0, 1, 2), (3, 4, 5)])
    assert "a block of 3 comes to no sum any more" in said[0]
    assert seated(here, (0, 1, 2)) == {0: None, 1: None, 2: 3}
    with pytest.raises(ProtocolError, match="1 of the 3 members of the block came"):
        here.expect_quorum(here.members((0, 1, 2)))
    with pytest.raises(ConfigError, match="no block comes to a sum") as raised:
        here.check_blocks([(0, 1, 2)])
    assert "checkpoints" in raised.value.hint


def test_a_seat_that_nobody_knows_is_no_fault_of_the_program():
    here = there(Keyed(answers()), {s: who for s, who in SEATS.items() if s < 5})
    with pytest.raises(ConfigError, match="seat 5 is in a block"):
        here.members(tuple(range(NODES)))


def test_small_blocks_and_who_dropped_out_are_named(tmp_path, caplog):
    said = []
    ann = {0: Seated(SEATS[0].identity, SEATS[0].node_key, "ann")}
    store = Store(tmp_path, "toy")
    lead = Coordinator(Plan(**TIMES), store, seats=SEATS | ann, say=said.append)
    lead.run(Keyed(answers(), away=[0]), [population(1)])
    assert any("fewer than 10" in words for words in said)
    assert "ann (seat 0) dropped out" in caplog.text


def test_the_operator_is_warned_where_the_default_policy_refuses():
    assert Policy().min_cohort == MIN_COHORT
