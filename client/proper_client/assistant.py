"""From a history to a personal model in the vault.

Everything that can be wrong is looked at before anything is learnt. Then the entries go
into the vault, and at the end the model, each in one step: whatever stops a training,
the model that was there stays, and the same command goes on.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError

from proper_client.checkpoints import EVERY_S, VaultKeeper
from proper_client.course import Course, course_for
from proper_client.kept import About, load_all
from proper_client.later import Pupil, learn_later
from proper_client.learnt import NAME, Learnt
from proper_client.opening import Aim, Opened, ground_of, open_release
from proper_client.person import parts_of
from proper_client.personal import (
    AGAIN,
    PHASES,
    Personal,
    Personaliser,
    PersonalRecipe,
    by_name,
)
from proper_client.personal import Progress as Report
from proper_client.placement import Wanted
from proper_client.standing import name_of
from proper_client.vault import Vault
from proper_client.wish import Taken, Wish, settled, take_in
from proper_shared.allocator import keep_freed_memory
from proper_shared.backbone import local_folder
from proper_shared.errors import DataError, FormatError
from proper_shared.history import OWNER, User
from proper_shared.release import STARTER, Header
from proper_shared.tensors import Arrays

Progress = Callable[[str, int, int, float | None], None]  # step, done, total, loss
MAX_WORK = 20_000  # entries computed in training; the starter asks for 368


@dataclass(frozen=True)
class Learning:
    """What came of a training.

    Attributes:
        about: what is known about the model.
        path: its file.
        course: how it was learnt.
        added: entries that were new to the vault.
        resumed: an earlier training was cut short, and this one went on with it.
    """

    about: About
    path: Path
    course: Course
    added: int
    resumed: bool


def train(
    wish: Wish, vault: Vault, now: str, progress: Progress | None = None
) -> tuple[About, Path]:
    """Train a personal model as `learn` does; return what is known of it, and where."""
    done = learn(wish, vault, now, progress)
    return done.about, done.path


def learn(  # noqa: PLR0913 - the last two are for who has read, and for tests
    wish: Wish,
    vault: Vault,
    now: str,
    progress: Progress | None = None,
    *,
    taken: Taken | None = None,
    every_s: float = EVERY_S,
    wanted: Wanted | None = None,
) -> Learning:
    """Put a history into the vault, and train a personal model from all that is there.

    Args:
        wish: What to train from.
        vault: Where the model is to lie; one for the same task goes on learning.
        now: The time, ISO 8601.
        progress: Called after each step.
        taken: What `take_in` returned, if it was called already.
        every_s: Seconds between checkpoints, at least.
        wanted: Where to compute, and in how many bits.

    Raises:
        DataError: the history is wrong, or there is none, or nothing to resume.
        ConfigError: there is no such release, it is for another task, or the home
            folder cannot be written.
        FormatError: the release, or what the vault holds, is damaged.
        ModelError: the backbone is not there or does not fit.
    """
    keep_freed_memory()
    taken = take_in(wish, vault) if taken is None else taken
    task = taken.task
    wish = settled(wish, vault, task.name)
    if wish.release is None or wish.seed is None:
        raise ValueError("a settled wish names its release and its seed")
    aim = Aim(wanted or Wanted(), taken.entries, trains=True)
    opened = open_release(wish.release, wish.backbone, aim)
    personaliser = _personaliser(opened, wish.seed)
    with vault.learning():
        taken.keep(vault)
        return _Lesson(wish, opened, personaliser, vault, taken).learn(
            now, progress, every_s
        )


@dataclass(frozen=True)
class _Lesson:
    """One training: the release is open, the entries lie in the vault."""

    wish: Wish
    opened: Opened
    personaliser: Personaliser
    vault: Vault
    taken: Taken

    def learn(self, now: str, progress: Progress | None, every_s: float) -> Learning:
        """Train as far as there is something to learn, and keep the model."""
        vault, task, user = self.vault, self.taken.task.name, self.user
        before = load_all(vault, task) if self._goes_on(task) else None
        course = course_for(
            user.profile,
            None if before is None else before[1:],
            release_sha256=self.opened.digest,
            seed=self.personaliser.seed,
            anew=self.wish.anew,
        )
        if before is not None and course.way == "nothing":
            self._nothing_to_resume(found=False)
            vault.drop_checkpoint(task)  # of a training that was killed at its end
            path = vault.path(task)
            return Learning(before[1], path, course, self.taken.added, resumed=False)
        keeper = self._keeper(task, self._identity(course, before), every_s)
        self._nothing_to_resume(found=keeper.found is not None)
        report = progress and as_one(progress, self._plan(course))
        person = self._person(course, before, report, keeper)
        about = self._about(person, course, now)
        old = before if course.way == "later" else None
        path = vault.save(task, self._arrays(person, old), about.model_dump())
        vault.drop_checkpoint(task)
        resumed = keeper.found is not None
        return Learning(about, path, course, self.taken.added, resumed)

    @property
    def user(self) -> User:
        """The person."""
        return User(OWNER, self.taken.entries)

    def _goes_on(self, task: str) -> bool:
        """Tell whether there is a model that matters; one that is damaged may not."""
        return task in self.vault.names() and not self.wish.anew

    def _keeper(self, task: str, identity: str, every_s: float) -> VaultKeeper:
        """Find where a same training was cut short; one anew needs no damaged place."""
        try:
            return VaultKeeper(self.vault, task, identity, every_s)
        except FormatError:
            if not self.wish.anew:
                raise
            self.vault.drop_checkpoint(task)
            return VaultKeeper(self.vault, task, identity, every_s)

    def _nothing_to_resume(self, *, found: bool) -> None:
        if self.wish.resume and not found:
            raise DataError(
                f"no training for {self.taken.task.name} was cut short, or it was of "
                "other entries, another release or seed",
                hint="leave --resume out: a training goes on by itself where it can",
            )

    def _identity(
        self, course: Course, before: tuple[Arrays, About, Learnt | None] | None
    ) -> str:
        """Return a hash of all that the result depends on."""
        begins = "" if before is None or course.way == "anew" else _digest(before[0])
        words = (
            course.way,
            begins,
            self.opened.digest,
            self.personaliser.seed,
            self.personaliser.recipe.model_dump_json(),
            [entry.id for entry in self.taken.entries],
            sorted(course.new),
            str(torch.__version__),
        )
        return hashlib.sha256(json.dumps(words).encode()).hexdigest()

    def _plan(self, course: Course) -> dict[str, int]:
        """Return the steps of each phase that comes, by its name."""
        recipe, user = self.personaliser.recipe, self.user
        if course.way == "later":
            return _steps(recipe.later(len(course.new) / len(user.profile)), "")
        plan = _steps(recipe, "")
        if parts_of(user)[1] and recipe.absorb > 0:
            plan |= _steps(recipe.shortened(), AGAIN)
        return plan

    def _person(
        self,
        course: Course,
        before: tuple[Arrays, About, Learnt | None] | None,
        report: Report | None,
        keeper: VaultKeeper,
    ) -> Personal:
        if course.way == "anew" or before is None or before[2] is None:
            person = self.personaliser.fit([self.user], report, keeper)[0]
        else:
            arrays, about, _ = before
            own = {name: torch.from_numpy(array) for name, array in arrays.items()}
            was = Personal(own, about.level)
            pupil = Pupil(self.user, was, before[2].costs, course.new)
            person = learn_later(self.personaliser, [pupil], report, keeper)[0]
        if not all(tensor.isfinite().all() for tensor in person.tensors.values()):
            raise FormatError(
                "training led beyond all numbers, expected finite ones",
                hint="the release asks for too much or is damaged: get another",
            )
        return person

    def _arrays(
        self, person: Personal, before: tuple[Arrays, About, Learnt | None] | None
    ) -> Arrays:
        """Return what the file of a model holds."""
        entries = self.taken.entries
        costs = {} if before is None or before[2] is None else {**before[2].costs}
        aside = parts_of(self.user)[1] if person.asked else ()
        asked = zip(aside, person.asked, strict=True)
        costs |= {entry.id: cost for entry, cost in asked if cost}
        learnt = Learnt.of((entry.id for entry in entries), costs)
        arrays = {name: t.numpy() for name, t in by_name(person.tensors).items()}
        return {**arrays, NAME: learnt.array()}

    def _about(self, person: Personal, course: Course, now: str) -> About:
        """Describe a personal model so that it is found from any folder."""
        base, opened = self.wish.release or STARTER, self.opened
        backbone = self.wish.backbone or opened.header.backbone.name
        return About(
            task=opened.header.task,
            entries=len(self.taken.entries),
            kept_aside=sum(map(bool, person.asked)),
            later=course.later,
            level=person.level,
            costs=person.costs,
            seed=self.personaliser.seed,
            trained=now,
            release=name_of(base),
            release_sha256=opened.digest,
            backbone=str(local_folder(backbone) or backbone),
            precision="float32" if (p := opened.placement) is None else p.precision,
        )


def _personaliser(opened: Opened, seed: int) -> Personaliser:
    """Train and answer as the release says."""
    recipe = recipe_of(opened.header)
    return Personaliser(ground_of(opened), recipe, seed)


def recipe_of(header: Header) -> PersonalRecipe:
    """Return how the release wants a device to train, if that is reasonable.

    Raises:
        FormatError: it is unknown, or would take hours.
    """
    try:
        recipe = PersonalRecipe.model_validate(header.personal)
    except ValidationError as error:
        raise FormatError(
            "the release has a recipe for personal models that this program does "
            "not know",
            hint="update this program, or get another release",
        ) from error
    if recipe.work > MAX_WORK:
        raise FormatError(
            f"the release asks for steps over {recipe.work:,} entries, "
            f"expected at most {MAX_WORK:,}",
            hint="get another release: this one would keep your machine busy for hours",
        )
    return recipe


def _steps(recipe: PersonalRecipe, more: str) -> dict[str, int]:
    return {phase + more: getattr(recipe, phase).steps for phase in PHASES}


def as_one(progress: Progress, plan: dict[str, int]) -> Report:
    """Count the steps of all phases through, so that there is one time left.

    Args:
        progress: told of all steps together.
        plan: steps of each phase, by its name, in their order.
    """

    def report(phase: str, step: int, _steps: int, loss: float) -> None:
        names = list(plan)
        done = sum(plan[name] for name in names[: names.index(phase)])
        progress("personal model", done + step, sum(plan.values()), loss)

    return report


def _digest(arrays: Arrays) -> str:
    """Return a hash of arrays by name."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].shape}".encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
