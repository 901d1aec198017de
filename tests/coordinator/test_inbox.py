"""What nodes may put into a reply, against the objects that Flower makes of it."""

import hashlib
import json
from types import SimpleNamespace

import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.common.serde import message_to_proto
from flwr.proto.message_pb2 import ObjectTree
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_tree,
)
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from proper_coordinator.inbox import Inbox
from proper_coordinator.line import Line, raw
from proper_simulations.engines import MemoryGrid

MOST = 2**20


class Wire:
    """Answers as a SuperLink that holds these replies, each announced once."""

    def __init__(self):
        self.announced, self.objects, self.confirmed = [], {}, []
        self.missing = set()

    def add(self, number, objects, tree, sender=7):
        message = Message(RecordDict(), sender, "train")
        proto = message_to_proto(message)
        proto.metadata.message_id = tree.object_id
        proto.metadata.reply_to_message_id = number
        proto.metadata.src_node_id = sender
        self.objects |= objects
        self.announced.append((proto, tree))

    def PullMessages(self, _):  # noqa: N802  Flower's name
        found, self.announced = self.announced, []
        return SimpleNamespace(
            messages_list=[p for p, _ in found],
            message_object_trees=[t for _, t in found],
        )

    def PullObject(self, asked):  # noqa: N802
        name = asked.object_id
        return SimpleNamespace(
            object_found=name in self.objects,
            object_available=name not in self.missing,
            object_content=self.objects.get(name, b""),
        )

    def ConfirmMessageReceived(self, asked):  # noqa: N802
        self.confirmed.append(asked.message_object_id)


@pytest.fixture
def inbox():
    MemoryGrid(lambda _: [], 1)  # Flower's messages need to know who writes them
    made = Inbox("localhost:1", b"", "token", MOST)
    made._client = Wire()
    made.set_run(Run.create_empty(run_id=1))
    return made


def parts_of(content):
    TaskIdentity.run_id, TaskIdentity.node_id = 1, 7
    message = Message(content, 0, "train")
    message.metadata.__dict__["_message_id"] = message.object_id
    nested = get_all_nested_objects(message)
    objects = {name: found.deflate() for name, found in nested.items()}
    return objects, get_object_tree(message)


def answer(data=b"abc"):
    return RecordDict({"answer": ArrayRecord({"bytes": raw(data)})})


def swapped(objects, tree, kind, change):
    """Return the objects with one of a kind changed, and all names as they follow."""
    (old,) = [n for n, c in objects.items() if c.startswith(kind.encode() + b" ")]
    new = change(objects.pop(old))
    names = {old: hashlib.sha256(new).hexdigest()}
    objects = {names[old]: new, **objects}
    while True:  # who names a renamed object has another name, too
        for name, content in list(objects.items()):
            fresh = content
            for before, after in names.items():
                fresh = fresh.replace(before.encode(), after.encode())
            if fresh != content:
                names[name] = hashlib.sha256(fresh).hexdigest()
                del objects[name]
                objects[names[name]] = fresh
                break
        else:
            break

    def renamed(node):
        children = [renamed(child) for child in node.children]
        name = names.get(node.object_id, node.object_id)
        return ObjectTree(object_id=name, children=children)

    return objects, renamed(tree)


def broken_body(content):
    head, mark, body = content.partition(b"\0")
    return head + mark + b"{" * len(body)


def many_times(content):
    head, _, body = content.partition(b"\0")
    said = json.loads(body)
    said["arraychunk_ids"] = said["arraychunk_ids"] * 100
    body = json.dumps(said).encode()
    kind, pieces, _ = head.split(b" ")
    return b" ".join([kind, pieces, str(len(body)).encode()]) + b"\0" + body


def of_kind(name):
    return lambda content: name + content[content.index(b" ") :]


