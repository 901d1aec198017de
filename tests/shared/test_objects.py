"""What the objects of a message take once they are unfolded, before anybody does so."""

import json

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message, RecordDict
from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects
from flwr.supercore.task_identity import TaskIdentity

from proper_shared.errors import FormatError
from proper_shared.objects import ARRAY, KINDS, arrays_nbytes, kind_of

NUMBERS = Array(np.arange(1000, dtype=np.float32))


@pytest.fixture
def objects():
    """Return the objects of a message of which two records name the same array."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 7, 1
    record = ArrayRecord({"x": NUMBERS, "y": NUMBERS})
    message = Message(RecordDict({"a": record}), 0, "train")
    found = get_all_nested_objects(message)
    return {name: each.deflate() for name, each in found.items()}


def named(objects, places):
    """Return the objects with other places of pieces in their array."""
    for name, content in objects.items():
        if kind_of(content) == ARRAY:
            head, _, body = content.partition(b"\0")
            said = {**json.loads(body), "arraychunk_ids": places}
            body = json.dumps(said).encode()
            kind, pieces, _ = head.split(b" ")
            head = b" ".join((kind, pieces, str(len(body)).encode()))
            return {**objects, name: head + b"\0" + body}
    raise AssertionError("there is no array")


def test_arrays_are_weighed_as_they_unfold(objects):
    nbytes = arrays_nbytes(objects)
    assert len(NUMBERS.data) <= nbytes < len(NUMBERS.data) + 100
    assert arrays_nbytes(named(objects, [0] * 1000)) == 1000 * nbytes
    assert {kind_of(content) for content in objects.values()} <= KINDS


@pytest.mark.parametrize("place", [-1, 1, True, "0", None, [0], 0.0])
def test_a_place_that_is_none_of_the_arrays_pieces_is_never_counted(objects, place):
    with pytest.raises((ValueError, IndexError)):
        arrays_nbytes(named(objects, [place]))


@pytest.mark.parametrize("kind", [b"MetricRecord", b"Evil", b""])
def test_an_object_of_another_kind_is_refused(objects, kind):
    with pytest.raises(FormatError, match="an object of kind"):
        arrays_nbytes({**objects, "odd": kind + b"  0\0"})


@pytest.mark.parametrize("content", [b"", b"x", b"a b c d\0", b"\xff  0\0"])
def test_an_object_without_a_head_is_no_object(content):
    with pytest.raises(ValueError, match=r"\w") as caught:
        kind_of(content)
    assert not isinstance(caught.value, FormatError)
