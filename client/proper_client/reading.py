"""What the population model makes of entries: features that tell where a user lies."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from proper_shared.encoding import IGNORED, Example, collate
from proper_shared.grouping import WIDTH, Features
from proper_shared.method.job import generator_for
from proper_shared.method.stages import EMBEDDING, AdaptedModel
from proper_shared.parts import last_product, output_head

NEWEST = 64  # entries of a user that tell where they lie
ROWS = 16  # read at once; logits of a large vocabulary are wide


class Reader:
    """Reads what goes into the last feed-forward product, and what the loss asks of it.

    Args:
        adapted: its experts and user LoRAs are not used while reading.
        rows: how many entries are read at once, at most.
    """

    def __init__(self, adapted: AdaptedModel, rows: int = ROWS) -> None:
        self.adapted, self.rows = adapted, rows
        head = output_head(adapted.model)
        self.weight = head.weight  # (V, w)
        self.product = last_product(adapted.model)
        bare = cast("nn.Linear", getattr(self.product, "base", self.product))
        self.projections = _projection(bare.in_features), _projection(head.in_features)

    @torch.no_grad()
    def read(self, examples: Sequence[Example], padding: int) -> Features:
        """Return the features of each target token, in order.

        Args:
            examples: of one user, in time order; the newest alone are read.
            padding: token id that fills rows.
        """
        newest = examples[-NEWEST:]
        parts = [
            self._read(newest[start : start + self.rows], padding)
            for start in range(0, len(newest), self.rows)
        ]
        both = [torch.cat(part) for part in zip(*parts, strict=True)]
        x, d = (a @ p for a, p in zip(both, self.projections, strict=True))
        return Features(x.numpy(), d.numpy())

    def _read(self, examples: Sequence[Example], padding: int) -> tuple[Tensor, Tensor]:
        """Return inputs and negative gradients, (n, *), as wide as they are."""
        batch = collate([examples], padding)
        seen: list[Tensor] = []
        hook = self.product.register_forward_pre_hook(
            lambda _module, inputs: seen.append(inputs[0])
        )
        self.adapted.users.use()
        one = self.adapted.users.embedding.detach()[:1]
        self.adapted.load({EMBEDDING: one})  # a cohort may have been here before
        try:
            logits = self.adapted.logits(batch).float().cpu()  # (b, K, V)
        finally:
            hook.remove()
        known = batch.targets != IGNORED  # (b, K)
        before = slice(-known.shape[1] - 1, -1)  # each token is asked one earlier
        inputs = seen[0][:, before].float().cpu()[known]
        wanted = -logits[known].softmax(-1)  # (n, V)
        wanted[torch.arange(len(wanted)), batch.targets[known]] += 1
        return inputs, wanted @ self.weight.detach().float().cpu()


def _projection(size: int) -> Tensor:
    """Return (size, min(size, WIDTH)): public, the same on every device."""
    if size <= WIDTH:
        return torch.eye(size)
    drawn = torch.randn(size, WIDTH, generator=generator_for(0, "grouping"))
    projection: Tensor = drawn / WIDTH**0.5
    return projection
