import io

import numpy as np
import pytest
from flwr.app import ArrayRecord, ConfigRecord, Error, Message, RecordDict
from toy_federation import ToySite, parts, population

from proper_client.flower import Participant
from proper_coordinator.checks import Gauge
from proper_coordinator.flower import Coordinator
from proper_coordinator.line import raw
from proper_coordinator.plan import Plan
from proper_coordinator.store import Store
from proper_shared.errors import ProtocolError
from proper_simulations.engines import MemoryGrid


def reply_with(message, array):
    content = RecordDict({"answer": ArrayRecord({"bytes": raw(array.tobytes())})})
    return Message(content, reply_to=message)


class Disturbed:
    """Nodes of which some misbehave when they are asked to train."""

    def __init__(self, nodes, faults):
        self.honest = Participant(ToySite(nodes))
        self.faults = faults
        self.trained = []

    def answer(self, pairs):
        replies = []
        for message, context in pairs:
            seat = context.node_config["partition-id"]
            if message.metadata.message_type == "train":
                self.trained.append(seat)
            if message.metadata.message_type == "train" and seat in self.faults:
                replies += self.faults[seat](message)
            else:
                replies += self.honest.answer([(message, context)])
        return replies


def run(tmp_path, faults, nodes=4, rounds=1, gauge=None, **plan):
    store = Store(tmp_path, "toy")
    part = population(rounds)
    seen = []
    plan = Plan(**{"masked": False, **plan})
    coordinator = Coordinator(plan, store, seen.append, gauge)
    coordinator.run(MemoryGrid(Disturbed(nodes, faults).answer, nodes), [part])
    return part, seen


def fail(message):
    return [Message(Error(1, "out of\nmemory"), reply_to=message)]


