"""Many users at once: one pass over the frozen backbone, each as if alone.

The adapters of U users lie in banks of U; one forward and one backward pass serve all
of them. The losses of the users are summed, so the gradient of a user's bank holds
that user's loss alone; Adam works number by number and the norm is clipped user by
user; order and dropout come from a generator of each user's own. A user's result is
the one of training alone, up to the rounding of products of other sizes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from proper_shared.encoding import collate
from proper_shared.errors import FormatError, ModelError
from proper_shared.method.config import Recipe
from proper_shared.method.job import Job
from proper_shared.method.objective import stack_layers
from proper_shared.method.passes import Passes
from proper_shared.method.stages import EMBEDDING, AdaptedModel

Report = Callable[[int, int, float], None]  # step, steps, mean loss of the users


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


def train_cohort(
    adapted: AdaptedModel, job: Job, report: Report | None = None
) -> Trained:
    """Train one stage for each user of a cohort; the result is in the model's banks.

    Args:
        adapted: holds the parts that the stage needs; what is trained gets U banks.
        job: who is trained, on what and how.
        report: called after each step.

    Raises:
        ModelError: the loss became infinite or no number, or memory is short.
    """
    training = CohortTraining(adapted, job)
    for _ in range(job.recipe.steps):
        loss = training.step()
        if report is not None:
            report(training.done, job.recipe.steps, loss)
    return training.trained()


class CohortTraining:
    """One stage in training, step by step; it can be put down and taken up again.

    Args:
        adapted: holds the parts that the stage needs; what is trained gets U banks.
        job: who is trained, on what and how.

    Attributes:
        done: steps so far.
        computed: examples so far, of all users together.
    """

    def __init__(self, adapted: AdaptedModel, job: Job) -> None:
        self.adapted, self.job = adapted, job
        trained = adapted.seat(job.stage, len(job.examples))
        if job.only is not None:
            other = "b" if job.only == "a" else "a"
            for name in [n for n in trained if n.endswith(f".{other}")]:
                trained.pop(name).requires_grad = False
        self._optimiser = CohortAdam(trained, job.recipe, job.entries)
        self._streams = job.streams()
        self._total, self._passes = _Totals(), Passes(adapted, job)
        self.done, self.computed = 0, 0

    def step(self) -> float:
        """Make one step; return the mean loss of the users.

        Raises:
            ModelError: the loss became infinite or no number, or memory is short.
        """
        job = self.job
        drawn = [[x for part in own for x in next(part)] for own in self._streams]
        self.computed += sum(map(len, drawn))
        loss = self._passes.run(collate(drawn, job.padding))
        if not bool(loss.isfinite().all()):
            raise ModelError(
                f"the loss is no number any more, at step {self.done + 1} of "
                f"{job.recipe.steps} of {job.stage}",
                hint="train at a lower rate, or get another release",
            )
        self._optimiser.step(job.recipe.share(self.done))
        self._total.add(loss, self.adapted)
        self.done += 1
        return float(loss.mean())

    def trained(self) -> Trained:
        """Return what the training leaves besides the tensors in the model."""
        return self._total.mean(self.job.recipe.steps)

    def state(self) -> dict[str, Tensor]:
        """Return all that the next steps depend on besides the model's tensors.

        Raises:
            ValueError: experts are trained; what is summed of them is not told.
        """
        if self.job.stage == "group":
            raise ValueError("a training of experts cannot be put down")
        state = {"done": torch.tensor(self.done)}
        state["computed"] = torch.tensor(self.computed)
        state["loss"] = torch.as_tensor(self._total.loss).clone()
        moments = (self._optimiser.first, self._optimiser.second)
        for name, tensors in zip(("first", "second"), moments, strict=True):
            state |= {f"{name}.{i}": t.cpu().clone() for i, t in enumerate(tensors)}
        for seat, own in enumerate(self._streams):
            state[f"generator.{seat}"] = self.job.generators[seat].get_state()
            for i, stream in enumerate(own):
                state[f"order.{seat}.{i}"] = stream.order.clone()
                state[f"start.{seat}.{i}"] = torch.tensor(stream.start)
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go back to where `state` was told; the model's tensors are the caller's.

        Raises:
            FormatError: it is of another training.
        """
        known = self.state()
        free = {name for name in known if name == "loss" or name.startswith("order.")}
        if state.keys() != known.keys() or any(
            state[name].dtype != tensor.dtype
            or (name not in free and state[name].shape != tensor.shape)
            for name, tensor in known.items()
        ):
            raise FormatError("the checkpoint is of another training")
        self.done, self.computed = int(state["done"]), int(state["computed"])
        self._total.loss = state["loss"].to(self.adapted.device)
        optimiser = self._optimiser
        optimiser.count = self.done
        for name, tensors in (("first", optimiser.first), ("second", optimiser.second)):
            for i, tensor in enumerate(tensors):
                tensor.copy_(state[f"{name}.{i}"])
        for seat, own in enumerate(self._streams):
            self.job.generators[seat].set_state(state[f"generator.{seat}"])
            for i, stream in enumerate(own):
                stream.order = state[f"order.{seat}.{i}"]
                stream.start = int(state[f"start.{seat}.{i}"])


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
