"""Make a message of the objects that were fetched for it, or refuse them.

Flower's own reader trusts what it reads: it repeats a chunk as often as an array says,
and whatever it stumbles over it raises as it is. So what would come of the objects is
added up first, and whatever it raises is a refusal.

Covered: objects that are not what they are called, do not fit, lead nowhere or too
deep; arrays that would be larger than what was fetched; thousands of tiny values.
Not covered: what the records say (see `letters`).
"""

from collections.abc import Mapping

from flwr.app import Message
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents

from proper_shared import objects
from proper_shared.errors import FormatError
from proper_shared.secagg.checks import Refusal

# Of all that is not a piece of an array. Each value in it takes many times its bytes,
# so this is little; the longest thing in it is an offer, 67 bytes a member.
SMALL_NBYTES = 4 * 2**20


def kind_of(content: bytes) -> str:
    """Return what an object calls itself.

    Raises:
        Refusal: it is none, or of a kind that no message of ours has.
    """
    try:
        return objects.kind_of(content)
    except FormatError as error:
        raise Refusal("odd-objects", f"got {error}") from None
    except ValueError:
        raise Refusal("odd-objects", "got an object without a head") from None


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
    """Refuse objects that would need more room than they are allowed."""
    small = sum(len(c) for c in contents.values() if kind_of(c) != objects.PIECE)
    if small > SMALL_NBYTES:
        raise Refusal(
            "object-too-large",
            f"got {small:,} bytes around arrays, expected at most {SMALL_NBYTES:,}",
        )
    try:
        total = objects.arrays_nbytes(contents)
    except Exception as error:  # noqa: BLE001  it may be any JSON, and too deep
        kind = type(error).__name__
        raise Refusal("odd-objects", f"got an array that is none: {kind}") from None
    if total > most:
        raise Refusal(
            "object-too-large",
            f"got arrays of {total:,} bytes in all, expected at most {most:,}",
        )
