"""Make a message of the objects that were fetched for it, or refuse them.

Flower's own reader trusts what it reads: it repeats a chunk as often as an array says,
and whatever it stumbles over it raises as it is. So what would come of the objects is
added up first, and whatever it raises is a refusal.

Covered: objects that are not what they are called, do not fit, lead nowhere or too
deep; arrays that would be larger than what was fetched; thousands of tiny values.
Not covered: what the records say (see `letters`).
"""

import json
from collections.abc import Mapping

from flwr.app import Message
from flwr.supercore.inflatable.inflatable_object import (
    get_object_head_values_from_object_content,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents

from proper_shared.secagg.checks import Refusal

# Of all that is not a piece of an array. Each value in it takes many times its bytes,
# so this is little; the longest thing in it is an offer, 67 bytes a member.
SMALL_NBYTES = 4 * 2**20
ARRAY, CHUNK = "Array", "ArrayChunk"
KINDS = frozenset(
    ("Message", "RecordDict", "ConfigRecord", "ArrayRecord", ARRAY, CHUNK)
)


def kind_of(content: bytes) -> str:
    """Return what an object calls itself.

    Raises:
        Refusal: it is none, or of a kind that no message of ours has.
    """
    kind, _ = _head(content)
    if kind not in KINDS:
        raise Refusal("odd-objects", f"got an object of kind {kind[:40]!r}")
    return kind


def inflate(name: str, contents: dict[str, bytes], most: int) -> Message:
    """Return the message that the objects make up.

    Args:
        name: of the message among the objects.
        contents: all objects, by their names; they are taken out as they are read.
        most: bytes that all arrays may have together.

    Raises:
        Refusal: they are too large, or make up no message with a content.
    """
    _check_room(contents, most)
    try:
        message = inflate_object_from_contents(name, contents)
    except Exception as error:  # noqa: BLE001  they are the coordinator's to choose
        kind = type(error).__name__
        raise Refusal("odd-objects", f"got objects that do not fit: {kind}") from None
    if not isinstance(message, Message) or not message.has_content():
        raise Refusal("odd-objects", "got objects that are no message with a content")
    return message


def _check_room(contents: Mapping[str, bytes], most: int) -> None:
    """Refuse objects that would need more room than they are allowed.

    An array is kept once however often records name it, so each counts once.
    """
    kinds = {name: kind_of(content) for name, content in contents.items()}
    small = sum(len(contents[name]) for name, kind in kinds.items() if kind != CHUNK)
    if small > SMALL_NBYTES:
        raise Refusal(
            "object-too-large",
            f"got {small:,} bytes around arrays, expected at most {SMALL_NBYTES:,}",
        )
    arrays = (contents[name] for name, kind in kinds.items() if kind == ARRAY)
    total = sum(_array_nbytes(array, contents) for array in arrays)
    if total > most:
        raise Refusal(
            "object-too-large",
            f"got arrays of {total:,} bytes in all, expected at most {most:,}",
        )


def _array_nbytes(content: bytes, contents: Mapping[str, bytes]) -> int:
    """Return how many bytes an array would have, heads of its chunks included."""
    _, chunks = _head(content)
    try:
        places = json.loads(content.partition(b"\0")[2])["arraychunk_ids"]
        return sum(len(contents[chunks[_sound(place)]]) for place in places)
    except Exception as error:  # noqa: BLE001  it may be any JSON, and too deep
        kind = type(error).__name__
        raise Refusal("odd-objects", f"got an array that is none: {kind}") from None


def _sound(place: object) -> int:
    """Return a place in a list, unless it counts from the end or is no number."""
    if type(place) is not int or place < 0:
        raise ValueError("got no place")
    return place


def _head(content: bytes) -> tuple[str, list[str]]:
    """Return the kind of an object, and the names of those within."""
    try:
        kind, children, _ = get_object_head_values_from_object_content(content)
    except ValueError:
        raise Refusal("odd-objects", "got an object without a head") from None
    return kind, children
