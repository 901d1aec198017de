"""What a personal model stands on: a release in a folder, the starter, or none.

None means a blank release over the plain backbone (see `blank`). It serves where no
release was made for what a history asks, and where a person wants nothing of others.
"""

from pathlib import Path
from typing import get_args

from proper_client.kept import STARTER_NAME, TRAIN_AGAIN, About, Level
from proper_shared.blank import NAME as BLANK_NAME
from proper_shared.blank import Blank
from proper_shared.errors import ConfigError
from proper_shared.release import STARTER, digest_of, read_manifest

BACKBONE = "backbone"  # what a level is called that adds nothing to it
Base = Path | Blank


def chosen(release: Base, task: str, seed: int) -> Base:
    """Return the release that a person named, if it is for their history.

    Args:
        release: its folder; `none` for the plain backbone.
        task: of the history.
        seed: of a blank one.

    Raises:
        ConfigError: there is no such release, or it was made for another task.
        FormatError: its manifest is damaged.
    """
    if release == Path(BLANK_NAME):
        return Blank(task, seed)
    learnt = release.task if isinstance(release, Blank) else read_manifest(release).task
    if learnt != task:
        raise ConfigError(
            f"the history is of {task}, the release was made for {learnt}",
            hint=f"name a release for {task}, such as `proper-sim run` writes: "
            "--release out/NAME/release; or the plain backbone: --release none",
        )
    return release


def at_hand(default: Path, task: str, seed: int) -> Base:
    """Return what to train from where nobody named it.

    Args:
        default: the release that is here.
        task: of the history; a release for another one does not serve.
        seed: of a blank one.

    Raises:
        ConfigError: the release that is here is gone.
        FormatError: its manifest is damaged.
    """
    return default if read_manifest(default).task == task else Blank(task, seed)


def name_of(base: Base) -> str:
    """Return how `About` names what a model stands on."""
    if isinstance(base, Blank):
        return BLANK_NAME
    # An absolute path of the starter would not survive an update.
    return STARTER_NAME if base == STARTER else str(base.resolve())


def base_of(about: About) -> Base:
    """Return what a model stands on; whether that is there shows when it is opened."""
    if about.release == BLANK_NAME:
        return Blank(about.task, about.seed)
    return STARTER if about.release == STARTER_NAME else Path(about.release)


def check_there(about: About) -> None:
    """Find out, without a model, that the release below is there and the same one.

    A blank one follows from its backbone, so it shows when that is opened.

    Raises:
        ConfigError: it is gone, or another.
    """
    base = base_of(about)
    if isinstance(base, Blank):
        return
    if not base.is_dir() or digest_of(base) != about.release_sha256:
        raise ConfigError(
            f"the release in {base} is gone, or is another than in training",
            hint=TRAIN_AGAIN if base == STARTER else f"{TRAIN_AGAIN} --release DIR",
        )


def in_words(about: About) -> tuple[str, dict[str, float]]:
    """Return the level that answers and what each costs, by what they are called.

    Over a blank release population and group are the backbone, so that one is told.
    """
    if about.release != BLANK_NAME:
        levels: tuple[Level, ...] = get_args(Level)
        return about.level, {n: about.costs[n] for n in levels if n in about.costs}
    names: dict[Level, str] = {"population": BACKBONE, "group": BACKBONE}
    costs = {names.get(level, level): cost for level, cost in about.costs.items()}
    return names.get(about.level, about.level), costs


def what_is_below(about: About) -> str:
    """Return what a model stands on, for its owner to read."""
    release = about.release
    if release == BLANK_NAME:
        release = f"none: the plain backbone {about.backbone}"
    return f"{release} ({about.release_sha256[:12]})"
