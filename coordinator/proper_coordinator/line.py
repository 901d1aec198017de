"""Letters to the nodes of a federation and their replies, as Flower carries them.

Covered: nodes that vanish, come late, answer under another's number or with anything
but what was asked, or too much of it; a stop between two looks for replies.
Not covered: what the bytes of an answer say (see `proper_shared.aggregation`).
"""

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from proper_shared.errors import ProperError, ProtocolError
from proper_shared.friendly import one_line
from proper_shared.offers import Offer
from proper_shared.orders import header_of
from proper_shared.rounds import Order

MAX_REASON = 200  # characters of a node's own words that go into the log
MAX_WORDS_NBYTES = 2**16  # of a reply that says who a node is
AWAY = "is away"
IDENTITY_HEX = 64  # of an Ed25519 public key

_log = logging.getLogger(__name__)


class StoppedError(ProperError):
    """The coordinator was asked to stop; the last complete round is kept."""


@dataclass(frozen=True)
class Node:
    """One node of the federation.

    Attributes:
        number: Flower's, drawn anew at each start; None for one that is away.
        identity: Ed25519 public key of the member behind it, hexadecimal.
    """

    number: int | None
    identity: str


class Line:
    """Letters to nodes and their replies, counted.

    Args:
        grid: Carries them.
        poll_s: Seconds between two looks for replies.
        stop: Ends the waiting.
    """

    def __init__(self, grid: Grid, poll_s: float, stop: threading.Event) -> None:
        self.grid = grid
        self.bytes_down = 0
        self.bytes_up = 0
        self._poll_s = poll_s
        self._stop = stop

    def pause(self) -> None:
        """Wait for one look.

        Raises:
            StoppedError: the run was asked to stop.
        """
        if self._stop.wait(self._poll_s):
            raise StoppedError("stopped, the last complete round is kept")

    def ask(
        self,
        kind: str,
        letters: Mapping[int, RecordDict],
        deadline: float,
        most: int = MAX_WORDS_NBYTES,
    ) -> dict[int, RecordDict | str]:
        """Send each node its letter and gather the replies.

        Args:
            kind: Flower's message type.
            letters: Content by node number.
            deadline: Of `time.monotonic`; later replies are not waited for.
            most: Bytes of a reply; no more of one is kept.

        Returns:
            For each node its reply, or why there is none.

        Raises:
            StoppedError: the run was asked to stop.
        """
        replies: dict[int, RecordDict | str] = dict.fromkeys(letters, "not delivered")
        waiting = {}
        for number, content in letters.items():
            # One by one: a list comes back shorter where a letter was not taken.
            for message_id in self.grid.push_messages([Message(content, number, kind)]):
                if message_id:
                    waiting[message_id] = number
                    replies[number] = "no answer in time"
                    self.bytes_down += _nbytes(content)
        while waiting:
            # A node that vanished answers under a wrong number: only the number of
            # the letter says whose reply it is.
            for reply in self.grid.pull_messages(list(waiting)):
                if (name := reply.metadata.reply_to_message_id) in waiting:
                    replies[waiting.pop(name)] = self._read(reply, most)
            if not waiting or time.monotonic() > deadline:
                break
            self.pause()
        return replies

    def _read(self, reply: Message, most: int) -> RecordDict | str:
        if reply.has_error():
            reason = reply.error.reason or f"error {reply.error.code}"
            return one_line(" ".join(reason.split()))[:MAX_REASON]
        self.bytes_up += (nbytes := _nbytes(reply.content))
        return reply.content if nbytes <= most else f"got more than {most:,} bytes"


def showing(log: bytes) -> RecordDict:
    """Return a letter that shows a node the log and asks who it is."""
    return RecordDict({"log": ArrayRecord({"bytes": raw(log)})} if log else {})


def introduction(reply: RecordDict) -> tuple[int | None, str]:
    """Return the seat and identity that a node gives; no seat if they are none."""
    if "member" not in reply.config_records:
        return None, ""
    record = reply.config_records["member"]
    seat, identity = record.get("seat"), record.get("identity")
    if type(seat) is not int or seat < 0 or not isinstance(identity, str):
        return None, ""
    if len(identity) != IDENTITY_HEX or set(identity) - set("0123456789abcdef"):
        return None, ""
    return seat, identity


def letter(offer: Offer, request: bytes, order: Order | None) -> RecordDict:
    """Return what a member is asked in one phase of a sum.

    Args:
        offer: of the sum.
        request: of the phase.
        order: of the sum, in its first phase alone, where the offer stands beside it.
    """
    records = RecordDict()
    records["round"] = ConfigRecord({"serial": offer.serial, "attempt": offer.attempt})
    records["request"] = ArrayRecord({"bytes": raw(request)})
    if order is not None:
        records["offer"] = ConfigRecord({"json": offer.dump()})
        records["order"] = ConfigRecord({**header_of(order)})
        records["parameters"] = ArrayRecord({"vector": Array(order.parameters)})
    return records


def raw(data: bytes) -> Array:
    """Return bytes as Flower's array, which it sends in pieces where they are many."""
    return Array("uint8", (len(data),), "proper.bytes", data)


def sort_replies(
    replies: Mapping[int, RecordDict | str], nodes: Mapping[int, Node]
) -> tuple[dict[int, bytes], dict[int, str]]:
    """Return answers, and why there is none, by seat."""
    answers: dict[int, bytes] = {}
    failed: dict[int, str] = {}
    for seat, node in nodes.items():
        reply = AWAY if node.number is None else replies[node.number]
        if isinstance(reply, str):
            failed[seat] = reply
            continue
        try:
            answers[seat] = _answer(reply)
        except ProtocolError as error:
            failed[seat] = str(error)
    return answers, failed


def _answer(reply: RecordDict) -> bytes:
    """Return the bytes of a reply.

    Raises:
        ProtocolError: the reply holds anything else.
    """
    record = reply.array_records.get("answer", ArrayRecord())
    if reply.keys() != {"answer"} or record.keys() != {"bytes"}:
        raise ProtocolError("got a reply with other records, expected one answer")
    return record["bytes"].data


def _nbytes(content: RecordDict) -> int:
    arrays = sum(record.count_bytes() for record in content.array_records.values())
    configs = sum(record.count_bytes() for record in content.config_records.values())
    return arrays + configs
