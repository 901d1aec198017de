"""One linear layer of a frozen backbone, adapted to a population, groups and users.

    population   y = W x + s B_p A_p x
    group        y = W x + c * sum_i w_i B_i A_i x,   w = user-aware router
    personal     y = (group) + z,   z = s B_u A_u x
    LoRA-aware   as personal, with w = LoRA-aware router of z

PROPER, section 3. Letters: W the frozen weight, here any linear module (also one in 4
bits); A (r, d_in), B (d_out, r); s = alpha / r; E experts; c = s or s / E
(`Method.expert_scale`); e the embedding of the user; W_x, W_u, W_l the routers.

Every adapter is a bank with a leading axis: 1 where all seats share it, U where each
has their own. All experts are one product: their A lie on top of each other, and the
weights of the router scale the low-rank activations in between. Dropout falls on what
the experts read and not on what the router reads. Nothing here grows with the number of
users of a federation.
"""

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from proper_shared.method.config import Lora, Method
from proper_shared.method.users import Users


def banked(x: Tensor, bank: Tensor) -> Tensor:
    """Multiply (U, n, i) by a bank (1 or U, o, i) to (U, n, o)."""
    if bank.shape[0] == 1:
        return F.linear(x, bank[0])
    return torch.bmm(x, bank.mT)


class LowRank(nn.Module):
    """A bank of LoRAs: `s B A x`. Fresh ones change nothing, since B is zero."""

    def __init__(self, size: tuple[int, int], lora: Lora, users: Users) -> None:
        super().__init__()
        d_in, d_out = size
        self.a = nn.Parameter(torch.empty(1, lora.rank, d_in))
        self.b = nn.Parameter(torch.zeros(1, d_out, lora.rank))
        nn.init.kaiming_uniform_(self.a[0], a=math.sqrt(5))
        self.lora = lora
        self.users = [users]  # in a list, so that it is not a submodule of each layer

    def forward(self, x: Tensor) -> Tensor:
        """Return (U, n, d_out) for x (U, n, d_in)."""
        low = banked(self.users[0].drop(x, self.lora.dropout), self.a)  # (U, n, r)
        return banked(low * self.lora.scale, self.b)


class Experts(nn.Module):
    """A bank of E experts behind a user-aware and a LoRA-aware router."""

    def __init__(self, size: tuple[int, int], method: Method, users: Users) -> None:
        super().__init__()
        d_in, d_out = size
        e, r = method.experts, method.group.rank
        self.a = nn.Parameter(torch.empty(1, e * r, d_in))
        self.b = nn.Parameter(torch.zeros(1, d_out, e * r))
        self.w_x = nn.Parameter(torch.zeros(1, e, d_in))
        self.w_u = nn.Parameter(torch.empty(1, e, method.embedding_size))
        self.w_l = nn.Parameter(torch.zeros(1, e, d_out))
        nn.init.kaiming_uniform_(self.a[0], a=math.sqrt(5))
        nn.init.orthogonal_(self.w_u[0], gain=2.0)
        self.method = method
        self.users = [users]

    def forward(self, x: Tensor, z: Tensor | None, layer: str) -> Tensor:
        """Mix the experts.

        Args:
            x: (U, n, d_in) input of the layer.
            z: (U, n, d_out) output of the user LoRA where the LoRA-aware router is
                used, else None.
            layer: name under which the router weights are recorded.

        Returns:
            (U, n, d_out), the weighted sum of the experts.
        """
        users = self.users[0]
        weights = self.route(banked(x, self.w_x), z)  # (U, n, E), nothing dropped
        low = banked(users.drop(x, self.method.group.dropout), self.a)  # (U, n, E*r)
        users.record(layer, weights)
        weights = weights * (self.method.expert_scale * users.group_share)
        low = low.reshape(*weights.shape, -1) * weights.unsqueeze(-1)  # (U, n, E, r)
        return banked(low.flatten(-2), self.b)

    def route(self, logits: Tensor, z: Tensor | None) -> Tensor:
        """Return the weights (U, n, E) of the experts for each token.

        Args:
            logits: (U, n, E), `W_x x`.
            z: (U, n, d_out) or None, as in `forward`.
        """
        users = self.users[0]
        replaces = z is not None and self.method.lora_router == "replace"
        if replaces and users.user_share == 1:
            return banked(cast("Tensor", z), self.w_l).softmax(-1)
        e = users.embedding.unsqueeze(1)  # (U, 1, k)
        own = banked(e, self.w_u)  # (U, 1, E)
        if self.method.user_router == "probability_sum":
            logits, own = logits.softmax(-1), own.softmax(-1)
        logits = logits + own
        if replaces:
            logits = logits * (1 - users.user_share)
        if z is not None:
            logits = logits + banked(z, self.w_l)
        return logits.softmax(-1)


class AdaptedLinear(nn.Module):
    """A frozen linear module with the parts that a stage puts beside it.

    Args:
        base: the frozen module, called as it is; its kind does not matter.
        size: (d_in, d_out) of `base`.
        name: path of `base` in its model.
        users: the seats of the batch, shared by all layers.
    """

    def __init__(
        self, base: nn.Module, size: tuple[int, int], name: str, users: Users
    ) -> None:
        super().__init__()
        self.base, self.size, self.name = base, size, name
        self.users = [users]
        self.population: LowRank | None = None
        self.group: Experts | None = None
        self.user: LowRank | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., d_out) for x (..., d_in) whose rows lie user after user."""
        y = cast("Tensor", self.base(x))
        population, user, group = self.population, self.user, self.group
        if population is None and user is None and group is None:
            return y
        users, uses = self.users[0], self.users[0].uses
        adapted: list[Tensor] = []
        wide = x.reshape(users.count, -1, self.size[0])  # (U, n, d_in)
        low = wide.dtype.itemsize < 4  # adapters are kept in full precision
        if low and not torch.is_autocast_enabled(x.device.type):
            wide = wide.float()
        if population is not None:
            adapted.append(population(wide))
        z: Tensor | None = None
        if user is not None and "user" in uses:
            z = cast("Tensor", user(wide))
            if users.user_share != 1:
                z = z * users.user_share
            adapted.append(z)
        if group is not None and "group" in uses:
            aware = z if "lora_router" in uses else None
            adapted.append(group(wide, aware, self.name))
        for part in adapted:
            y = y + part.reshape(y.shape).to(y.dtype)
        return y
