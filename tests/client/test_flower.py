import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.task_identity import TaskIdentity
from toy_federation import GROUP, ToySite, ToyTrainer, group, population

from proper_client.flower import FAILED, REFUSED, Participant, client_app
from proper_shared.errors import ProtocolError
from proper_shared.offers import Offer
from proper_shared.orders import header_of
from proper_shared.summing import collect
from proper_shared.terms import Terms
from proper_simulations.crowd import Crowd
from proper_simulations.members import FolderKeeper

ARRAYS = {name: np.ones(shape) for name, shape in GROUP.frozen.items()}
PART = group(ARRAYS)


@pytest.fixture(autouse=True)
def _sender():
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1


def context(seat, state=None):
    config = {} if seat is None else {"partition-id": seat, "num-partitions": 9}
    return Context(1, 100 + (seat or 0), config, state or RecordDict(), {})


def message(content, kind="train"):
    sent = Message(content, 7, kind)
    sent.metadata.__dict__["_message_id"] = "m"
    return sent


def raw(data):
    return ArrayRecord({"bytes": Array("uint8", (len(data),), "proper.bytes", data)})


def offer(part=PART, round_=0, nodes=9, *, masked=False, serial=None):
    cohort = sorted(Crowd(nodes, 0).signer(i).identity.hex() for i in range(nodes))
    blocks = {
        "population": ("update", "loss", "norms"),
        "group": ("experts", "use", "direction", "loss", "norms"),
    }
    return Offer(
        federation="a" * 64,
        base="0" * 64,
        run="b" * 32,
        serial=round_ if serial is None else serial,
        attempt=0,
        cohort=tuple(cohort),
        masked=masked,
        ring_bits=16,
        bounds=dict.fromkeys(blocks[part.stage], 1e9),
        noise=None,
    )


def content(order, made, request=b"", **records):
    return {
        "offer": ConfigRecord({"json": made.dump()}),
        "order": ConfigRecord(header_of(order)),
        "parameters": ArrayRecord({"vector": Array(order.parameters)}),
        "round": ConfigRecord({"serial": made.serial, "attempt": made.attempt}),
        "request": raw(request),
        **records,
    }


def order_to(part, round_=0, **records):
    made = offer(part, round_)
    return message(RecordDict(content(part.order(round_), made, **records)))


def answer(reply):
    assert not reply.has_error(), reply.error
    return reply.content["answer"]["bytes"].data


def vector(reply):
    return np.frombuffer(answer(reply), "<f4")


def state(node):
    return {k: v.numpy() for k, v in node.state.array_records["after"].items()}


def everything(sent):
    """Return all bytes that Flower would put on the wire for a message."""
    return b"".join(obj.deflate() for obj in get_all_nested_objects(sent).values())


def test_one_message_is_answered_like_a_member_of_a_cohort():
    cohort = [(order_to(PART), context(seat)) for seat in range(5)]
    together = [vector(r) for r in Participant(ToySite(5)).answer(cohort)]
    app = client_app(lambda _: Participant(ToySite(5)))
    for seat, update in enumerate(together):
        alone = vector(app(order_to(PART), context(seat)))
        assert alone.tobytes() == update.tobytes()


def test_a_cohort_trains_in_one_pass():
    calls = []

    class Counting(ToyTrainer):
        def train(self, order, members):
            calls.append((order.stage, len(members)))
            return super().train(order, members)

    site = ToySite(9)
    site.trainer = Counting
    pairs = [(order_to(PART), context(seat)) for seat in range(6)]
    pairs += [(order_to(population()), context(seat)) for seat in (6, 7)]
    assert len(Participant(site).answer(pairs)) == 8
    assert calls == [("group", 6), ("population", 2)]


def test_nothing_of_the_state_or_the_history_leaves_the_device():
    participant, node = Participant(ToySite(1)), context(0)
    for round_ in range(4):
        before = state(node) if round_ else {}
        (reply,) = participant.answer([(order_to(PART, round_), node)])
        assert list(reply.content) == ["answer"]
        wire = everything(reply)
        assert vector(reply).tobytes() in wire
        assert b"secret" not in wire
        assert b"user-0" not in wire
        for array in (*before.values(), *state(node).values()):
            assert array.tobytes() not in wire
            for number in array.ravel():
                assert number.tobytes() not in wire


def test_a_state_is_kept_in_the_context_between_rounds():
    participant, node = Participant(ToySite(1)), context(0)
    first = state_after(participant, node, 0)
    second = state_after(participant, node, 1)
    other_process = context(0, state=node.state)
    third = state_after(participant, node, 2)
    assert first != second != third
    assert state_after(Participant(ToySite(1)), other_process, 2) == third


