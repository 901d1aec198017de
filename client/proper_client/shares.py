"""A member's own share of the moving sum S, which never leaves the device.

The coordinator's S holds everybody's directions, older rounds fading. A member has to
be pushed away from the others and not from itself, so it fades its own share alike
and takes it out.

Covered: rounds that the member sat out or fell out of (see `node_state`), and rounds
that failed for all, in which neither S nor a share fades.
Not covered: a sum that was dropped after it was opened. It stays in the shares of those
who gave it until it has faded.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from proper_client.member import Member, State
from proper_shared.method.job import Constraint
from proper_shared.rounds import Order


def constraint_of(
    order: Order,
    received: Mapping[str, NDArray[np.floating]],
    members: Sequence[Member],
) -> Constraint:
    """Return S without each member's own share, and how many peers are in it.

    Args:
        order: of the group part.
        received: with "S" (L, E), "S.count" (1,) and "S.folds" (1,).
        members: their shares are brought up to the received S.
    """
    for member in members:
        _age(member.state, order, received)
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
    state["own.folds"] = state["own.folds"] + np.float32(1)


def _age(
    state: State, order: Order, received: Mapping[str, NDArray[np.floating]]
) -> None:
    """Let a share fade over the rounds of S that its member sat out."""
    folds = received["S.folds"].astype(np.float32)
    if "own" not in state:
        state["own"] = np.zeros_like(received["S"])
        state["own.count"], state["own.folds"] = np.zeros(1, np.float32), folds
    missed = max(0.0, float(folds[0] - state["own.folds"][0]))
    fade = (1 - order.schedule.damping) ** missed
    state["own"] = (state["own"] * fade).astype(np.float32)
    state["own.count"] = (state["own.count"] * fade).astype(np.float32)
    state["own.folds"] = folds