FAULTS = {
    "an error": (fail, "out of memory"),
    "nothing": (lambda _: [], "no answer in time"),
    "NaN": (lambda m: [reply_with(m, np.full(13, np.nan, np.float32))], "got NaN"),
    "a short vector": (
        lambda m: [reply_with(m, np.zeros(3, np.float32))],
        "got 12 bytes",
    ),
    "other records": (
        lambda m: [Message(RecordDict({"x": ConfigRecord({"a": 1})}), reply_to=m)],
        "other records",
    ),
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_node_that_misbehaves_drops_out_of_the_round(tmp_path, fault, masked):
    behave, words = FAULTS[fault]
    times = {"round_timeout_s": 0.01, "phase_timeout_s": 0.01, "poll_s": 0.001}
    _, seen = run(tmp_path, {2: behave}, masked=masked, **times)
    for progress in seen:
        assert progress.outcome.count == 3
        assert progress.outcome.failed is None
        (drop,) = progress.outcome.dropped
        assert (drop.seat, drop.node_id) == (2, 3)
        assert masked or words in drop.reason or words == "got NaN"


def test_who_dropped_out_leaves_no_trace(tmp_path):
    part, _ = run(tmp_path / "a", {2: fail})
    honest, _ = run(tmp_path / "b", {}, seats=frozenset({0, 1, 3}))
    for name, array in part.values.items():
        assert array.tobytes() == honest.values[name].tobytes()


def test_a_reply_counts_for_the_node_that_was_asked_whatever_it_calls_itself(tmp_path):
    def vanish(message):
        reply = Message(Error(5, "node unavailable"), reply_to=message)
        reply.metadata.__dict__["_src_node_id"] = 1
        return [reply]

    _, seen = run(tmp_path, {2: vanish})
    assert [drop.seat for drop in seen[0].outcome.dropped] == [2]


@pytest.mark.parametrize("masked", [False, True])
def test_rounds_that_nobody_answers_end_the_run_with_the_reason(tmp_path, masked):
    faults = dict.fromkeys(range(4), fail)
    with pytest.raises(ProtocolError, match=r"3 rounds failed .* out of memory"):
        run(tmp_path, faults, rounds=9, masked=masked)
    rounds = Store(tmp_path, "toy").load("population").rounds
    assert [(r.count, r.loss) for r in rounds] == [(0, None)] * 3
    assert all("out of memory" in r.failed for r in rounds)


class Once:
    """A fault that a node shows in the first round alone."""

    def __init__(self, seats):
        self.left = set(seats)
        self.nodes = Participant(ToySite(4))

    def answer(self, pairs):
        replies = []
        for message, context in pairs:
            seat = context.node_config["partition-id"]
            if message.metadata.message_type == "train" and seat in self.left:
                self.left.discard(seat)
                replies += fail(message)
            else:
                replies += self.nodes.answer([(message, context)])
        return replies


@pytest.mark.parametrize("masked", [False, True])
def test_a_sum_is_tried_a_second_time(tmp_path, masked):
    part, seen = population(1), []
    plan = Plan(masked=masked)
    grid = MemoryGrid(Once(range(4)).answer, 4)
    Coordinator(plan, Store(tmp_path, "toy"), seen.append).run(grid, [part])
    assert seen[0].outcome.count == 4
    assert seen[0].outcome.failed is None
    assert part.values["l.population.b"].any()


def values(part):
    return {name: array.copy() for name, array in part.values.items()}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("after", [float("nan"), 99.0])
def test_a_part_that_fares_badly_on_public_texts_moves_back(tmp_path, masked, after):
    losses = iter([1.2, 1.0, after, 1.1])  # before the first round, and after each
    part, seen = run(
        tmp_path, {}, rounds=3, masked=masked, gauge=Gauge(lambda _: next(losses))
    )
    failed = [progress.outcome.failed for progress in seen]
    assert failed[0] is failed[2] is None
    assert "public texts" in failed[1]
    twin, _ = run(tmp_path / "twin", {}, rounds=3, masked=masked)
    name = "l.population.b"
    assert part.values[name].tobytes() != twin.values[name].tobytes()


def test_a_run_that_goes_on_remembers_how_little_public_texts_cost(tmp_path):
    def off(_):
        raise KeyboardInterrupt

    plan, part = Plan(masked=False), population(2)
    losses = iter([1.2, 1.0])  # before the first round, and after it
    first = Coordinator(
        plan, Store(tmp_path, "toy"), off, Gauge(lambda _: next(losses))
    )
    with pytest.raises(KeyboardInterrupt):
        first.run(MemoryGrid(Disturbed(4, {}).answer, 4), [part])
    _, seen = run(tmp_path, {}, rounds=2, gauge=Gauge(lambda _: 1.6))
    assert "1.600 nats a token after the round, expected 1.5" in seen[0].outcome.failed
    assert seen[0].outcome.public_best == 1.0


def test_a_sum_that_clipped_vectors_cannot_make_is_dropped(tmp_path):
    size = population().layout(0).size
    before = values(population(1))

    def lie(message):
        probing = b'"bounds":{}' in message.content["offer"]["json"]
        huge = np.full(4 if probing else size, 30 if probing else 1e9, np.float32)
        return [reply_with(message, huge)]

    part, seen = run(tmp_path, {2: lie}, rounds=1, max_failures=9)
    assert "the mean of update has norm" in seen[0].outcome.failed
    for name, array in before.items():
        assert part.values[name].tobytes() == array.tobytes()


def test_no_serial_is_asked_for_twice(tmp_path):
    offers = []

    class Listening(Disturbed):
        def answer(self, pairs):
            for message, _ in pairs:
                numbers = message.content.config_records.get("round")
                if numbers and "offer" in message.content:
                    offers.append((numbers["serial"], numbers["attempt"]))
            return super().answer(pairs)

    for rounds in (2, 4):  # the second time it goes on
        grid = MemoryGrid(Listening(4, {}).answer, 4)
        store = Store(tmp_path, "toy")
        Coordinator(Plan(), store).run(grid, [population(rounds)])
    assert sorted(set(offers)) == [(serial, 0) for serial in range(6)]  # two probes
    assert offers == sorted(offers)
    assert len(offers) == 6 * 4


def test_only_seats_that_were_chosen_take_part(tmp_path):
    nodes = Disturbed(9, {})
    plan = Plan(cohort_size=3, seats=frozenset({1, 4, 7}))
    grid = MemoryGrid(nodes.answer, 9)
    Coordinator(plan, Store(tmp_path, "toy")).run(grid, parts(3))
    assert set(nodes.trained) == {1, 4, 7}


def test_cohorts_have_thirty_members_at_least_unless_one_asks_otherwise(tmp_path):
    nodes = Disturbed(40, {})
    grid = MemoryGrid(nodes.answer, 40)
    Coordinator(Plan(), Store(tmp_path, "toy")).run(grid, [population(1)])
    assert len(set(nodes.trained)) == 40  # one block, since no second one would fit


def test_bytes_are_counted_in_both_directions(tmp_path):
    part, seen = run(tmp_path, {})
    outcome = seen[0].outcome
    stream = io.BytesIO()
    np.save(stream, part.order(0).parameters)
    assert outcome.bytes_down > 2 * 4 * len(stream.getvalue())  # probe and update
    sent = 4 * (part.layout(0).size + 4)  # an update, and a probe of its norms
    assert outcome.bytes_up == 4 * (sent + 2 * len("bytes"))


def test_a_later_part_is_built_from_the_finished_one(tmp_path):
    grid = MemoryGrid(Disturbed(4, {}).answer, 4)
    first, second = parts(2), parts(2)
    Coordinator(Plan(), Store(tmp_path, "toy")).run(grid, kept := Kept(first))
    Coordinator(Plan(), Store(tmp_path, "toy")).run(grid, again := Kept(second))
    frozen = kept.parts[1].values["l.population.b"]
    assert frozen.any()
    assert frozen.tobytes() == kept.parts[0].values["l.population.b"].tobytes()
    assert frozen.tobytes() == again.parts[1].values["l.population.b"].tobytes()


class Kept:
    def __init__(self, source):
        self.source, self.parts = source, []

    def __iter__(self):
        for part in self.source:
            self.parts.append(part)
            yield part