def state_after(participant, node, round_):
    (reply,) = participant.answer([(order_to(PART, round_), node)])
    vector(reply)
    return {name: array.tolist() for name, array in state(node).items()}


def test_an_order_that_is_sent_again_gives_the_same_answer():
    participant, node = Participant(ToySite(1)), context(0)
    participant.answer([(order_to(PART, 0), node)])
    once = vector(participant.answer([(order_to(PART, 1), node)])[0])
    left = state(node)
    twice = vector(participant.answer([(order_to(PART, 1), node)])[0])
    assert once.tobytes() == twice.tobytes()
    assert left["embedding"].tobytes() == state(node)["embedding"].tobytes()


def test_a_state_outlives_the_process_where_it_is_kept(tmp_path):
    node = context(3)
    participant = Participant(ToySite(5), FolderKeeper(tmp_path))
    participant.answer([(order_to(PART, 0), node)])
    expected = state_after(participant, node, 1)
    reborn = Participant(ToySite(5), FolderKeeper(tmp_path))
    assert state_after(reborn, context(3), 1) == expected
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o600]


def broken(**changes):
    records = content(PART.order(0), offer())
    for name, record in changes.items():
        if record is None:
            del records[name]
        else:
            records[name] = record
    return message(RecordDict(records))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"order": None}, "expected a letter"),
        ({"parameters": None}, "expected a letter"),
        ({"offer": None}, "expected a letter"),
        ({"request": None}, "expected a letter"),
        ({"round": None}, "expected a letter"),
        ({"code": ConfigRecord({"run": "rm"})}, "'code'"),
        ({"order": ArrayRecord()}, "wrong kind"),
        ({"order": ConfigRecord({"stage": "spy"})}, "got an order with 'stage'"),
        ({"offer": ConfigRecord({"json": "text"})}, "not bytes"),
        ({"offer": ConfigRecord({"json": b"{}"})}, "got an offer that is wrong"),
        ({"parameters": ArrayRecord()}, "wrong kind"),
        ({"parameters": ArrayRecord({"vector": Array(np.zeros(3))})}, "float64"),
        ({"request": ConfigRecord({"bytes": b""})}, "wrong kind"),
        ({"request": raw(b"keys")}, "under masks"),
        ({"round": ConfigRecord({"serial": 0})}, "numbers of its round"),
        ({"round": ConfigRecord({"serial": 1, "attempt": 0})}, "another round"),
    ],
)
def test_what_is_not_exactly_an_order_is_refused(changes, words):
    node = context(0)
    (reply,) = Participant(ToySite(1)).answer([(broken(**changes), node)])
    assert reply.has_error()
    assert not node.state
    assert reply.error.code == REFUSED
    assert words in reply.error.reason


def test_other_kinds_of_messages_are_refused():
    sent = message(RecordDict(content(PART.order(0), offer())), "evaluate")
    (reply,) = Participant(ToySite(1)).answer([(sent, context(0))])
    assert reply.error.reason == "got a 'evaluate' message, expected an order to train"


def test_a_node_introduces_itself_by_its_seat_and_identity_alone():
    sent = message(RecordDict(), "query")
    (reply,) = Participant(ToySite(9)).answer([(sent, context(4))])
    identity = Crowd(9, 0).signer(4).identity.hex()
    assert dict(reply.content["member"]) == {"seat": 4, "identity": identity}
    assert list(reply.content) == ["member"]


def test_a_node_without_a_user_says_so():
    pairs = [(order_to(PART), context(seat)) for seat in (None, 5)]
    without, beyond = Participant(ToySite(5)).answer(pairs)
    assert "no partition-id" in without.error.reason
    assert "no user at seat 5" in beyond.error.reason


class Choosy(ToyTrainer):
    def __init__(self, fault):
        self.fault = fault

    def train(self, order, members):
        updates = super().train(order, members)
        for member in members:
            if member.user.user_id == "user-2":
                self.fault(member)
        return updates


def quote(member):
    raise ValueError(f"cannot read {member.user.profile[0].text}")


def diverge(member):
    member.state["embedding"] = np.full(3, np.nan, np.float32)


@pytest.mark.parametrize("fault", [quote, diverge])
def test_a_member_whose_training_fails_drops_out_alone_and_quotes_nothing(fault):
    site = ToySite(4)
    site.trainer = lambda: Choosy(fault)
    nodes = [context(seat) for seat in range(4)]
    replies = Participant(site).answer([(order_to(PART), node) for node in nodes])
    honest = Participant(ToySite(4)).answer(
        [(order_to(PART), context(seat)) for seat in range(4)]
    )
    assert [reply.has_error() for reply in replies] == [False, False, True, False]
    for seat in (0, 1, 3):
        assert vector(replies[seat]).tobytes() == vector(honest[seat]).tobytes()
    assert replies[2].error.code == FAILED
    assert "secret" not in replies[2].error.reason
    assert not nodes[2].state


