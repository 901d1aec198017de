"""The user level: from a release and a history to a model of one's own.

    1. fit the embedding of the new user, all else frozen: from where the entries lie
    2. train the user LoRA
    3. train the LoRA-aware router from the shipped warm start
    4. choose, on entries kept aside, which level answers this user best
    5. learn the kept entries as well, from where all entries lie

PROPER, section 3.3; 1, 4 and 5 are ours. Nothing here leaves the device. Many users
are trained in one pass; each result is the one of training alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from proper_client.answer import Answerer
from proper_client.reading import Reader
from proper_shared.encoding import Encoder, Example
from proper_shared.errors import FormatError
from proper_shared.grouping import first_embedding
from proper_shared.history import User, split_for_validation
from proper_shared.method.cohort import Job, generator_for, train_cohort
from proper_shared.method.config import Recipe
from proper_shared.method.stages import (
    EMBEDDING,
    STAGES,
    AdaptedModel,
    Stage,
)
from proper_shared.method.users import Use
from proper_shared.packing import Arrays

Level = Literal["population", "group", "personal"]
LEVELS: dict[Level, tuple[Use, ...]] = {
    "population": (),
    "group": ("group",),
    "personal": ("group", "user", "lora_router"),
}
LEAD = {"label": 1.0, "score": 1.0, "text": 3.0}  # of the population, as `costs`
PHASES: tuple[Stage, ...] = ("embedding", "user", "lora_router")
Progress = Callable[[str, int, int, float], None]  # phase, step, steps, loss


class PersonalRecipe(BaseModel):
    """How a personal model is trained; the same on every device."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedding: Recipe = Field(description="step 1, the new user's embedding")
    user: Recipe = Field(description="step 2, the user LoRA")
    lora_router: Recipe = Field(description="step 3, the LoRA-aware router")
    absorb: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="step 5: share of the steps spent on all entries",
    )

    @property
    def work(self) -> int:
        """How many examples are computed in all steps, at most."""
        passes = [self] if self.absorb == 0 else [self, self.shortened()]
        recipes = [getattr(own, phase) for own in passes for phase in PHASES]
        return sum(recipe.steps * recipe.batch for recipe in recipes)

    def shortened(self) -> "PersonalRecipe":
        """Return the recipe of step 5."""
        phases: dict[str, Recipe] = {}
        for phase in PHASES:
            recipe: Recipe = getattr(self, phase)
            steps = max(1, round(recipe.steps * self.absorb))
            phases[phase] = recipe.model_copy(update={"steps": steps})
        return self.model_copy(update=phases)


@dataclass(frozen=True)
class Ground:
    """What the user level stands on: a model that holds a release.

    Attributes:
        adapted: population merged, group loaded, the mean embedding in its seat.
        encoder: of the task.
        reading: the arrays that tell where a user lies, `grouping.READING`.
    """

    adapted: AdaptedModel
    encoder: Encoder
    reading: Arrays


@dataclass
class Personal:
    """What one user has of their own.

    Attributes:
        tensors: embedding, user LoRA and W_l by name, without the axis of banks.
        level: which level answers this user best.
        costs: of all entries kept aside, by level, see `Answerer.costs`; empty where
            none were.
    """

    tensors: dict[str, Tensor]
    level: Level = "group"
    costs: dict[Level, float] = field(default_factory=dict)


