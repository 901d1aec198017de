"""What a device remembers from one round to the next, and where Flower keeps it.

A member's state is kept with the round that it belongs to and the state before, so
that an order that comes again starts where it started the first time.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from proper_client.member import State
from proper_shared.rounds import Order


@dataclass(frozen=True)
class Memory:
    """A member's state with the round that it belongs to.

    Attributes:
        last: Stage and round of the last order that was answered.
        before: The state that this order found.
        after: The state that it left.
    """

    last: tuple[str, int]
    before: State
    after: State

    def start_of(self, order: Order) -> State:
        """Return the state from which `order` starts, also if it is sent again."""
        again = self.last == (order.stage, order.round)
        return dict(self.before if again else self.after)


NOTHING = Memory(("", -1), {}, {})


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
    stage, number = memory.last
    records["last"] = ConfigRecord({"stage": stage, "round": number})
    records["before"] = _to_arrays(memory.before)
    records["after"] = _to_arrays(memory.after)


def read_memory(records: RecordDict) -> Memory | None:
    """Return the memory in a node's records, if there is one."""
    if "last" not in records.config_records:
        return None
    last = records.config_records["last"]
    return Memory(
        (str(last["stage"]), int(str(last["round"]))),
        _from_arrays(records.array_records["before"]),
        _from_arrays(records.array_records["after"]),
    )


def _to_arrays(state: State) -> ArrayRecord:
    return ArrayRecord({name: Array(value) for name, value in state.items()})


def _from_arrays(record: ArrayRecord) -> State:
    return {name: array.numpy().astype(np.float32) for name, array in record.items()}
