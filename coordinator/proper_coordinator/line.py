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

from proper_coordinator.plan import Plan
from proper_shared.errors import ProperError, ProtocolError
from proper_shared.friendly import one_line
from proper_shared.offers import Offer
from proper_shared.orders import header_of
from proper_shared.rounds import Order

MAX_REASON = 200  # characters of a node's own words that go into the log
MAX_WORDS_NBYTES = 2**16  # of a reply that says who a node is
IDENTITY_HEX = 64  # of an Ed25519 public key

RecordType = ArrayRecord | ConfigRecord  # what a message holds by name

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
                number = waiting.pop(reply.metadata.reply_to_message_id, None)
                if number is not None:
                    replies[number] = self._read(reply, most)
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


def meet(
    line: Line,
    plan: Plan,
    log: bytes = b"",
    identities: Mapping[int, str] | None = None,
) -> dict[int, Node]:
    """Wait for the nodes, show them the log, and learn their seats and identities.

    Args:
        line: to the nodes.
        plan: whom to wait for, and how long.
        log: of the federation's members; empty in a simulation.
        identities: who sits at which seat; None takes the nodes' word for it.

    Returns:
        The node of each seat that may take part, by ascending seat.

    Raises:
        ProtocolError: fewer than `plan.min_nodes` came in time.
        StoppedError: the run was asked to stop.
    """
    deadline = time.monotonic() + plan.join_timeout_s
    while len(found := sorted(line.grid.get_node_ids())) < plan.min_nodes:
        if time.monotonic() > deadline:
            raise ProtocolError(
                f"{len(found)} nodes came within {plan.join_timeout_s:.0f} s, "
                f"expected {plan.min_nodes}",
                hint="start more clients, or ask for fewer with min_nodes",
            )
        line.pause()
    shown = {"log": ArrayRecord({"bytes": raw(log)})} if log else {}
    letters = {number: RecordDict({**shown}) for number in found}
    nodes: dict[int, Node] = {}
    for number, reply in line.ask("query", letters, deadline).items():
        seat, identity = _introduction(reply)
        taken = {node.identity for node in nodes.values()}
        wrong = identities is not None and identities.get(seat or 0) != identity
        if seat is None or seat in nodes or identity in taken or wrong:
            _log.warning("node %d has no seat of its own, it is left out", number)
        elif plan.seats is None or seat in plan.seats:
            nodes[seat] = Node(number, identity)
    if not nodes:
        raise ProtocolError(f"none of {len(found)} nodes may take part")
    return dict(sorted(nodes.items()))


def _introduction(reply: RecordDict | str) -> tuple[int | None, str]:
    """Return the seat and identity that a node gives; no seat if they are none."""
    if isinstance(reply, str) or "member" not in reply.config_records:
        return None, ""
    record = reply.config_records["member"]
    seat, identity = record.get("seat"), record.get("identity")
    if type(seat) is not int or seat < 0 or not isinstance(identity, str):
        return None, ""
    if len(identity) != IDENTITY_HEX or set(identity) - set("0123456789abcdef"):
        return None, ""
    return seat, identity


def opening(offer: Offer, order: Order) -> dict[str, RecordType]:
    """Return what the first letter of a round holds besides the request."""
    return {
        "offer": ConfigRecord({"json": offer.dump()}),
        "order": ConfigRecord({**header_of(order)}),
        "parameters": ArrayRecord({"vector": Array(order.parameters)}),
    }


def request_records(offer: Offer, request: bytes) -> dict[str, RecordType]:
    """Return what every letter of a round holds."""
    return {
        "round": ConfigRecord({"serial": offer.serial, "attempt": offer.attempt}),
        "request": ArrayRecord({"bytes": raw(request)}),
    }


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
        reply = "is away" if node.number is None else replies[node.number]
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
