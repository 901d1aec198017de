"""Who sits in a batch, and what the routers decided about them.

One `Users` object is shared by all adapted layers of a model. A batch holds the rows
of U users one after the other, b rows for each, so that a layer sees its input as
(U, b*T, d). U is the size of a cohort on the machine that trains it, never the number
of users of a federation.

Letters: U users in the batch, b rows for each, T tokens in a row, E experts,
k numbers in an embedding.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn

# experts; user LoRA; the router that looks at the user LoRA (of use with it alone)
Use = Literal["group", "user", "lora_router"]
MIDDLE = 0.5  # of the dial: the group level


class Users(nn.Module):
    """The seats of a batch.

    Attributes:
        embedding: (U, k) one vector for each seat.
        uses: the parts of the layers that take part in a forward pass.
        group_share, user_share: by which what the experts and the user LoRA add is
            multiplied; 1 but where somebody turned the dial (`dial`).
        weight: after a recorded pass, layer name -> (U, E), mean router weight.
        direction: likewise -> (U, E), mean of the normalised router weights.
    """

    def __init__(self, embedding_size: int) -> None:
        super().__init__()
        self.embedding = nn.Parameter(torch.zeros(1, embedding_size))
        self.uses: frozenset[Use] = frozenset()
        self.group_share = self.user_share = 1.0
        self.recording = False
        self.weight: dict[str, Tensor] = {}
        self.direction: dict[str, Tensor] = {}
        self._valid: Tensor | None = None  # (U, b*T, 1)
        self._extents: list[tuple[int, int]] = []
        self._row, self._start = 0, 0
        self._generators: Sequence[torch.Generator] = ()

    @property
    def count(self) -> int:
        """U, the number of seats."""
        return self.embedding.shape[0]

    def use(self, *parts: Use) -> None:
        """Choose the parts of the layers that take part in a forward pass, in full."""
        self.uses = frozenset(parts)
        self.group_share = self.user_share = 1.0

    def dial(self, strength: float) -> None:
        """Answer from a place between the levels; no answer jumps where it moves.

        0 is the population, 1/2 the group level and 1 the personal one, each exactly.
        Up to the middle what the experts add grows, from there what the user LoRA adds,
        and with it what the LoRA-aware router says.

        Args:
            strength: From 0 to 1.
        """
        if strength == 0:
            self.use()
        elif strength <= MIDDLE:
            self.use("group")
            self.group_share = strength / MIDDLE
        else:
            self.use("group", "user", "lora_router")
            self.user_share = (strength - MIDDLE) / (1 - MIDDLE)

    def open_pass(
        self,
        mask: Tensor,
        extents: Sequence[tuple[int, int]],
        generators: Sequence[torch.Generator],
        *,
        record: bool,
        start: int = 0,
    ) -> None:
        """Prepare one training pass, over a batch or a slice of its rows.

        Args:
            mask: (U*b, T) one where a token is real; rows are padded on the left.
            extents: for each user, (rows, tokens) of the user's own part of the batch,
                also where only a slice is passed.
            generators: one for each user, drawn from for dropout; empty for none.
            record: whether `weight` and `direction` are collected.
            start: row of each user's batch at which the slice begins.
        """
        valid = mask.reshape(self.count, -1, mask.shape[1]).to(torch.float32)
        for seat, (rows, _) in enumerate(extents):
            filled = max(0, rows - start)
            valid[seat, filled:] = 0  # rows that fill up a user's share say nothing
        self._valid = valid.reshape(self.count, -1, 1)
        self._row, self._start = mask.shape[1], start
        self._extents, self._generators = list(extents), generators
        self.recording = record
        self.weight, self.direction = {}, {}

    def close_pass(self) -> None:
        """Forget the pass: no dropout, nothing is recorded."""
        self._generators, self.recording = (), False

    def states(self) -> list[Tensor]:
        """Return where the generators of the pass stand."""
        return [generator.get_state() for generator in self._generators]

    @contextmanager
    def replay(self, states: Sequence[Tensor]) -> Iterator[None]:
        """Draw the same once more: a part of the pass is computed again.

        Args:
            states: of the generators, when the part was computed first.
        """
        generators, recording = self._generators, self.recording
        again = [torch.Generator() for _ in states]
        for generator, state in zip(again, states, strict=True):
            generator.set_state(state)
        self._generators, self.recording = again, False
        try:
            yield
        finally:
            self._generators, self.recording = generators, recording

    def drop(self, x: Tensor, p: float) -> Tensor:
        """Drop inputs with probability `p`, each user by a generator of their own.

        A user's mask covers the user's own rows and tokens, so it does not depend on
        who else is in the batch; a slice of rows takes its part of the whole mask.

        Args:
            x: (U, b*T, d).
            p: share that is dropped; the rest is scaled by 1 / (1 - p).
        """
        if not self._generators or p == 0:
            return x
        users, _, size = x.shape
        keep = x.new_zeros(users, x.shape[1] // self._row, self._row, size)
        last = self._start + keep.shape[1]
        for seat, generator in enumerate(self._generators):
            rows, tokens = self._extents[seat]
            own = _kept((rows, tokens, size), p, generator)
            own = own[self._start : last, -self._row :]
            keep[seat, : len(own), self._row - own.shape[1] :] = own.to(x.device)
        return x * keep.view_as(x).div_(1 - p)

    def record(self, layer: str, weights: Tensor) -> None:
        """Keep the means of a layer's router weights over the real tokens.

        Args:
            layer: name of the layer.
            weights: (U, b*T, E) router weights.
        """
        if not self.recording or self._valid is None:
            return
        valid = self._valid  # (U, b*T, 1)
        total = valid.sum(1)  # (U, 1)
        unit = weights / weights.norm(dim=-1, keepdim=True)
        self.weight[layer] = (weights * valid).sum(1) / total  # (U, E)
        self.direction[layer] = (unit * valid).sum(1) / total  # (U, E)


def _kept(shape: tuple[int, ...], p: float, generator: torch.Generator) -> Tensor:
    """Return a mask that is False with probability `p`, to 1 in 65536.

    Each 64 random bits serve four numbers: drawing them one by one with `bernoulli_`
    takes as long as the rest of a training step.
    """
    size = math.prod(shape)
    bits = torch.empty(-(-size // 4), dtype=torch.int64)
    bits.random_(-(2**63), None, generator=generator)
    least = round(p * 2**16) - 2**15
    return (bits.view(torch.int16)[:size] >= least).view(shape)
