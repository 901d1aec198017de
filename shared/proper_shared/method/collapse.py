"""From experts and routers to one plain LoRA a layer: static gates in their place.

A router weighs the experts token by token, which no stock format can say. With one
fixed weight g_i for each expert the layer is a LoRA again:

    c * sum_i g_i B_i A_i x + s B_u A_u x  =  [c g_1 B_1 .. c g_E B_E, s B_u] [A; A_u] x

The gates are the mean of a person's own router weights over the tokens that predict
their answers (over all tokens more is lost, see docs/log.md), or, where there is
nothing to read, what the embedding alone asks for.

Covered: exact but for the gates; `proper-client export` measures what those cost.
Not covered: a router whose weights differ much from token to token.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from proper_shared.encoding import IGNORED, Batch, Example, collate
from proper_shared.method.config import Lora
from proper_shared.method.layer import AdaptedLinear, LowRank
from proper_shared.method.stages import AdaptedModel

Gates = dict[str, Tensor]  # layer -> (E,)
Factors = dict[str, tuple[Tensor, Tensor]]  # layer -> A (R, d_in), B (d_out, R)
Where = Literal["tokens", "answers"]


@torch.no_grad()
def gates_of_embedding(adapted: AdaptedModel) -> Gates:
    """Return what the routers decide of the embedding, with nothing to read."""
    aware = "lora_router" in adapted.users.uses
    gates: Gates = {}
    for name, layer in adapted.layers.items():
        if layer.group is None:
            continue
        nothing = torch.zeros(1, 1, adapted.method.experts, device=adapted.device)
        z = torch.zeros(1, 1, layer.size[1], device=adapted.device) if aware else None
        gates[name] = layer.group.route(nothing, z)[0, 0]
    return gates


@torch.no_grad()
def gates_of_entries(
    adapted: AdaptedModel,
    examples: Sequence[Example],
    padding: int,
    *,
    where: Where = "answers",
    rows: int = 16,
) -> Gates:
    """Return the mean router weights of the one user in the model.

    Args:
        adapted: the parts in use are those that will answer.
        examples: what is read, one at least.
        padding: token id that fills rows.
        where: over all tokens, or over those that predict an answer.
        rows: read at once.
    """
    users = adapted.users
    sums: Gates = {}
    total = 0.0
    for start in range(0, len(examples), rows):
        batch = collate([examples[start : start + rows]], padding)
        counted = batch.mask if where == "tokens" else _answering(batch)
        users.open_pass(counted.to(adapted.device), batch.extents, (), record=True)
        try:
            adapted.logits(batch)
        finally:
            users.close_pass()
        count = float(counted.sum())
        for name, weight in users.weight.items():
            sums[name] = sums.get(name, 0.0) + weight[0] * count
        total += count
    return {name: weight / total for name, weight in sums.items()}


def _answering(batch: Batch) -> Tensor:
    """Return a mask (b, T) of the tokens behind which a token of an answer stands."""
    mask = torch.zeros_like(batch.mask)
    width = batch.targets.shape[1]
    mask[:, -width - 1 : -1] = (batch.targets != IGNORED).to(mask.dtype)
    return mask


@torch.no_grad()
def collapsed(adapted: AdaptedModel, gates: Gates) -> Factors:
    """Return the parts in use as one LoRA a layer, which is scaled by one.

    Args:
        adapted: with one user.
        gates: of each layer with experts.
    """
    factors: Factors = {}
    for name, layer in adapted.layers.items():
        parts = _parts(layer, gates.get(name), adapted)
        if parts:
            a = torch.cat([a for a, _ in parts])
            factors[name] = a, torch.cat([b for _, b in parts], dim=1)
    return factors


def _parts(
    layer: AdaptedLinear, gates: Tensor | None, adapted: AdaptedModel
) -> list[tuple[Tensor, Tensor]]:
    uses, method = adapted.users.uses, adapted.method
    parts: list[tuple[Tensor, Tensor]] = []
    if layer.population is not None:
        lora = layer.population
        parts.append((lora.a[0], lora.b[0] * lora.lora.scale))
    if layer.group is not None and gates is not None and "group" in uses:
        weights = (gates * method.expert_scale).repeat_interleave(method.group.rank)
        parts.append((layer.group.a[0], layer.group.b[0] * weights))
    if layer.user is not None and "user" in uses:
        lora = layer.user
        parts.append((lora.a[0], lora.b[0] * lora.lora.scale))
    return parts


def install(adapted: AdaptedModel, factors: Factors) -> None:
    """Put collapsed LoRAs in the place of experts, routers and user LoRA."""
    for part in ("group", "user"):
        adapted.remove(part)
    adapted.users.use("user")
    for name, (a, b) in factors.items():
        layer, rank = adapted.layers[name], len(a)
        leaf = name.rpartition(".")[2]
        lora = Lora.model_validate({"rank": rank, "alpha": rank, "targets": (leaf,)})
        layer.user = LowRank(layer.size, lora, adapted.users).to(a.device)
        layer.user.requires_grad_(requires_grad=False)
        layer.user.a.copy_(a[None])
        layer.user.b.copy_(b[None])
        layer.population = None


@torch.no_grad()
def merge(
    adapted: AdaptedModel, factors: Mapping[str, tuple[Tensor, Tensor]], dtype: str
) -> None:
    """Add collapsed LoRAs to the weights, which get the precision of `dtype`.

    Args:
        adapted: weights that are not quantised.
        factors: of `collapsed`.
        dtype: such as "float16"; the weights stay in their type, rounded to that.
    """
    short: torch.dtype = getattr(torch, dtype)
    for part in ("population", "group", "user"):
        adapted.remove(part)
    for name, (a, b) in factors.items():
        weight: Tensor = adapted.layers[name].base.weight  # type: ignore[assignment]
        weight.copy_((weight.double() + b.double() @ a.double()).to(weight.dtype))
    for parameter in adapted.model.parameters():
        parameter.copy_(parameter.to(short))