class Personaliser:
    """Trains the user level over a model that holds a release.

    Args:
        ground: the release.
        recipe: of the user level.
        seed: of order, dropout and fresh adapters.
        cohort_size: how many users are trained in one pass, at most.
    """

    def __init__(
        self,
        ground: Ground,
        recipe: PersonalRecipe,
        seed: int = 0,
        cohort_size: int = 50,
    ) -> None:
        self.adapted, self.encoder, self.recipe = ground.adapted, ground.encoder, recipe
        self.reading, self.reader = ground.reading, Reader(ground.adapted)
        self.seed, self.cohort_size = seed, cohort_size
        self.adapted.add("user")
        self.fresh = {
            name: tensor.detach()[0].clone() for name, tensor in self._own().items()
        }

    def _own(self) -> dict[str, Tensor]:
        """Return the tensors that belong to a user, by name."""
        own: dict[str, Tensor] = {}
        for stage in PHASES:
            own |= self.adapted.stage_tensors(stage)
        return own

    def seat(self, people: Sequence[Personal]) -> None:
        """Put users into the model, one bank for each."""
        self.adapted.load(
            {
                name: torch.stack([person.tensors[name] for person in people])
                for name in self.fresh
            }
        )

    def newcomer(self) -> Personal:
        """Return a user of whom nothing is known: mean embedding, fresh adapters."""
        return Personal(dict(self.fresh))

    def place(self, users: Sequence[User]) -> list[Personal]:
        """Return users who stand where their entries lie, and have learnt nothing.

        Args:
            users: with an entry each.
        """
        return [
            self._placed([self.encoder.example(entry) for entry in user.profile])
            for user in users
        ]

    def fit(
        self, users: Sequence[User], progress: Progress | None = None
    ) -> list[Personal]:
        """Train a personal model for each user from their profile.

        Args:
            users: their profiles may be empty; such a user stays a newcomer.
            progress: called after each step.

        Returns:
            The personal models, in the order of the users.
        """
        people = {user.user_id: self.newcomer() for user in users}
        ready = [user for user in users if user.profile]
        ready.sort(key=lambda user: (len(user.profile), user.user_id))
        for start in range(0, len(ready), self.cohort_size):
            cohort = ready[start : start + self.cohort_size]
            report = progress
            if progress is not None and len(ready) > self.cohort_size:
                report = _named(progress, f", users from {start + 1}")
            for user, person in zip(cohort, self._fit(cohort, report), strict=True):
                people[user.user_id] = person
        return [people[user.user_id] for user in users]

    def _fit(self, users: Sequence[User], progress: Progress | None) -> list[Personal]:
        """Run the five steps for one cohort; everybody has an entry at least."""
        parts = [split_for_validation(user.profile) for user in users]
        learnt = [[self.encoder.example(e) for e in train] for train, _ in parts]
        aside = [[self.encoder.example(e) for e in kept] for _, kept in parts]
        people = [self._placed(own) for own in learnt]
        names = [user.user_id for user in users]
        self._train(people, names, learnt, self.recipe, progress)
        self.choose(people, aside)
        more = [seat for seat, kept in enumerate(aside) if kept]
        if self.recipe.absorb > 0 and more:  # who kept nothing aside has learnt it all
            whole = [learnt[seat] + aside[seat] for seat in more]
            for seat, own in zip(more, whole, strict=True):
                people[seat].tensors[EMBEDDING] = self._place_of(own)
            self._train(
                [people[seat] for seat in more],
                [names[seat] for seat in more],
                whole,
                self.recipe.shortened(),
                progress and _named(progress, " again"),
            )
        return people

    def _placed(self, examples: Sequence[Example]) -> Personal:
        """Return a newcomer who stands where their entries lie."""
        return Personal({**self.fresh, EMBEDDING: self._place_of(examples)})

    def _place_of(self, examples: Sequence[Example]) -> Tensor:
        """Return the embedding (k,) of where entries lie.

        Raises:
            FormatError: the release's arrays lead to no finite place.
        """
        features = self.reader.read(examples, self.encoder.padding)
        mean = self.fresh[EMBEDDING]
        with np.errstate(all="ignore"):  # what overflows is refused here, once
            own = first_embedding(self.reading, features, len(mean))
        if not np.isfinite(own).all():
            raise FormatError(
                "the arrays that tell where a user lies lead beyond all numbers",
                hint="the release is damaged: get another",
            )
        return torch.from_numpy(own).to(mean.device)

    def _train(
        self,
        people: Sequence[Personal],
        names: Sequence[str],
        examples: Sequence[Sequence[Example]],
        recipe: PersonalRecipe,
        progress: Progress | None,
    ) -> None:
        """Run steps 1 to 3 from where the people stand."""
        self.seat(people)
        for phase in PHASES:
            self.adapted.users.use(*STAGES[phase].uses)
            job = Job(
                stage=phase,
                examples=examples,
                generators=[
                    generator_for(self.seed, phase, name, len(own))
                    for name, own in zip(names, examples, strict=True)
                ],
                recipe=getattr(recipe, phase),
                padding=self.encoder.padding,
            )
            train_cohort(self.adapted, job, progress and partial(progress, phase))
        for name, bank in self._own().items():
            for person, tensor in zip(people, bank.detach(), strict=True):
                person.tensors[name] = tensor.clone()

    @torch.no_grad()
    def choose(
        self, people: Sequence[Personal], aside: Sequence[Sequence[Example]]
    ) -> None:
        """Choose each user's level by the entries kept aside.

        What they cost in sum is compared, and the population has to lead: a few
        entries say little, and over many users the group level serves better. A user
        who kept none aside answers from the group level, which a few entries cannot
        spoil.
        """
        self.seat(people)
        answerer = Answerer(self.adapted, self.encoder)
        for level, uses in LEVELS.items():
            self.adapted.users.use(*uses)
            costs = answerer.costs(aside)
            for person, own, cost in zip(people, aside, costs, strict=True):
                if own:
                    person.costs[level] = cost
        lead = LEAD[self.encoder.task.kind]
        for person in people:
            if person.costs:
                led: dict[Level, float] = {**person.costs}
                led["population"] += lead
                person.level = min(led, key=lambda level: led[level])


def _named(progress: Progress, more: str) -> Progress:
    """Return a progress whose phases are called by more than their name."""
    return lambda phase, step, steps, loss: progress(phase + more, step, steps, loss)


def by_name(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors as they are written to a vault: contiguous, on the CPU."""
    return {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
