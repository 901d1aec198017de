"""Many users at once: one pass over the frozen backbone, each as if alone.

The adapters of U users lie in banks of U; one forward and one backward pass serve all
of them. The losses of the users are summed, so the gradient of a user's bank holds
that user's loss alone; Adam works number by number and the norm is clipped user by
user; order and dropout come from a generator of each user's own. A user's result is
the one of training alone, up to the rounding of products of other sizes.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from proper_shared.encoding import Batch, Example, collate
from proper_shared.errors import ModelError
from proper_shared.method.config import Recipe
from proper_shared.method.objective import own_constraint, stack_layers, text_loss
from proper_shared.method.stages import EMBEDDING, AdaptedModel, Stage

Report = Callable[[int, int, float], None]  # step, steps, mean loss of the users


@dataclass(frozen=True)
class Constraint:
    """The constraint loss as one device sees it.

    Attributes:
        weight: in front of the mean cosine with the peers.
        others: (U, L, E) the sum S without the user's own term.
        peers: (U,) how many users stand in that sum.
    """

    weight: float
    others: Tensor
    peers: Tensor


@dataclass(frozen=True)
class Trained:
    """What a cohort's training leaves besides the tensors in the model.

    Attributes:
        loss: (U,) mean loss of each user over the steps, in nats per target token.
        weight: (U, L, E) mean router weights over the steps; None but in stage `group`.
        direction: (U, L, E) mean normalised router weights, likewise.
    """

    loss: Tensor
    weight: Tensor | None = None
    direction: Tensor | None = None


def generator_for(seed: int, *purpose: str | int) -> torch.Generator:
    """Return a generator that depends on the seed and the purpose alone."""
    words = "\0".join(str(word) for word in (seed, *purpose))
    digest = hashlib.sha256(words.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def shuffled(
    examples: Sequence[Example], batch: int, generator: torch.Generator
) -> Iterator[list[Example]]:
    """Yield batches without end: all examples in a fresh order, then again."""
    while True:
        order = torch.randperm(len(examples), generator=generator).tolist()
        for start in range(0, len(order), batch):
            yield [examples[i] for i in order[start : start + batch]]


class CohortAdam:
    """AdamW over banks, with a gradient norm clipped user by user.

    Args:
        tensors: each (U, ...).
        recipe: rates, decay, clipping and caution.
        entries: how many each of the U users has.
    """

    def __init__(
        self,
        tensors: Mapping[str, nn.Parameter],
        recipe: Recipe,
        entries: Sequence[int],
    ) -> None:
        self.tensors = list(tensors.values())
        self.recipe = recipe
        counts = torch.tensor(entries, dtype=torch.float32)
        self.trust = (counts / (counts + recipe.caution)).to(self.tensors[0].device)
        self.rates = [
            recipe.embedding_rate if name == EMBEDDING else recipe.learning_rate
            for name in tensors
        ]
        self.first = [torch.zeros_like(t) for t in self.tensors]
        self.second = [torch.zeros_like(t) for t in self.tensors]
        self.count = 0

    @torch.no_grad()
    def step(self, share: float) -> None:
        """Move all tensors by their gradients, at `share` of the peak rates."""
        self.count += 1
        users = self.tensors[0].shape[0]
        grads = [
            torch.zeros_like(t) if t.grad is None else t.grad for t in self.tensors
        ]
        squares = torch.stack([g.reshape(users, -1).square().sum(1) for g in grads])
        norms = squares.sum(0).sqrt()  # (U,)
        factors = (self.recipe.clip_norm / norms.clamp(min=1e-12)).clamp(max=1)
        near, far = 0.9, 0.999
        for t, g, m, v, rate in zip(
            self.tensors, grads, self.first, self.second, self.rates, strict=True
        ):
            own = g * factors.reshape(-1, *[1] * (g.dim() - 1))
            m.lerp_(own, 1 - near)
            v.mul_(far).addcmul_(own, own, value=1 - far)
            scale = v.div(1 - far**self.count).sqrt_().add_(1e-8)
            pace = (share * rate * self.trust).reshape(-1, *[1] * (t.dim() - 1))
            t.mul_(1 - pace * self.recipe.weight_decay)
            t.sub_(m.div(scale).mul_(pace / (1 - near**self.count)))
            t.grad = None


@dataclass(frozen=True)
class Job:
    """One stage of training for the users of a cohort.

    Attributes:
        stage: what is trained.
        examples: for each of the U users, their examples, one at least.
        generators: for each user, of order and dropout.
        recipe: how.
        padding: token id that fills rows.
        only: of the two LoRA factors train "a" or "b" alone; None trains both.
        constraint: keeps routers of different users apart, where experts are trained.
    """

    stage: Stage
    examples: Sequence[Sequence[Example]]
    generators: Sequence[torch.Generator]
    recipe: Recipe
    padding: int
    only: Literal["a", "b"] | None = None
    constraint: Constraint | None = None


def train_cohort(
    adapted: AdaptedModel, job: Job, report: Report | None = None
) -> Trained:
    """Train one stage for each user of a cohort; the result is in the model's banks.

    Args:
        adapted: holds the parts that the stage needs; what is trained gets U banks.
        job: who is trained, on what and how.
        report: called after each step.

    Raises:
        ModelError: the loss became infinite or no number.
    """
    trained = adapted.seat(job.stage, len(job.examples))
    if job.only is not None:
        other = "b" if job.only == "a" else "a"
        for name in [n for n in trained if n.endswith(f".{other}")]:
            trained.pop(name).requires_grad = False
    optimiser = CohortAdam(trained, job.recipe, list(map(len, job.examples)))
    streams = [
        shuffled(own, job.recipe.batch, generator)
        for own, generator in zip(job.examples, job.generators, strict=True)
    ]
    total = _Totals()
    for step in range(job.recipe.steps):
        batch = collate([next(stream) for stream in streams], job.padding)
        loss = _pass(adapted, batch, job)
        if not bool(loss.isfinite().all()):
            raise ModelError(
                f"the loss is no number any more, at step {step + 1} of "
                f"{job.recipe.steps} of {job.stage}",
                hint="train at a lower rate, or get another release",
            )
        optimiser.step(job.recipe.share(step))
        total.add(loss, adapted)
        if report is not None:
            report(step + 1, job.recipe.steps, float(loss.mean()))
    return total.mean(job.recipe.steps)


def _pass(adapted: AdaptedModel, batch: Batch, job: Job) -> Tensor:
    """Run one step forward and backward; return the loss of each user, (U,)."""
    users, constraint = adapted.users, job.constraint
    users.open_pass(
        batch.mask.to(adapted.device),
        batch.extents,
        job.generators,
        record=job.stage == "group",
    )
    logits = adapted.logits(batch)
    loss = text_loss(logits, batch.targets.to(adapted.device), users.count)
    objective = loss.sum()
    if constraint is not None and constraint.weight > 0:
        directions = stack_layers(users.direction, adapted.layers)
        likeness = own_constraint(directions, constraint.others, constraint.peers)
        objective = objective + constraint.weight * likeness.sum()
    objective.backward()  # type: ignore[no-untyped-call]
    users.close_pass()
    return loss.detach()


class _Totals:
    """Sums over the steps of a training."""

    def __init__(self) -> None:
        self.loss: Tensor | float = 0.0
        self.weight: Tensor | float = 0.0
        self.direction: Tensor | float = 0.0

    def add(self, loss: Tensor, adapted: AdaptedModel) -> None:
        self.loss = self.loss + loss
        users = adapted.users
        if users.weight:
            weight = stack_layers(users.weight, adapted.layers).detach()
            self.weight = self.weight + weight
            direction = stack_layers(users.direction, adapted.layers).detach()
            self.direction = self.direction + direction

    def mean(self, steps: int) -> Trained:
        parts = [
            part / steps if isinstance(part, Tensor) else None
            for part in (self.loss, self.weight, self.direction)
        ]
        loss = parts[0]
        if loss is None:
            raise ValueError("nothing was trained: the recipe has no steps")
        return Trained(loss, parts[1], parts[2])
