"""What the stages minimise: the loss of the text, and likeness between users.

The constraint loss of PROPER (section 3.2) makes the routers of different users
differ. Over unordered pairs of users it is

    sum_{u<v} E_{x,x'} cos(w_u(x), w_v(x')) = 1/2 sum_u n_u . (S - n_u)

with n_u = E_x[w_u(x) / |w_u(x)|], one vector of E numbers in each layer, and
S = sum_v n_v. The second form needs one sum over users and no pair of them, so it can
be had without anybody showing their n_u: the gradient in the part of user u is that of
n_u . (S - n_u) with S - n_u held fixed.
"""

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

ALONE = 1e-3  # peers; what is left of a sum below this is rounding


def text_loss(
    logits: Tensor, targets: Tensor, users: int, tokens: Tensor | None = None
) -> Tensor:
    """Mean negative log likelihood of each user's target tokens, in nats.

    Args:
        logits: (U*b, K, V), position j predicts target j.
        targets: (U*b, K) token ids, -100 where there is none.
        users: U.
        tokens: (U,) what the sums are divided by, where the targets are a part of a
            batch; None for the number of the targets.

    Returns:
        (U,) zero for a user without targets.
    """
    nll = F.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), reduction="none"
    )
    if tokens is None:
        tokens = target_tokens(targets, users)
    return nll.reshape(users, -1).sum(1) / tokens


def target_tokens(targets: Tensor, users: int) -> Tensor:
    """Count each user's target tokens, (U,); one where there are none."""
    known = (targets != -100).reshape(users, -1)  # (U, b*K)
    return known.sum(1).clamp(min=1)


def pair_constraint(directions: Tensor) -> Tensor:
    """Sum of cosines over all unordered pairs, written out pair by pair.

    Args:
        directions: (U, L, E) mean normalised router weights, n_u in each layer.

    Returns:
        scalar, mean over the L layers.
    """
    total = directions.new_zeros(())
    for u in range(directions.shape[0]):
        for v in range(u + 1, directions.shape[0]):
            total = total + (directions[u] * directions[v]).sum()
    return total / directions.shape[1]


def sum_constraint(directions: Tensor) -> Tensor:
    """Return the same number as `pair_constraint` from the sum S alone."""
    others = directions.sum(0, keepdim=True) - directions  # (U, L, E)
    return 0.5 * (directions * others).sum() / directions.shape[1]


def own_constraint(directions: Tensor, others: Tensor, peers: Tensor) -> Tensor:
    """Each user's part of the constraint, against peers who hold still.

    Args:
        directions: (U, L, E) n_u, with gradient.
        others: (U, L, E) S - n_u as last summed; no gradient flows into it.
        peers: (U,) how many users stand in `others`; under 1 while a moving sum fills.

    Returns:
        (U,) mean cosine with the peers, mean over layers; zero without peers.
    """
    cosine = (directions * others.detach()).sum(-1).mean(-1)  # (U,)
    some = peers > ALONE
    return torch.where(some, cosine / torch.where(some, peers, 1), 0)


def stack_layers(by_layer: Mapping[str, Tensor], layers: Iterable[str]) -> Tensor:
    """Stack (U, E) of each layer to (U, L, E).

    Args:
        by_layer: layer name -> (U, E), in any order: a forward pass has its own.
        layers: names in the order of the model, `AdaptedModel.layers`; those without
            a tensor are left out.
    """
    return torch.stack([by_layer[name] for name in layers if name in by_layer], dim=1)
