"""Objects of a message, each of them spoilt: what comes of them is a refusal."""

import json

import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.task_identity import TaskIdentity

from proper_client.inflating import SMALL_NBYTES, inflate, kind_of
from proper_shared.secagg.checks import Refusal

MOST = 1000


@pytest.fixture(autouse=True)
def _sender():
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1


def objects_of(data=b"abcd"):
    """Return the name of a sound message, and all of its objects by their names."""
    array = Array("uint8", (len(data),), "proper.bytes", data)
    content = {
        "request": ArrayRecord({"bytes": array, "again": array}),
        "round": ConfigRecord({"serial": 1}),
    }
    message = Message(RecordDict(content), 1, "train")
    found = get_all_nested_objects(message)
    return message.object_id, {name: each.deflate() for name, each in found.items()}


def spoilt(kind, change):
    """Return a message of which the body of one kind of object was changed."""
    name, contents = objects_of()
    for each, content in contents.items():
        if kind_of(content) == kind:
            head, _, body = content.partition(b"\0")
            contents[each] = head + b"\0" + change(body)
    return name, contents


def repeated(times):
    def change(body):
        return json.dumps({**json.loads(body), "arraychunk_ids": [0] * times}).encode()

    return spoilt("Array", change)


def test_a_sound_message_comes_out_as_it_was():
    message = inflate(*objects_of(), MOST)
    assert message.content.array_records["request"]["bytes"].data == b"abcd"
    assert message.content.config_records["round"]["serial"] == 1


BODIES = {
    "garbage": lambda body: b"\xff" * len(body),
    "deep": lambda _: b"[" * 100_000,
    "a list": lambda _: b"[]",
    "a number": lambda _: b"7",
    "others": lambda _: b'{"a": {"b": []}}',
}
ARRAYS = {
    "beyond": lambda body: body.replace(b"[0]", b"[7]"),
    "from the end": lambda body: body.replace(b"[0]", b"[-1]"),
    "no places": lambda body: body.replace(b"[0]", b'"[0]"'),
    "no shape": lambda body: body.replace(b"[4]", b"4"),
}
WITH_BODIES = ("Message", "RecordDict", "ConfigRecord", "ArrayRecord", "Array")
CASES = [(kind, how) for kind in WITH_BODIES for how in BODIES.values()]
CASES += [("Array", how) for how in ARRAYS.values()]


@pytest.mark.parametrize(("kind", "how"), CASES)
def test_an_object_that_is_not_what_it_is_called_is_refused_by_name(kind, how):
    with pytest.raises(Refusal) as caught:
        inflate(*spoilt(kind, how), MOST)
    assert caught.value.name == "odd-objects"


@pytest.mark.parametrize(
    "content", [b"", b"\0", b"x", b"a b c d\0", b"\xff  0\0", b"Array  x\0"]
)
def test_an_object_without_a_head_is_refused(content):
    with pytest.raises(Refusal, match="without a head"):
        kind_of(content)


def test_a_message_about_an_error_is_no_message_for_us():
    asked = Message(RecordDict(), 1, "train")
    error = Message(Error(3, "end yourself"), reply_to=asked)
    with pytest.raises(Refusal, match="no message with a content"):
        inflate(error.object_id, {error.object_id: error.deflate()}, MOST)


def test_an_array_may_repeat_its_chunks_as_far_as_its_bytes_are_allowed():
    name, contents = repeated(times=10)
    data = inflate(name, contents, MOST).content.array_records["request"]["bytes"].data
    assert data == b"abcd" * 10
    name, contents = repeated(times=1_000_000)
    with pytest.raises(Refusal, match="expected at most 1,000") as caught:
        inflate(name, contents, MOST)
    assert caught.value.name == "object-too-large"


def test_many_small_values_are_refused_before_they_are_read():
    name, contents = spoilt("Array", lambda _: b"[" + b"[]," * SMALL_NBYTES)
    with pytest.raises(Refusal, match="around arrays") as caught:
        inflate(name, contents, 10**9)
    assert caught.value.name == "object-too-large"
