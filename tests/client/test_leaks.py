"""What leaves a device, byte by byte, with the real trainer in every part."""

import numpy as np
import pytest
import tiny
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.task_identity import TaskIdentity

from proper_client.flower import Participant
from proper_client.trainer import Trainer
from proper_shared.orders import header_of
from proper_shared.rounds import Schedule

CANARY = "xylophone Quarzsandgrube 4711"
PEOPLE = [tiny.user("ann-with-a-name", 6, extra=CANARY), tiny.user("bob", 4)]
SCHEDULE = Schedule(rounds=4, recipe=tiny.recipe(steps=2), constraint_weight=0.2)


class Site:
    def __init__(self):
        made = tiny.backbone(), tiny.TAGGING, tiny.method(embedding_size=8)
        self.learner = Trainer(*made, tiny.recipe(steps=2), seed=0)

    def user(self, seat):
        return PEOPLE[seat]

    def trainer(self):
        return self.learner


def federated_parts(trainer):
    """All four parts, one after the other; each is finished when the next is asked."""
    population = trainer.blueprint.part("population", SCHEDULE, {})
    yield population
    grouping = trainer.blueprint.grouping(SCHEDULE, dict(population.values))
    yield grouping
    group = trainer.blueprint.group_part(SCHEDULE, population, grouping)
    yield group
    yield trainer.blueprint.part("lora_router", SCHEDULE, dict(group.values))


def asked(order):
    content = {
        "order": ConfigRecord(header_of(order)),
        "parameters": ArrayRecord({"vector": Array(order.parameters)}),
    }
    sent = Message(RecordDict(content), 7, "train")
    sent.metadata.__dict__["_message_id"] = "m"
    return sent


def federation():
    """Yield for each round: its part, the nodes' states around it, the replies."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
    site = Site()
    participant = Participant(site)
    nodes = [
        Context(1, 100 + seat, {"partition-id": seat}, RecordDict(), {})
        for seat in range(len(PEOPLE))
    ]
    for part in federated_parts(site.trainer()):
        for round_ in range(SCHEDULE.rounds):
            before = [states(node) for node in nodes]
            pairs = [(asked(part.order(round_)), node) for node in nodes]
            replies = participant.answer(pairs)
            assert not any(reply.has_error() for reply in replies)
            sent = [reply.content["update"]["vector"].numpy() for reply in replies]
            part.apply(round_, np.sum(sent, axis=0, dtype=np.float64), len(sent))
            after = [states(node) for node in nodes]
            yield part.stage, [*zip(before, after, replies, strict=True)]


def states(node):
    if "after" not in node.state:
        return {}
    records = node.state.array_records["after"]
    return {name: array.numpy() for name, array in records.items()}


def on_the_wire(reply):
    return b"".join(o.deflate() for o in get_all_nested_objects(reply).values())


@pytest.fixture(scope="module")
def rounds():
    return list(federation())


def test_every_part_leaves_a_state_to_look_for(rounds):
    assert {stage for stage, _ in rounds} == {
        "population",
        "grouping",
        "group",
        "lora_router",
    }
    for _, after, _ in rounds[-1][1]:
        assert after["embedding"].any()
        assert sum(".user." in name for name in after) > 2


def test_no_reply_holds_a_word_of_a_history_or_a_name(rounds):
    for _, replies in rounds:
        for _, _, reply in replies:
            wire = on_the_wire(reply)
            for secret in (CANARY, "Quarz", "ann-with-a-name", "harbor"):
                assert secret.encode() not in wire


def pieces(array):
    """The bytes of every four numbers in a row: one alone may agree by chance."""
    fours = array.ravel()[: array.size // 4 * 4].reshape(-1, 4)
    return [four.tobytes() for four in fours if four.any()]


def test_no_reply_holds_a_piece_of_an_embedding_or_a_user_lora(rounds):
    looked_for = 0
    for stage, replies in rounds:
        for before, after, reply in replies:
            wire = on_the_wire(reply)
            for state in (before, after):
                for name, array in state.items():
                    if name == "embedding" or ".user." in name:
                        found = [piece for piece in pieces(array) if piece in wire]
                        assert not found, (stage, name)
                        looked_for += len(pieces(array))
    assert looked_for > 1000


def test_a_reply_is_one_vector_and_nothing_else(rounds):
    for _, replies in rounds:
        for _, _, reply in replies:
            assert list(reply.content) == ["update"]
            assert list(reply.content["update"]) == ["vector"]
