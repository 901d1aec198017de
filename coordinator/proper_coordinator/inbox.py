"""Replies of nodes, opened one at a time, each by itself and within a bound.

Flower's own grid opens all replies of a look together and lets out what goes wrong in
one of them, and it waits for one whose objects never come. Here the reply of one node
can be nothing worse than a reply that failed. Besides `superlink` this is the one
module of the coordinator that uses names which Flower keeps to itself (1.41.0).

Covered: objects that are none, of another kind, too many or too large, also once they
are unfolded (an array may name one piece many times); a reply that is announced and
never sent whole; a reply whose content names another letter.
Not covered: what the SuperLink itself does with what nodes send it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import httpx
from flwr.app import Error, Message
from flwr.app.message import make_message
from flwr.app.metadata import Metadata
from flwr.common.constant import ErrorCode
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ObjectTree,
    PullObjectRequest,
)
from flwr.proto.runtime_pb2 import PullAppMessagesRequest
from flwr.supercore.inflatable.inflatable_object import (
    get_object_id,
    iterate_object_tree,
)
from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents
from flwr.superlink.grid import HttpGrid

from proper_shared.errors import FormatError, ProtocolError
from proper_shared.objects import PIECE, arrays_nbytes, kind_of

MAX_OBJECTS = 4096  # of one reply
MAX_WORDS_NBYTES = 2**20  # of one reply: all that is no piece of an array


class _NotYetError(Exception):
    """An object is announced and still on its way to the SuperLink."""


@dataclass(frozen=True)
class _Reply:
    """A reply of which only the envelope was read.

    Attributes:
        name: of the reply itself, which is an object too.
        sender: number of the node, as the SuperLink knows it.
        tree: which objects it is made of.
    """

    name: str
    sender: int
    tree: ObjectTree


class Inbox(HttpGrid):
    """Flower's grid, with a way of its own to fetch replies.

    Args:
        address: of the SuperLink.
        root_certificates: PEM.
        token: of the run.
        max_nbytes: of one reply, before and after it is unfolded.
    """

    def __init__(
        self, address: str, root_certificates: bytes, token: str, max_nbytes: int
    ) -> None:
        super().__init__(address, root_certificates=root_certificates, token=token)
        self._max_nbytes = max_nbytes
        self._announced: dict[str, _Reply] = {}  # by the letter that is answered

    def pull_messages(self, message_ids: Iterable[str]) -> Iterator[Message]:
        """Yield the replies to letters that are there whole, or why there is none.

        Raises:
            httpx.HTTPError: the SuperLink is away, or does not know this run.
        """
        wanted = list(message_ids)
        request = PullAppMessagesRequest(message_ids=wanted)
        found = self._runtime_client.PullMessages(request)
        trees = found.message_object_trees
        for envelope, tree in zip(found.messages_list, trees, strict=True):
            head = envelope.metadata
            reply = _Reply(head.message_id, head.src_node_id, tree)
            # The SuperLink looked whether this node was asked that letter.
            self._announced.setdefault(head.reply_to_message_id, reply)
        self._announced = {k: r for k, r in self._announced.items() if k in wanted}
        for letter in wanted:
            if letter not in self._announced:
                continue
            if (opened := self._open(letter, self._announced[letter])) is not None:
                del self._announced[letter]
                yield opened

    def _open(self, letter: str, reply: _Reply) -> Message | None:
        """Return a reply, or the error that it is; None while it is not there yet."""
        content, error = None, None
        try:
            message = self._inflated(reply)
            content = None if message.has_error() else message.content
            error = message.error if message.has_error() else None
        except _NotYetError:
            return None
        except httpx.HTTPError:
            raise  # that is the SuperLink, and no node
        except ProtocolError as failure:
            error = Error(ErrorCode.UNKNOWN, str(failure))
        except Exception as failure:  # noqa: BLE001  what a node sent is its own fault
            kind = type(failure).__name__
            error = Error(ErrorCode.UNKNOWN, f"a reply that cannot be read: {kind}")
        self._confirm(reply)
        head = Metadata(
            run_id=self.run.run_id,
            message_id=reply.name,
            src_node_id=reply.sender,
            dst_node_id=self.node.node_id,
            reply_to_message_id=letter,
            group_id="",
            created_at=0.0,
            ttl=0.0,
            message_type="train",
        )
        return make_message(head, content=content, error=error)

    def _inflated(self, reply: _Reply) -> Message:
        """Fetch and unfold a reply.

        Raises:
            ProtocolError: it has too many, too large or unknown objects.
            Exception: whatever broken objects make of Flower.
        """
        tree = iterate_object_tree(reply.tree)
        names = [item.object_id for item in islice(tree, MAX_OBJECTS + 1)]
        if len(names) > MAX_OBJECTS:
            raise ProtocolError(f"a reply of more than {MAX_OBJECTS} objects")
        contents: dict[str, bytes] = {}
        left, words = self._max_nbytes, MAX_WORDS_NBYTES
        for name in dict.fromkeys(names):
            contents[name] = content = self._fetch(name)
            left -= len(content)
            words -= 0 if _kind_of(content) == PIECE else len(content)
            if left < 0 or words < 0:
                raise ProtocolError("a reply that is too large")
        if arrays_nbytes(contents) > self._max_nbytes:
            raise ProtocolError("a reply that is too large once it is unfolded")
        message = inflate_object_from_contents(reply.tree.object_id, contents)
        if not isinstance(message, Message):
            raise ProtocolError("a reply that is no message")
        return message

    def _fetch(self, name: str) -> bytes:
        asked = PullObjectRequest(
            node=self.node, run_id=self.run.run_id, object_id=name
        )
        found = self._runtime_client.PullObject(asked)
        if not found.object_found:
            raise ProtocolError("a reply of which a part is missing")
        if not found.object_available:
            raise _NotYetError
        if get_object_id(found.object_content) != name:
            raise ProtocolError("a reply with another object than it names")
        return bytes(found.object_content)

    def _confirm(self, reply: _Reply) -> None:
        """Say that a reply was received, so that it can be deleted."""
        self._runtime_client.ConfirmMessageReceived(
            ConfirmMessageReceivedRequest(
                node=self.node,
                run_id=self.run.run_id,
                message_object_id=reply.name,
            )
        )


def _kind_of(content: bytes) -> str:
    """Return what an object says that it is.

    Raises:
        ProtocolError: nothing that a reply is made of.
        ValueError: it does not say.
    """
    try:
        return kind_of(content)
    except FormatError as error:
        raise ProtocolError(f"a reply with {error}") from None
