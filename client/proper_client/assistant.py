"""From a history in a file to a personal model in the vault.

Everything that can be wrong is looked at before anything is learnt, and the vault is
written once, at the end: whatever stops a training, the model that was there stays.
"""

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from proper_client.kept import About
from proper_client.opening import Opened, open_release
from proper_client.personal import (
    PHASES,
    Ground,
    Personal,
    Personaliser,
    PersonalRecipe,
    by_name,
)
from proper_client.vault import Vault
from proper_client.wish import Wish
from proper_shared.allocator import keep_freed_memory
from proper_shared.backbone import local_folder
from proper_shared.errors import ConfigError, FormatError
from proper_shared.history import User, split_for_validation
from proper_shared.release import STARTER, Header, read_manifest
from proper_shared.tasks import Task

Progress = Callable[[str, int, int, float | None], None]  # step, done, total, loss
STARTER_NAME = "starter"  # in `About`: an absolute path would not survive an update
MAX_WORK = 20_000  # entries computed in training; the starter asks for 368


def train(
    wish: Wish, vault: Vault, now: str, progress: Progress | None = None
) -> tuple[About, Path]:
    """Train a personal model and put it into the vault.

    Args:
        wish: What to train from.
        vault: Where the model is to lie; one for the same task is replaced.
        now: The time, ISO 8601.
        progress: Called after each step.

    Returns:
        What is known about the model, and its file.

    Raises:
        DataError: the history is wrong.
        ConfigError: there is no such release, it is for another task, or the home
            folder cannot be written.
        FormatError: the release is damaged, or of another backbone.
        ModelError: the backbone is not there or does not fit.
    """
    keep_freed_memory()
    task, user = wish.asked
    _check_task(task, wish.release)
    opened = open_release(wish.release, wish.backbone)
    personaliser = _personaliser(opened, wish.seed)
    vault.prepare()
    person = _learn(personaliser, user, progress)
    about = _about(wish, opened, user, person, now)
    arrays = {name: t.numpy() for name, t in by_name(person.tensors).items()}
    return about, vault.save(task.name, arrays, about.model_dump())


def _about(wish: Wish, opened: Opened, user: User, person: Personal, now: str) -> About:
    """Describe a personal model so that it is found from any folder."""
    backbone = wish.backbone or opened.header.backbone.name
    is_starter = wish.release == STARTER
    return About(
        task=opened.header.task,
        entries=len(user.profile),
        kept_aside=len(split_for_validation(user.profile)[1]),
        level=person.level,
        costs=person.costs,
        seed=wish.seed,
        trained=now,
        release=STARTER_NAME if is_starter else str(wish.release.resolve()),
        release_sha256=opened.digest,
        backbone=str(local_folder(backbone) or backbone),
    )


def _check_task(task: Task, release: Path) -> None:
    """Find out early: the release's groups are about one task's answers."""
    learnt = read_manifest(release).task
    if learnt != task.name:
        raise ConfigError(
            f"the history is of {task.name}, the release was made for {learnt}",
            hint=f"name a release for {task.name}, such as `proper-sim run` writes: "
            "--release out/NAME/release",
        )


def _personaliser(opened: Opened, seed: int) -> Personaliser:
    """Train and answer as the release says."""
    recipe = recipe_of(opened.header)
    ground = Ground(opened.adapted, opened.encoder, opened.reading)
    return Personaliser(ground, recipe, seed)


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


def _learn(
    personaliser: Personaliser, user: User, progress: Progress | None
) -> Personal:
    report = None if progress is None else _steps(personaliser, user, progress)
    person = personaliser.fit([user], report)[0]
    if not all(tensor.isfinite().all() for tensor in person.tensors.values()):
        raise FormatError(
            "training led beyond all numbers, expected finite ones",
            hint="the release asks for too much or is damaged: get another",
        )
    return person


def _steps(
    personaliser: Personaliser, user: User, progress: Progress
) -> Callable[..., None]:
    """Tell how far all steps together are."""
    passes = [personaliser.recipe]
    if split_for_validation(user.profile)[1] and personaliser.recipe.absorb > 0:
        passes.append(personaliser.recipe.shortened())
    plan = [getattr(recipe, phase).steps for recipe in passes for phase in PHASES]
    return _as_one(progress, plan)


def _as_one(progress: Progress, plan: list[int]) -> Callable[..., None]:
    """Count the steps of all phases through, so that there is one time left."""
    finished, phases = 0, 0

    def report(_phase: str, step: int, steps: int, loss: float) -> None:
        nonlocal finished, phases
        progress("personal model", finished + step, sum(plan), loss)
        if step == steps:
            phases += 1
            finished = sum(plan[:phases])

    return report
