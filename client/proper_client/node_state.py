"""What a device remembers from one round to the next, and where Flower keeps it.

A member's state is kept with the round that it belongs to and the state before, so
that an order that comes again starts where it started the first time. It moves on once
the sum that holds the member's vector may be opened, and not when training ends: who
drops out in between is as it was, and its share of S (see `shares`) is the one that the
coordinator's S holds.

Not covered: a round that the coordinator drops after it was opened, and a device that
dies between its vector and the last phase; a member cannot know what came of these.
"""

from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from proper_client.member import State
from proper_shared.terms import Terms


@dataclass(frozen=True)
class When:
    """A round of one run, whichever sum and attempt of it.

    Attributes:
        run: hexadecimal, as in the offer.
        stage: of the part.
        round: from 0.
    """

    run: str
    stage: str
    round: int

    @classmethod
    def of(cls, terms: Terms) -> Self:
        """Return when a sum is made."""
        return cls(terms.offer.run, terms.order.stage, terms.order.round)


@dataclass(frozen=True)
class Memory:
    """A member's state with the round that it belongs to.

    Attributes:
        last: The last round whose sum holds this member's vector.
        before: The state that this round found.
        after: The state that it left.
    """

    last: When
    before: State
    after: State

    def start_of(self, when: When) -> State:
        """Return the state from which a round starts, also if it comes again.

        Another run has other parts and another S: there everybody starts anew.
        """
        if when.run != self.last.run:
            return {}
        return dict(self.before if when == self.last else self.after)


NOTHING = Memory(When("", "", -1), {}, {})


class Keeper(Protocol):
    """Where members' states outlive the process."""

    def load(self, seat: int) -> Memory | None:
        """Return what was saved last for this seat, if anything was."""
        ...

    def save(self, seat: int, memory: Memory) -> None:
        """Replace what is saved for this seat."""
        ...


def write_memory(records: RecordDict, memory: Memory) -> None:
    """Put a memory into a node's records, beside what else is there."""
    records["last"] = ConfigRecord({**vars(memory.last)})
    records["before"] = _to_arrays(memory.before)
    records["after"] = _to_arrays(memory.after)


def read_memory(records: RecordDict) -> Memory | None:
    """Return the memory in a node's records, if there is one."""
    if "last" not in records.config_records:
        return None
    last = records.config_records["last"]
    return Memory(
        When(str(last["run"]), str(last["stage"]), int(str(last["round"]))),
        _from_arrays(records.array_records["before"]),
        _from_arrays(records.array_records["after"]),
    )


def _to_arrays(state: State) -> ArrayRecord:
    return ArrayRecord({name: Array(value) for name, value in state.items()})


def _from_arrays(record: ArrayRecord) -> State:
    return {name: array.numpy().astype(np.float32) for name, array in record.items()}