def later(made, request):
    numbers = ConfigRecord({"serial": made.serial, "attempt": made.attempt})
    return message(RecordDict({"round": numbers, "request": raw(request)}))


def played(participants, *, fresh_contexts=False):
    """Play a masked round; each letter goes to the next of the participants."""
    made = offer(masked=True, nodes=5)
    order = PART.order(0)
    collector = collect(
        Terms(made, order, PART.layout(0)),
        {seat: Crowd(5, 0).signer(seat).identity.hex() for seat in range(5)},
    )
    nodes = {seat: context(seat) for seat in range(5)}
    first = True
    turns = 0
    while requests := collector.requests():
        answers = {}
        for seat, request in requests.items():
            sent = later(made, request)
            if first:
                sent = message(RecordDict(content(order, made, request)))
            participant = participants[turns % len(participants)]
            node = context(seat) if fresh_contexts else nodes[seat]
            answers[seat] = answer(participant.answer([(sent, node)])[0])
        first = False
        turns += 1
        collector.receive(answers)
    return collector.result(), nodes


def test_a_masked_round_comes_to_the_sum_of_the_updates():
    total, _ = played([Participant(ToySite(5))])
    pairs = [(order_to(PART), context(seat)) for seat in range(5)]
    plain = sum(vector(r) for r in Participant(ToySite(5)).answer(pairs))
    size = PART.layout(0).size
    error = np.linalg.norm(total.total[:size] - plain[:size])
    assert total.count == 5
    assert error < 1e9  # bounds of 1e9 round coarsely; exactness is shown elsewhere


def test_processes_may_take_turns_only_where_sessions_are_portable():
    portable = [Participant(ToySite(5), portable=True) for _ in range(3)]
    total, nodes = played(portable)
    assert total.count == 5
    assert "session" in nodes[0].state
    _, nodes = played([Participant(ToySite(5))])
    assert "session" not in nodes[0].state
    with pytest.raises(AssertionError, match="not open here"):
        played([Participant(ToySite(5)), Participant(ToySite(5))])


def test_a_state_of_another_run_is_left_behind():
    participant, node = Participant(ToySite(1)), context(0)
    once = state_after(participant, node, 0)
    assert state_after(participant, node, 1) != once
    records = content(PART.order(0), offer().model_copy(update={"run": "c" * 32}))
    participant.answer([(message(RecordDict(records)), node)])
    assert {name: array.tolist() for name, array in state(node).items()} == once


def test_an_offer_for_another_backbone_is_refused():
    made = offer().model_copy(update={"base": "1" * 64})
    sent = message(RecordDict(content(PART.order(0), made)))
    (reply,) = Participant(ToySite(5)).answer([(sent, context(0))])
    assert "another backbone" in reply.error.reason


def test_a_letter_of_a_session_that_is_not_open_is_refused():
    (reply,) = Participant(ToySite(5)).answer([(later(offer(), b"x"), context(0))])
    assert reply.error.reason == "got a letter of a session that is not open here"


def test_an_order_that_is_offered_again_is_not_trained_again():
    calls = []

    class Counting(ToyTrainer):
        def train(self, order, members):
            calls.append(order.round)
            return super().train(order, members)

    site = ToySite(9)
    site.trainer = Counting
    participant, node = Participant(site), context(0)
    sent = [
        message(RecordDict(content(PART.order(0), offer(serial=serial))))
        for serial in (4, 5)
    ]
    replies = [participant.answer([(letter, node)])[0] for letter in sent]
    assert vector(replies[0]).tobytes() == vector(replies[1]).tobytes()
    assert calls == [0]


class Closed:
    def __init__(self):
        self.words = []

    def admit(self, terms):
        raise ProtocolError(f"no round {terms.offer.serial}")

    def refused(self, error):
        self.words.append(str(error))


def test_a_gate_that_refuses_ends_it_before_training():
    site = ToySite(5)
    site.trainer = lambda: Choosy(quote)  # would fail
    node = context(2)
    gate = Closed()
    (reply,) = Participant(site, gate=gate).answer([(order_to(PART), node)])
    assert reply.error.reason == "refused"  # why would tell about the person
    assert gate.words == ["no round 0"]
    assert not node.state
