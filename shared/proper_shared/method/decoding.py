"""Decode for one user with as few products as there can be.

One token is one row, and a row through a small layer costs less than the calls that
send it there. So while answers are decoded a layer has one matrix F that reads x once:

    F = [ W ; R, each row r times ; A_1 .. A_E ; A_u ]      R = W_x + s W_l B_u A_u
    y = W x + [ softmax(R x + W_u e) * A x ; A_u x ] [ r c B ; s B_u ]^T

The LoRA-aware router is linear in x up to its softmax, so it falls into the router that
reads x; W_u e does not depend on x and is a bias. A row of R stands there r times, so
that its weight lies beside each of the r numbers it weighs: softmax over all of them
gives a weight's r-th part, hence r c. Layers that read the same x share one F: `gate`
and `up`, and `q`, `k` and `v`, also where nothing is added to them.

Covered: one user, without gradients, at any level and strength; several tokens at once
(a prompt), other routers than `logit_sum`, and layers with a population beside them go
the usual way. Answers are the usual ones up to rounding.
Not covered: users who sit together; training, for which nothing changes.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from proper_shared.method.layer import AdaptedLinear, Experts, LowRank
from proper_shared.method.stages import AdaptedModel

TOGETHER = (("gate_proj", "up_proj"), ("q_proj", "k_proj", "v_proj"))  # read one x
SMALL = 1 << 19  # numbers of a W that is copied into F: beyond, a call costs nothing


class Lane:
    """Layers that read the same x, and the one product that serves them all.

    Args:
        layers: of the same size, with the same parts in use; perhaps with none, and
            small then.
    """

    def __init__(self, layers: Sequence[AdaptedLinear]) -> None:
        self.layers = layers
        bases = [layer.base for layer in layers]
        self.whole = all(map(_is_small, bases))
        folded = [_Folded(layer) for layer in layers]
        rows, biases = [], []
        for base, own in zip(bases, folded, strict=True):
            if self.whole and isinstance(base, nn.Linear):
                rows.append(base.weight.detach())
                none = base.weight.new_zeros(base.out_features)
                biases.append(none if base.bias is None else base.bias.detach())
            rows.append(own.rows)
            biases.append(own.bias)
        self.matrix = torch.cat(rows)  # (n*D, d_in)
        bias = torch.cat(biases)  # (n*D,)
        self.bias = bias if bias.any() else None
        self.up = torch.stack([own.up for own in folded])  # (n, k, d_out)
        width = layers[0].size[1] if self.whole else 0
        self.gates, self.low = folded[0].gates, self.up.shape[1]
        self.cuts = (width, self.gates, self.low)  # D, in parts
        self._read: Tensor | None = None
        self._left: list[Tensor | None] = []

    def ask(self, x: Tensor, place: int) -> Tensor:
        """Return what layer `place` makes of one token, (1, 1, d_in) to (1, 1, d_out).

        The other layers' answers wait until they are asked with the same x.
        """
        if x is not self._read or self._left[place] is None:
            self._read, self._left = x, self._all(x)
        found = cast("Tensor", self._left[place])
        self._left[place] = None
        if self.whole:
            return found
        y: Tensor = self.layers[place].base(x)
        return y + found.to(y.dtype)

    def _all(self, x: Tensor) -> list[Tensor | None]:
        if x.dtype != self.matrix.dtype:
            x = x.to(self.matrix.dtype)
        out, count = F.linear(x, self.matrix, self.bias), len(self.layers)
        if count > 1:
            out = out.view(count, 1, -1)  # (n, 1, D)
        if self.low:
            y, logits, low = torch.split_with_sizes(out, self.cuts, -1)
            if self.gates:
                low.narrow(-1, 0, self.gates).mul_(logits.softmax(-1))
            out = torch.baddbmm(y, low, self.up) if self.whole else low.bmm(self.up)
        return [out] if count == 1 else [*torch.split_with_sizes(out, [1] * count)]


class Seat(nn.Module):
    """Stands for an adapted layer while its user's answers are decoded.

    Args:
        lane: that the layer is one of.
        place: its number there.
    """

    def __init__(self, lane: Lane, place: int) -> None:
        super().__init__()
        self.layer, self.place = lane.layers[place], place
        self.ask, self.size = lane.ask, self.layer.size[0]

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., d_out) for x (..., d_in); one token takes the short way."""
        if x.numel() == self.size and x.dim() == 3:
            return self.ask(x, self.place)
        usual: Tensor = self.layer(x)
        return usual


