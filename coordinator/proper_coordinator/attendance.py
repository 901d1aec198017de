"""Who is here, and who sits where.

A node is met once: it is shown the log and says which seat it has. Before each round
whoever came meanwhile is met too, and a round begins once a quorum of its block is
here, since with fewer there is no sum.

Covered: a node that claims another member's seat, where the SuperLink tells by which
key it knows each node; members that come late, come back under another number, or whose
device is gone for good (they are away, and stay in the block).
Not covered: who sits at the device; a simulation, where a node's word is taken.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from proper_coordinator.line import Line, Node, introduction, showing
from proper_coordinator.plan import Plan
from proper_shared.errors import ConfigError, ProtocolError
from proper_shared.secagg.quorum import quorum

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seated:
    """Who was given a seat.

    Attributes:
        identity: Ed25519 public key, hexadecimal.
        node_key: PEM, by which the SuperLink knows the device; None where the device is
            gone for good.
        name: What the operator calls the person; empty where nobody said.
    """

    identity: str
    node_key: str | None
    name: str = ""


Seats = Mapping[int, Seated]


@dataclass
class Attendance:
    """Knows which nodes are here, and meets those that come.

    Attributes:
        line: to the nodes.
        plan: whom to wait for, and how long.
        log: of the federation's members; empty in a simulation.
        seats: who sits where; None takes the nodes' word for it.
        say: told whom is waited for.
    """

    line: Line
    plan: Plan
    log: bytes = b""
    seats: Seats | None = None
    say: Callable[[str], None] = _log.info
    _nodes: dict[int, Node] = field(default_factory=dict)
    _met: set[int] = field(default_factory=set)
    _said: str = ""

    def gather(self) -> None:
        """Wait for the first nodes, and meet them.

        Raises:
            ProtocolError: fewer than `plan.min_nodes` came in time.
            StoppedError: the run was asked to stop.
        """
        deadline = time.monotonic() + self.plan.join_timeout_s
        while len(found := self._found()) < self.plan.min_nodes:
            if time.monotonic() > deadline:
                raise ProtocolError(
                    f"{len(found)} nodes came within {self.plan.join_timeout_s:.0f} s, "
                    f"expected {self.plan.min_nodes}",
                    hint="start more clients, or ask for fewer with min_clients",
                )
            self._waiting(f"{len(found)} of {self.plan.min_nodes} clients are here")
            self.line.pause()
        self._meet(found)
        if not self._nodes:
            raise ProtocolError(f"none of {len(found)} nodes may take part")
        if self.seats is not None:
            self.say(f"{len(self._nodes)} of {len(self.everybody)} members are here")

    @property
    def everybody(self) -> tuple[int, ...]:
        """All seats that may be divided into blocks, also those that are away now."""
        if self.seats is None:
            return tuple(self._nodes)
        return tuple(sorted(s for s, who in self.seats.items() if who.node_key))

    def members(self, cohort: Sequence[int]) -> dict[int, Node]:
        """Wait for a quorum of a block; return who sits at its seats.

        They come without their number where they are away; whoever was met and is not
        here at this moment is asked all the same, and may be back in time.

        Raises:
            StoppedError: the run was asked to stop.
        """
        deadline = time.monotonic() + self.plan.join_timeout_s
        while True:
            self._meet(found := self._found())
            here = [s for s in cohort if self._node(s).number in found]
            enough = len(here) >= self._quorum(cohort) or self.is_lost(cohort)
            if enough or time.monotonic() > deadline:
                return {seat: self._node(seat) for seat in cohort}
            self._waiting(f"{len(here)} of a block of {len(cohort)} are here")
            self.line.pause()

    def expect_quorum(self, members: Mapping[int, Node]) -> None:
        """Refuse to begin a round that cannot come to a sum.

        Raises:
            ProtocolError: too few were met.
        """
        met = sum(node.number is not None for node in members.values())
        if met < (least := self._quorum(members)):
            raise ProtocolError(
                f"{met} of the {len(members)} members of the block came, "
                f"expected {least}"
            )

    def is_lost(self, cohort: Collection[int]) -> bool:
        """Tell whether so many of a block are gone for good that it has no sum."""
        return len(cohort) - len(self._gone(cohort)) < self._quorum(cohort)

    def check_blocks(self, divided: Sequence[Sequence[int]]) -> None:
        """Say which blocks come to nothing any more.

        Raises:
            ConfigError: none of them does.
        """
        lost = [block for block in divided if self.is_lost(block)]
        for block in lost:
            self.say(
                f"a block of {len(block)} comes to no sum any more: the devices of "
                f"{len(self._gone(block))} are gone for good"
            )
        if lost and len(lost) == len(divided):
            raise ConfigError(
                "too many members are gone for good, no block comes to a sum",
                hint="begin another run, with blocks of those who are left: move the "
                "folder checkpoints away",
            )

    def _gone(self, cohort: Collection[int]) -> list[int]:
        left = cohort if self.seats is None else self.everybody
        return [seat for seat in cohort if seat not in left]

    def _quorum(self, cohort: Collection[int]) -> int:
        return quorum(len(cohort)) if self.plan.masked else 1

    def _node(self, seat: int) -> Node:
        """Return the node at a seat, or that it is away.

        Raises:
            ConfigError: nobody knows who sits there.
        """
        if seat in self._nodes:
            return self._nodes[seat]
        if self.seats is None or seat not in self.seats:
            raise ConfigError(
                f"seat {seat} is in a block, and it is not known who sits there",
                hint="put its entry back into members.json; `remove` says that a "
                "device is gone for good",
            )
        return Node(None, self.seats[seat].identity)

    def _found(self) -> dict[int, int | None]:
        """Return the numbers of all nodes here, with the seat where the key tells it.

        Nodes of no seat are left out.
        """
        if self.seats is None:
            return dict.fromkeys(sorted(self.line.grid.get_node_ids()))
        own = {seated.node_key: seat for seat, seated in self.seats.items()}
        keys = {
            node.node_id: node.public_key.decode("ascii", "replace")
            for node in self.line.grid.get_nodes()
        }
        return {
            number: own[keys[number]] for number in sorted(keys) if keys[number] in own
        }

    def _meet(self, found: Mapping[int, int | None]) -> None:
        """Show those who are new the log, and learn their seats and identities."""
        letters = {number: showing(self.log) for number in found.keys() - self._met}
        deadline = time.monotonic() + self.plan.phase_timeout_s
        replies = self.line.ask("query", letters, deadline) if letters else {}
        for number, reply in sorted(replies.items()):
            if isinstance(reply, str):  # is met another time
                _log.warning("node %d does not say who it is: %s", number, reply)
                continue
            self._met.add(number)
            seat, identity = introduction(reply)
            if seat is None or not self._may_sit(number, seat, identity, found):
                _log.warning("node %d has no seat of its own, it is left out", number)
            elif self.plan.seats is None or seat in self.plan.seats:
                self._nodes[seat] = Node(number, identity)
        self._nodes = dict(sorted(self._nodes.items()))

    def _may_sit(
        self, number: int, seat: int, identity: str, found: Mapping[int, int | None]
    ) -> bool:
        """Tell whether a node is who it says it is, as far as one can know."""
        if seat in self._nodes and self._nodes[seat].number in found:
            return False
        others = (node for at, node in self._nodes.items() if at != seat)
        if identity in {node.identity for node in others}:
            return False
        if self.seats is None:
            return True
        return found[number] == seat and self.seats[seat].identity == identity

    def _waiting(self, words: str) -> None:
        """Say whom is waited for, each time that it changes."""
        if words != self._said:
            self.say(f"{words}, waiting for more")
        self._said = words
