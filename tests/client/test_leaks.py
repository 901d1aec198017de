"""What leaves a device, byte by byte, with the real trainer in every part."""

from types import SimpleNamespace

import pytest
import tiny
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects

from proper_client.flower import Participant
from proper_client.trainer import Trainer
from proper_coordinator.flower import Coordinator
from proper_coordinator.plan import Plan
from proper_coordinator.store import Store
from proper_shared.rounds import Schedule
from proper_simulations.crowd import Crowd
from proper_simulations.engines import MemoryGrid

CANARY = "xylophone Quarzsandgrube 4711"
PEOPLE = [
    tiny.user("ann-with-a-name", 6, extra=CANARY),
    tiny.user("bob", 4),
    tiny.user("cem", 5),
]
STAGES = ("population", "grouping", "group", "lora_router")
SCHEDULE = Schedule(rounds=4, recipe=tiny.recipe(steps=2), constraint_weight=0.2)


class Site:
    def __init__(self):
        made = tiny.backbone(), tiny.TAGGING, tiny.method(embedding_size=8)
        self.learner = Trainer(*made, tiny.recipe(steps=2), seed=0)

    def user(self, seat):
        return PEOPLE[seat]

    def signer(self, seat):
        return Crowd(len(PEOPLE), 0).signer(seat)

    def me(self, seat, offer):
        return Crowd(len(PEOPLE), 0).me(seat, offer)

    def rounding(self, seat, terms):
        return Crowd(len(PEOPLE), 0).rounding(seat, terms)

    def trainer(self):
        return self.learner


class Listening(MemoryGrid):
    """Keeps all replies, with the nodes' states before and after each."""

    def __init__(self, participant):
        super().__init__(self.listen, len(PEOPLE))
        self.participant, self.heard = participant, []

    def listen(self, pairs):
        before = [states(node) for _, node in pairs]
        replies = self.participant.answer(pairs)
        assert not any(reply.has_error() for reply in replies)
        for (message, node), old, reply in zip(pairs, before, replies, strict=True):
            if message.metadata.message_type == "train":
                self.heard.append((old, self.learnt(node), reply))
        return replies

    def learnt(self, node):
        """What the device learnt in training, which it keeps at the end of the sum."""
        seat = node.node_config["partition-id"]
        return self.participant._trained[seat].memory.after


def heard(folder, *, masked):
    """Return what a whole federation said: state before, state after, reply."""
    site = Site()
    grid = Listening(Participant(site))
    schedules = SimpleNamespace(**dict.fromkeys(STAGES, SCHEDULE))
    parts = site.trainer().blueprint.parts(schedules)
    store, base = Store(folder, "leaks"), site.trainer().base
    Coordinator(Plan(masked=masked), store, base=base).run(grid, parts)
    return grid.heard


def states(node):
    if "after" not in node.state:
        return {}
    records = node.state.array_records["after"]
    return {name: array.numpy() for name, array in records.items()}


def on_the_wire(reply):
    return b"".join(o.deflate() for o in get_all_nested_objects(reply).values())


@pytest.fixture(scope="module", params=[True, False], ids=["masked", "in clear"])
def replies(request, tmp_path_factory):
    return heard(tmp_path_factory.mktemp("run"), masked=request.param)


def test_every_part_leaves_a_state_to_look_for(replies):
    for _, after, _ in replies[-len(PEOPLE) :]:
        assert after["embedding"].any()
        assert sum(".user." in name for name in after) > 2


def test_no_reply_holds_a_word_of_a_history_or_a_name(replies):
    for _, _, reply in replies:
        wire = on_the_wire(reply)
        for secret in (CANARY, "Quarz", "ann-with-a-name", "harbor"):
            assert secret.encode() not in wire


def pieces(array):
    """The bytes of every four numbers in a row: one alone may agree by chance."""
    fours = array.ravel()[: array.size // 4 * 4].reshape(-1, 4)
    return [four.tobytes() for four in fours if four.any()]


def test_no_reply_holds_a_piece_of_an_embedding_or_a_user_lora(replies):
    looked_for = 0
    for before, after, reply in replies:
        wire = on_the_wire(reply)
        for state in (before, after):
            for name, array in state.items():
                if name == "embedding" or ".user." in name:
                    assert not [piece for piece in pieces(array) if piece in wire], name
                    looked_for += len(pieces(array))
    assert looked_for > 1000


def test_a_reply_is_one_array_of_bytes_and_nothing_else(replies):
    for _, _, reply in replies:
        assert list(reply.content) == ["answer"]
        assert list(reply.content["answer"]) == ["bytes"]
