"""From a history in a file to a personal model in the vault, and from there to answers.

Everything that can be wrong is looked at before anything is learnt, and the vault is
written once, at the end: whatever stops a training, the model that was there stays.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from pydantic import ValidationError

from proper_client.answer import Answerer
from proper_client.kept import TRAIN_AGAIN, About, Level, choose, load
from proper_client.opening import Opened, open_release
from proper_client.personal import (
    LEVELS,
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
from proper_shared.errors import ConfigError, DataError, FormatError
from proper_shared.history import User, split_for_validation
from proper_shared.release import STARTER, Header, digest_of, read_manifest
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


def generate(
    text: str, vault: Vault, task: str | None = None, level: Level | None = None
) -> str:
    """Answer `text` as the person would.

    Args:
        text: What is read.
        vault: Holds the personal model.
        task: Which of the models; needed where there are several.
        level: Which level answers; None for the one that was chosen in training.

    Raises:
        DataError: there is no personal model, or nothing to read.
        ConfigError: there are several models and `task` is none of them, or the
            release below is no longer what it was.
        FormatError: the personal model is damaged, or does not fit its release.
    """
    if not text.strip():
        raise DataError(
            "got an empty text, expected something to answer",
            hint="put the text in quotes: proper-client generate 'a long day'",
        )
    arrays, about = load(vault, choose(vault, task))
    opened = _reopen(about)
    personaliser = _personaliser(opened, about.seed)
    person = Personal({name: torch.from_numpy(a) for name, a in arrays.items()})
    if _shapes(person) != _shapes(personaliser.newcomer()):
        raise FormatError(
            f"the personal model for {about.task} does not fit its release",
            hint=TRAIN_AGAIN,
        )
    personaliser.seat([person])
    opened.adapted.users.use(*LEVELS[level or about.level])
    return Answerer(opened.adapted, opened.encoder).answers([[text]])[0][0]


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


def _reopen(about: About) -> Opened:
    """Open the release that a personal model was trained on, and no other."""
    starter = about.release == STARTER_NAME
    release = STARTER if starter else Path(about.release)
    if not release.is_dir() or digest_of(release) != about.release_sha256:
        raise ConfigError(
            f"the release in {release} is gone, or is another than in training",
            hint=TRAIN_AGAIN if starter else f"{TRAIN_AGAIN} --release DIR",
        )
    if Path(about.backbone).is_absolute() and local_folder(about.backbone) is None:
        raise ConfigError(
            f"the backbone in {about.backbone} is gone",
            hint=f"{TRAIN_AGAIN} --backbone FOLDER",
        )
    return open_release(release, about.backbone)


def _shapes(person: Personal) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in person.tensors.items()}
