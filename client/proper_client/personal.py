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
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from proper_client.answer import Answerer
from proper_client.person import (
    LEAD,
    LEVELS,
    Checkpoint,
    Keeper,
    Level,
    Personal,
    parts_of,
)
from proper_client.reading import NEWEST, ROWS, Reader
from proper_client.recipe import PHASES, PersonalRecipe
from proper_shared.encoding import Encoded, Encoder, Example
from proper_shared.errors import FormatError
from proper_shared.grouping import first_embedding
from proper_shared.history import Entry, User
from proper_shared.method.cohort import CohortTraining
from proper_shared.method.job import WHOLE, Job, Limits, generator_for
from proper_shared.method.stages import (
    EMBEDDING,
    STAGES,
    AdaptedModel,
    Stage,
)
from proper_shared.packing import Arrays

if TYPE_CHECKING:
    from proper_shared.method.config import Recipe

__all__ = ["LEVELS", "PHASES", "Level", "Personal", "PersonalRecipe", "Personaliser"]

AGAIN = " again"  # behind the name of a phase, when the kept entries are learnt too
Progress = Callable[[str, int, int, float], None]  # phase, step, steps, loss


@dataclass(frozen=True)
class Ground:
    """What the user level stands on: a model that holds a release.

    Attributes:
        adapted: population merged, group loaded, the mean embedding in its seat.
        encoder: of the task.
        reading: the arrays that tell where a user lies, `grouping.READING`.
        limits: how much of a step is in memory at once.
        asked: entries that are answered at once, at most.
    """

    adapted: AdaptedModel
    encoder: Encoder
    reading: Arrays
    limits: Limits = WHOLE
    asked: int = 512


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
        self.reading, self.ground = ground.reading, ground
        self.reader = Reader(ground.adapted, min(ROWS, ground.asked))
        self.seed, self.cohort_size = seed, cohort_size
        self.lead = LEAD[ground.encoder.task.kind]
        # examples learnt from, and examples only read, repetitions counted
        self.computed, self.read = 0, 0
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
        return [self._placed(self.encoded(user.profile)) for user in users]

    def encoded(self, entries: Sequence[Entry]) -> Encoded:
        """Return entries as examples."""
        return Encoded(self.encoder, entries)

    def fit(
        self,
        users: Sequence[User],
        progress: Progress | None = None,
        keeper: Keeper | None = None,
    ) -> list[Personal]:
        """Train a personal model for each user from their profile.

        Args:
            users: their profiles may be empty; such a user stays a newcomer.
            progress: called after each step.
            keeper: of the one user, if it is one who has an entry.

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
                report = named(progress, f", users from {start + 1}")
            trained = self._fit(cohort, report, keeper)
            for user, person in zip(cohort, trained, strict=True):
                people[user.user_id] = person
        return [people[user.user_id] for user in users]

    def _fit(
        self, users: Sequence[User], progress: Progress | None, keeper: Keeper | None
    ) -> list[Personal]:
        """Run the five steps for one cohort; everybody has an entry at least."""
        parts = [parts_of(user) for user in users]
        names = [user.user_id for user in users]
        learnt = [self.encoded(train) for train, _ in parts]
        found = keeper.found if keeper is not None else None
        if found is None or found.leg < len(PHASES):
            people = [self._placed(own) for own in learnt]
            work = Work(names, learnt, self.recipe)
            self.train(people, work, progress, keeper)
            self.choose(people, [self.encoded(kept) for _, kept in parts])
        else:
            people = [self.newcomer()]
            people[0].judge(found.asked, self.lead)
        more = [seat for seat, (_, kept) in enumerate(parts) if kept]
        if self.recipe.absorb > 0 and more:  # who kept nothing aside has learnt it all
            self._absorb(
                [people[seat] for seat in more],
                [users[seat] for seat in more],
                progress,
                keeper,
            )
        return people

    def _absorb(
        self,
        people: Sequence[Personal],
        users: Sequence[User],
        progress: Progress | None,
        keeper: Keeper | None,
    ) -> None:
        """Run step 5."""
        whole = [self.encoded(user.profile) for user in users]
        for person, own in zip(people, whole, strict=True):
            person.tensors[EMBEDDING] = self.place_of(own)
        names = [user.user_id for user in users]
        work = Work(names, whole, self.recipe.shortened(), first=len(PHASES))
        self.train(people, work, progress and named(progress, AGAIN), keeper)

    def _placed(self, examples: Sequence[Example]) -> Personal:
        """Return a newcomer who stands where their entries lie."""
        return Personal({**self.fresh, EMBEDDING: self.place_of(examples)})

    def place_of(self, examples: Sequence[Example]) -> Tensor:
        """Return the embedding (k,) of where entries lie.

        Raises:
            FormatError: the release's arrays lead to no finite place.
        """
        self.read += min(len(examples), NEWEST)
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

    def train(
        self,
        people: Sequence[Personal],
        work: "Work",
        progress: Progress | None,
        keeper: Keeper | None = None,
    ) -> None:
        """Run steps 1 to 3 from where the people stand, or the keeper's person did."""
        legs = range(work.first, work.first + len(PHASES))
        found = _found(keeper, legs)
        if found is not None:
            people[0].tensors = dict(found.tensors)
        self.seat(people)
        for leg, phase in zip(legs, PHASES, strict=True):
            if found is not None and leg < found.leg:
                continue
            self.adapted.users.use(*STAGES[phase].uses)
            training = CohortTraining(self.adapted, self._job(phase, work))
            if found is not None and leg == found.leg:
                training.restore(found.training)
            while training.done < training.job.recipe.steps:
                loss = training.step()
                if progress is not None:
                    progress(phase, training.done, training.job.recipe.steps, loss)
                if keeper is not None:
                    keeper.offer(partial(self._look, leg, people[0], training))
            self.computed += training.computed
        self._take_back(people)

    def _take_back(self, people: Sequence[Personal]) -> None:
        """Give the people what was trained in their seats."""
        for name, bank in self._own().items():
            for person, tensor in zip(people, bank.detach(), strict=True):
                person.tensors[name] = tensor.clone()

    def _job(self, phase: Stage, work: "Work") -> Job:
        later = work.later or [()] * len(work.names)
        generators = [
            generator_for(self.seed, phase, name, len(own) + len(new))
            for name, own, new in zip(work.names, work.examples, later, strict=True)
        ]
        recipe: Recipe = getattr(work.recipe, phase)
        padding = self.encoder.padding
        job = Job(phase, work.examples, generators, recipe, padding, later=work.later)
        return replace(job, limits=self.ground.limits)

    def _look(self, leg: int, person: Personal, training: CohortTraining) -> Checkpoint:
        """Return where the training of the one user stands."""
        tensors = {n: t.detach()[0].cpu().clone() for n, t in self._own().items()}
        return Checkpoint(leg, tensors, training.state(), person.asked)

    @torch.no_grad()
    def choose(
        self, people: Sequence[Personal], aside: Sequence[Sequence[Example]]
    ) -> None:
        """Choose each user's level by the entries kept aside, see `Personal.judge`."""
        for person, asked in zip(people, self.ask(people, aside), strict=True):
            if asked:
                person.judge(asked, self.lead)

    def ask(
        self, people: Sequence[Personal], aside: Sequence[Sequence[Example]]
    ) -> list[list[tuple[float, ...]]]:
        """Return for each user, of each entry, what it costs at each level."""
        self.seat(people)
        answerer = Answerer(self.adapted, self.encoder, self.ground.asked)
        by_level: list[list[list[float]]] = []
        for uses in LEVELS.values():
            self.adapted.users.use(*uses)
            by_level.append(answerer.each_cost(aside))
            self.read += sum(map(len, aside))
        return [list(zip(*own, strict=True)) for own in zip(*by_level, strict=True)]


@dataclass(frozen=True)
class Work:
    """What some users learn in one pass through the phases.

    Attributes:
        names: of the users, by which their generators differ.
        examples: of each.
        recipe: how.
        later: of each, what came after the examples, see `Job`.
        first: number of the first leg.
    """

    names: Sequence[str]
    examples: Sequence[Sequence[Example]]
    recipe: PersonalRecipe
    later: Sequence[Sequence[Example]] = ()
    first: int = 0


def _found(keeper: Keeper | None, legs: range) -> Checkpoint | None:
    """Return where a training was cut short in one of these legs, if it was."""
    found = keeper.found if keeper is not None else None
    return found if found is not None and found.leg in legs else None


def named(progress: Progress, more: str) -> Progress:
    """Return a progress whose phases are called by more than their name."""
    return lambda phase, step, steps, loss: progress(phase + more, step, steps, loss)


def by_name(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors as they are written to a vault: contiguous, on the CPU."""
    return {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