class _Folded:
    """The rows that one layer adds to F, its bias, and the B that follow.

    Attributes:
        gates: E*r, how many numbers the experts make; 0 without experts.
        rows: (2*E*r + r_u, d_in).
        bias: as many numbers.
        up: (E*r + r_u, d_out).
    """

    def __init__(self, layer: AdaptedLinear) -> None:
        users = layer.users[0]
        user = layer.user if "user" in users.uses else None
        group = layer.group if "group" in users.uses else None
        self.gates = 0
        rows: list[Tensor] = []
        up: list[Tensor] = []
        own: Tensor | None = None
        if group is not None:
            rank = group.method.group.rank
            self.gates = group.a.shape[1]
            routed, own = _routed(group, user)
            rows += [routed.repeat_interleave(rank, 0), group.a[0].double()]
            own = own.repeat_interleave(rank, 0)
            scale = rank * group.method.expert_scale * users.group_share
            up.append(group.b[0].double().T * scale)
        if user is not None:
            rows.append(user.a[0].double())
            up.append(user.b[0].double().T * user.lora.scale * users.user_share)
        weight = torch.empty(0, dtype=torch.float64, device=users.embedding.device)
        d_in, d_out = layer.size
        joined = torch.cat([weight.view(0, d_in), *rows])
        bias = joined.new_zeros(len(joined))
        if own is not None:
            bias[: self.gates] = own
        self.rows, self.bias = joined.float(), bias.float()
        self.up = torch.cat([weight.view(0, d_out), *up]).float()


def _routed(group: Experts, user: LowRank | None) -> tuple[Tensor, Tensor]:
    """Return R (E, d_in), in double precision, and what is added to R x: (E,)."""
    users = group.users[0]
    routed = group.w_x[0].double()
    own = group.w_u[0].double() @ users.embedding[0].double()
    if user is None or "lora_router" not in users.uses:
        return routed, own
    share = users.user_share
    z = user.b[0].double() @ user.a[0].double() * user.lora.scale * share
    if group.method.lora_router == "replace":
        routed, own = routed * (1 - share), own * (1 - share)
    return routed + group.w_l[0].double() @ z, own


@contextmanager
def decoding(adapted: AdaptedModel) -> Iterator[None]:
    """Let the one user in a model be answered token by token with few products.

    Level, strength and user have to stay as they are meanwhile. Does nothing where
    several users sit in the model.
    """
    seats = _seats(adapted) if adapted.users.count == 1 else {}
    try:
        for path, seat in seats.items():
            _put(adapted, path, seat)
        yield
    finally:
        for path in seats:
            _put(adapted, path, adapted.layers[path])


@torch.no_grad()
def _seats(adapted: AdaptedModel) -> dict[str, nn.Module]:
    """Return what stands for each layer: the frozen module where nothing is gained."""
    seats: dict[str, nn.Module] = {}
    lanes: dict[tuple[object, ...], list[AdaptedLinear]] = {}
    for path, layer in adapted.layers.items():
        used = tuple(p for p in ("group", "user") if _has(layer, p))
        folds = "group" not in used or adapted.method.user_router == "logit_sum"
        if layer.population is not None or not folds:
            continue
        if not used:
            seats[path] = layer.base
        if used or _is_small(layer.base):
            parent, _, leaf = path.rpartition(".")
            reads = next((read for read in TOGETHER if leaf in read), leaf)
            lanes.setdefault((parent, reads, layer.size, used), []).append(layer)
    for layers in lanes.values():
        if layers[0].name not in seats or len(layers) > 1:
            lane = Lane(layers)
            seats |= {layer.name: Seat(lane, n) for n, layer in enumerate(layers)}
    return seats


def _has(layer: AdaptedLinear, part: str) -> bool:
    return part in layer.users[0].uses and getattr(layer, part) is not None


def _put(adapted: AdaptedModel, path: str, module: nn.Module) -> None:
    parent, _, leaf = path.rpartition(".")
    setattr(adapted.model.get_submodule(parent), leaf, module)


def _is_small(base: nn.Module) -> bool:
    if type(base) is not nn.Linear or base.weight.dtype != torch.float32:
        return False
    return base.weight.numel() <= SMALL
