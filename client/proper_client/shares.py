"""A member's own share of the moving sum S, which never leaves the device.

The coordinator's S holds everybody's directions, older rounds fading. A member has to
be pushed away from the others and not from itself, so it fades its own share alike
and takes it out.

Covered: rounds that the member sat out or fell out of (see `node_state`).
Not covered: rounds that failed for all. S does not fade in them and a share does.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from proper_client.member import Member, State
from proper_shared.method.cohort import Constraint
from proper_shared.rounds import Order


def constraint_of(
    order: Order,
    received: Mapping[str, NDArray[np.floating]],
    members: Sequence[Member],
) -> Constraint:
    """Return S without each member's own share, and how many peers are in it.

    Args:
        order: of the group part.
        received: with "S" (L, E) and "S.count" (1,).
        members: their shares are brought up to the round of the order.
    """
    for member in members:
        _age(member.state, order, np.zeros_like(received["S"]))
    others = [torch.from_numpy(received["S"] - m.state["own"]) for m in members]
    peers = [float(received["S.count"][0] - m.state["own.count"][0]) for m in members]
    return Constraint(
        order.schedule.constraint_weight, torch.stack(others), torch.tensor(peers)
    )


def keep_share(order: Order, state: State, direction: NDArray[np.floating]) -> None:
    """Bring a member's share up to the sum that this round makes.

    Args:
        order: of the group part.
        state: of a member who has been through `constraint_of`.
        direction: (L, E) what the member adds to the sum in this round.
    """
    new = order.schedule.damping
    state["own"] = ((1 - new) * state["own"] + new * direction).astype(np.float32)
    state["own.count"] = ((1 - new) * state["own.count"] + new).astype(np.float32)
    state["own.round"] = np.array([order.round + 1], np.float32)


def _age(state: State, order: Order, nothing: NDArray[np.float32]) -> None:
    """Let a share fade over the rounds that its member sat out."""
    if "own" not in state:
        state["own"], state["own.count"] = nothing, np.zeros(1, np.float32)
        state["own.round"] = np.array([order.round], np.float32)
    missed = order.round - float(state["own.round"][0])
    fade = (1 - order.schedule.damping) ** missed
    state["own"] = (state["own"] * fade).astype(np.float32)
    state["own.count"] = (state["own.count"] * fade).astype(np.float32)
    state["own.round"] = np.array([order.round], np.float32)
