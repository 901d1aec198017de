"""What the objects of a message say that they are, and how much room they would take.

Flower cuts a message into objects and puts it together again, and what it reads it
trusts: an array is as large as it says, however often it names the same piece. So both
sides look here first at what somebody else sent; how much they allow is theirs.

Covered: objects without a head or of a kind that no message of ours has; an array that
names a piece many times, one that is not there, or counts from the end.
Not covered: what lies in an object besides (see who puts them together).
"""

import json
from collections.abc import Mapping

from flwr.supercore.inflatable.inflatable_object import (
    get_object_head_values_from_object_content,
)

from proper_shared.errors import FormatError

ARRAY, PIECE = "Array", "ArrayChunk"
KINDS = frozenset(
    ("Message", "RecordDict", "ConfigRecord", "ArrayRecord", ARRAY, PIECE)
)


def kind_of(content: bytes) -> str:
    """Return what an object calls itself.

    Raises:
        FormatError: no message of ours has such an object.
        ValueError: it has no head.
    """
    kind, _, _ = get_object_head_values_from_object_content(content)
    if kind not in KINDS:
        raise FormatError(f"an object of kind {kind[:40]!r}")
    return kind


def arrays_nbytes(contents: Mapping[str, bytes]) -> int:
    """Return how many bytes all arrays would take, heads of their pieces included.

    Args:
        contents: all objects, by name. An array is kept once however often records name
            it, so each counts once.

    Raises:
        FormatError: there is an object of an unknown kind.
        Exception: an array does not say in a readable way what it is made of; it may
            be any JSON, and too deep.
    """
    arrays = (each for each in contents.values() if kind_of(each) == ARRAY)
    return sum(_array_nbytes(array, contents) for array in arrays)


def _array_nbytes(content: bytes, contents: Mapping[str, bytes]) -> int:
    _, pieces, _ = get_object_head_values_from_object_content(content)
    lengths = [len(contents[name]) for name in pieces]
    places = json.loads(content.partition(b"\0")[2])["arraychunk_ids"]
    return sum(lengths[_sound(place)] for place in places)


def _sound(place: object) -> int:
    """Return a place in a list, unless it counts from the end or is no number."""
    if type(place) is not int or place < 0:
        raise ValueError("got no place")
    return place
