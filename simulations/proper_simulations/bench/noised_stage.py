"""Stage 1 with one LoRA factor alone, so that little has to be noised.

Factor A stays as it was drawn; all users hold the same one, so the mean of their B is
the mean of their products too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from proper_client.answer import Answerer
from proper_shared.backbone import load_backbone
from proper_shared.encoding import Encoder, Example
from proper_shared.history import User
from proper_shared.method.cohort import train_cohort
from proper_shared.method.config import Lora, Method, Recipe
from proper_shared.method.job import Job, generator_for
from proper_shared.method.stages import AdaptedModel
from proper_shared.tasks import Task

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Step:
    """How one round is trained.

    Attributes:
        batch: entries of the one optimiser step that a user makes.
        entries: newest of each user that are read.
        rate: of that step, which is Adam's first and so moves each number by it.
        clip_norm: of an update.
        server_rate: step along the mean.
        momentum: of the server.
        at_once: users in one pass.
    """

    batch: int = 4
    entries: int = 32
    rate: float = 0.02
    clip_norm: float = 0.75
    server_rate: float = 2.0
    momentum: float = 0.5
    at_once: int = 100


class Stage:
    """The model, with the population LoRA beside it.

    Args:
        task: of all users.
        step: how a round is trained.
        seed: of the fixed factor and of the order of entries.
    """

    def __init__(self, task: Task, step: Step, seed: int) -> None:
        lora = Lora(rank=1, alpha=8, targets=("o_proj", "up_proj"))
        backbone = load_backbone("nano")
        self.step, self.seed = step, seed
        self.encoder = Encoder(backbone.tokenizer, task)
        self.adapted = AdaptedModel(backbone.model, Method(population=lora), seed)
        self.adapted.add("population")
        tensors = self.adapted.tensors("population")
        self._fixed = {
            n: t.detach().clone() for n, t in tensors.items() if n[-1] == "a"
        }
        self._shapes = {n: t.shape[1:] for n, t in tensors.items() if n[-1] == "b"}
        self._examples: dict[str, list[Example]] = {}

    @property
    def size(self) -> int:
        """How many numbers are trained, d."""
        return sum(shape.numel() for shape in self._shapes.values())

    def updates(self, users: Sequence[User], values: Numbers, round_: int) -> Numbers:
        """Return each user's update of the trained factor, (n, d).

        Args:
            users: n of them, each with an entry at least.
            values: (d,) the factor that all start from.
            round_: which round, from 0.
        """
        found = [
            self._pass(users[start : start + self.step.at_once], values, round_)
            for start in range(0, len(users), self.step.at_once)
        ]
        return np.concatenate(found)

    def asked(
        self, values: Numbers, users: Sequence[User]
    ) -> tuple[list[float], dict[str, float]]:
        """Ask all queries of some users.

        Args:
            values: (d,) the trained factor.
            users: each with a query at least.

        Returns:
            The mean loss of each user in nats per target token, and by name the share
            of right answers.
        """
        self._load(values)
        self.adapted.users.use()
        answerer = Answerer(self.adapted, self.encoder)
        queries = [entry for user in users for entry in user.queries]
        answers = iter(answerer.answers([[entry.text for entry in queries]])[0])
        right = {
            user.user_id: float(
                np.mean([q.output == next(answers) for q in user.queries])
            )
            for user in users
        }
        losses = [
            answerer.losses([[self.encoder.example(entry) for entry in user.queries]])[
                0
            ]
            for user in users
        ]
        return losses, right

    def _pass(self, users: Sequence[User], values: Numbers, round_: int) -> Numbers:
        self._load(values)
        self.adapted.users.use()
        job = Job(
            stage="population",
            examples=[self._examples_of(user) for user in users],
            generators=[generator_for(self.seed, u.user_id, round_) for u in users],
            recipe=Recipe(
                learning_rate=self.step.rate,
                steps=1,
                batch=self.step.batch,
                schedule="constant",
            ),
            padding=self.encoder.padding,
            only="b",
        )
        train_cohort(self.adapted, job)
        banks = self.adapted.tensors("population")
        rows = [banks[name].detach().reshape(len(users), -1) for name in self._shapes]
        trained: Numbers = torch.cat(rows, dim=1).double().cpu().numpy()  # (n, d)
        return trained - values.astype(np.float32)

    def _load(self, values: Numbers) -> None:
        """Seat one bank for all, with this factor B, (d,)."""
        parts, start = dict(self._fixed), 0
        for name, shape in self._shapes.items():
            end = start + shape.numel()
            part = torch.from_numpy(values[start:end]).float()
            parts[name], start = part.reshape(1, *shape), end
        self.adapted.load(parts)

    def _examples_of(self, user: User) -> list[Example]:
        if user.user_id not in self._examples:
            newest = user.profile[-self.step.entries :]
            self._examples[user.user_id] = [self.encoder.example(e) for e in newest]
        return self._examples[user.user_id]
