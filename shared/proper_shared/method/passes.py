"""One step forward and backward, in as much memory as there is.

A batch whose activations do not fit is cut into slices of rows, whose gradients add up
to those of the whole: each slice is divided by the tokens of the whole batch, and takes
its part of the dropout masks that the whole batch would have drawn. With checkpointing
a block keeps its input alone and is computed again on the way back, under the same
masks. Both change the result by rounding alone; without either nothing changes.

Covered: a GPU that runs out of memory once in a training; the step is taken again in
slices half as high.
Not covered: stages that record routers (`group`) are not cut, since the constraint is
about whole batches; memory of a CPU, where the system ends a process instead of saying
so.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from proper_shared.encoding import Batch
from proper_shared.errors import ModelError
from proper_shared.method.job import Job
from proper_shared.method.layer import AdaptedLinear
from proper_shared.method.objective import (
    own_constraint,
    stack_layers,
    target_tokens,
    text_loss,
)
from proper_shared.method.stages import AdaptedModel
from proper_shared.method.users import Users

Contexts = tuple[AbstractContextManager[None], AbstractContextManager[None]]


class Passes:
    """Forward and backward passes of one training.

    Args:
        adapted: what is trained has its banks.
        job: whose passes.
    """

    def __init__(self, adapted: AdaptedModel, job: Job) -> None:
        self.adapted, self.job, self.limits = adapted, job, job.limits
        self._is_second = False

    def run(self, batch: Batch) -> Tensor:
        """Add the gradients of a batch; return the loss of each user, (U,).

        Raises:
            ModelError: memory did not suffice, twice or for a single row.
        """
        states = [generator.get_state() for generator in self.job.generators]
        while True:
            try:
                return self._run(batch, states)
            except torch.OutOfMemoryError as error:
                rows = self._height(batch)
                if self._is_second or rows == 1 or self.job.stage == "group":
                    raise _too_small(rows) from error
            # outside of `except`, which would keep the tensors of the first trial
            self._is_second = True
            self.limits = replace(self.limits, rows=-(-rows // 2))
            self._forget(states)

    def _forget(self, states: list[Tensor]) -> None:
        """Be as before a step that failed half-way."""
        self.adapted.users.close_pass()
        for tensor in self.adapted.stage_tensors(self.job.stage).values():
            tensor.grad = None
        self._rewind(states)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _rewind(self, states: list[Tensor]) -> None:
        for generator, state in zip(self.job.generators, states, strict=True):
            generator.set_state(state)

    def _height(self, batch: Batch) -> int:
        """Return how many rows of each user are computed at once."""
        whole = batch.ids.shape[0] // self.adapted.users.count
        return min(whole, self.limits.rows or whole)

    def _run(self, batch: Batch, states: list[Tensor]) -> Tensor:
        users, height = self.adapted.users.count, self._height(batch)
        whole = batch.ids.shape[0] // users
        with recomputed(self.adapted) if self.limits.checkpointing else nullcontext():
            if height == whole:
                return self._slice(batch, 0)
            if self.job.stage == "group":
                raise ValueError("the stage group is computed in one pass")
            tokens = target_tokens(batch.targets, users).to(self.adapted.device)
            losses = []
            for start in range(0, whole, height):
                self._rewind(states)
                part = cut(batch, users, start, height)
                losses.append(self._slice(part, start, tokens))
        return torch.stack(losses).sum(0)

    def _slice(self, batch: Batch, start: int, tokens: Tensor | None = None) -> Tensor:
        """Pass some rows; return what they add to the loss of each user, (U,)."""
        adapted, job = self.adapted, self.job
        users, constraint = adapted.users, job.constraint
        users.open_pass(
            batch.mask.to(adapted.device),
            batch.extents,
            job.generators,
            record=job.stage == "group",
            start=start,
        )
        logits = adapted.logits(batch)
        targets = batch.targets.to(adapted.device)
        loss = text_loss(logits, targets, users.count, tokens)
        objective = loss.sum()
        if constraint is not None and constraint.weight > 0:
            directions = stack_layers(users.direction, adapted.layers)
            likeness = own_constraint(directions, constraint.others, constraint.peers)
            objective = objective + constraint.weight * likeness.sum()
        objective.backward()  # type: ignore[no-untyped-call]
        users.close_pass()
        return loss.detach()


def cut(batch: Batch, users: int, start: int, height: int) -> Batch:
    """Return `height` rows of each user from row `start` on, or what is left of them.

    Columns in which nobody has a token are left out; `extents` stay those of the
    whole batch.
    """

    def rows_of(tensor: Tensor) -> Tensor:
        by_user = tensor.reshape(users, -1, tensor.shape[1])
        return by_user[:, start : start + height].flatten(0, 1)

    mask = rows_of(batch.mask)
    first = int(mask.argmax(1).min())  # rows are padded on the left
    first = min(first, mask.shape[1] - 1 - batch.targets.shape[1])
    first = max(first, 0)
    ids, targets = rows_of(batch.ids)[:, first:], rows_of(batch.targets)
    return Batch(ids, mask[:, first:], targets, batch.extents)


@contextmanager
def recomputed(adapted: AdaptedModel) -> Iterator[None]:
    """Let each block keep its input alone, and be computed again on the way back."""
    blocks = blocks_of(adapted.model)
    for block in blocks:
        block.forward = partial(
            checkpoint,
            block.forward,
            use_reentrant=False,
            context_fn=_contexts(adapted.users),
        )
    try:
        yield
    finally:
        for block in blocks:
            del block.forward  # the one of its class is there again


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """Return the blocks of a decoder: members of a list that hold adapted layers."""
    return [
        block
        for module in model.modules()
        if isinstance(module, nn.ModuleList)
        for block in module
        if any(isinstance(inner, AdaptedLinear) for inner in block.modules())
    ]


def _contexts(users: Users) -> Callable[[], Contexts]:
    """Let the second computation of a block draw what the first has drawn."""

    def contexts() -> Contexts:
        states = users.states()  # right before the block is computed first
        return nullcontext(), users.replay(states)

    return contexts


def _too_small(rows: int) -> ModelError:
    what = "one example" if rows == 1 else f"{rows} examples"
    return ModelError(
        f"the memory of the GPU is too small for {what} at once",
        hint="close what else uses the GPU, or train with --precision 4bit or "
        "--device cpu",
    )