ODD = {
    "a record with a broken body": (
        RecordDict({"a": ConfigRecord({"b": 1})}),
        "ConfigRecord",
        broken_body,
        "DecodeError",
    ),
    "an array of no JSON": (answer(), "Array", broken_body, "JSONDecodeError"),
    "a piece many times": (
        answer(bytes(MOST // 20)),
        "Array",
        many_times,
        "too large once it is unfolded",
    ),
    "a kind of its own": (answer(), "ArrayChunk", of_kind(b"Evil"), "kind 'Evil'"),
    "metrics": (answer(), "ArrayChunk", of_kind(b"MetricRecord"), "MetricRecord"),
    "a head that is none": (answer(), "RecordDict", lambda _: b"RecordDict x", "Error"),
    "many bytes": (answer(bytes(2 * MOST)), "Message", bytes, "too large"),
    "many words": (
        RecordDict({"a": ConfigRecord({"b": "x" * (2**20 + 1)})}),
        "Message",
        bytes,
        "too large",
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_reply_is_its_senders_failure_and_nobody_elses(inbox, name):
    content, kind, change, words = ODD[name]
    inbox._client.add("odd", *swapped(*parts_of(content), kind, change))
    inbox._client.add("good", *parts_of(answer(b"good")))
    found = {
        m.metadata.reply_to_message_id: m for m in inbox.pull_messages(["odd", "good"])
    }
    assert words in found["odd"].error.reason
    assert found["good"].content["answer"]["bytes"].data == b"good"
    assert len(inbox._client.confirmed) == 2
    assert list(inbox.pull_messages(["odd", "good"])) == []


def test_another_object_than_the_one_that_was_named_is_refused(inbox):
    objects, tree = parts_of(answer())
    (piece,) = [n for n, c in objects.items() if c.startswith(b"ArrayChunk")]
    objects[piece] = objects[piece][:-1] + b"x"
    inbox._client.add("odd", objects, tree)
    (found,) = inbox.pull_messages(["odd"])
    assert "another object" in found.error.reason


def test_a_reply_that_is_not_there_whole_keeps_nobody_waiting(inbox):
    objects, tree = parts_of(answer(b"late"))
    inbox._client.add("late", objects, tree)
    inbox._client.add("good", *parts_of(answer(b"good")))
    inbox._client.missing = {tree.object_id}
    (found,) = inbox.pull_messages(["late", "good"])
    assert found.metadata.reply_to_message_id == "good"
    inbox._client.missing.clear()
    (found,) = inbox.pull_messages(["late"])
    assert found.content["answer"]["bytes"].data == b"late"


def test_whose_reply_it_is_says_the_envelope_and_not_the_content(inbox):
    inner = Message(answer(), 0, "train")
    inner.metadata.__dict__["_reply_to_message_id"] = "the letter to somebody else"
    inner.metadata.__dict__["_message_id"] = inner.object_id
    nested = get_all_nested_objects(inner)
    objects = {name: found.deflate() for name, found in nested.items()}
    inbox._client.add("mine", objects, get_object_tree(inner))
    (found,) = inbox.pull_messages(["mine"])
    assert found.metadata.reply_to_message_id == "mine"


class Chatty:
    """A grid on which replies come that nobody waits for, and one that is long."""

    def push_messages(self, messages):
        return [str(m.metadata.dst_node_id) for m in messages]

    def pull_messages(self, _):
        for number, size in (("9", 1), ("1", 5000), ("1", 1), ("2", 4)):
            reply = Message(answer(bytes(size)), 0, "train")
            reply.metadata.__dict__["_reply_to_message_id"] = number
            yield reply


@pytest.mark.usefixtures("inbox")
def test_replies_that_nobody_asked_for_or_that_are_too_long_are_not_kept():
    line = Line(Chatty(), 0.001, SimpleNamespace(wait=lambda _: False))
    letters = dict.fromkeys((1, 2), RecordDict())
    replies = line.ask("train", letters, 0.0, most=100)
    assert "more than 100 bytes" in replies[1]
    assert replies[2]["answer"]["bytes"].data == bytes(4)
