"""From a personal model in the vault to answers."""

from pathlib import Path

import torch

from proper_client.answer import Answerer
from proper_client.assistant import recipe_of
from proper_client.kept import (
    TRAIN_AGAIN,
    About,
    Level,
    choose,
    load,
)
from proper_client.opening import Opened, open_release
from proper_client.personal import LEVELS, Ground, Personal, Personaliser
from proper_client.standing import base_of, check_there
from proper_client.vault import Vault
from proper_shared.backbone import local_folder
from proper_shared.errors import ConfigError, DataError, FormatError


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
    ground = Ground(opened.adapted, opened.encoder, opened.reading)
    personaliser = Personaliser(ground, recipe_of(opened.header), about.seed)
    person = Personal({name: torch.from_numpy(a) for name, a in arrays.items()})
    if _shapes(person) != _shapes(personaliser.newcomer()):
        raise FormatError(
            f"the personal model for {about.task} does not fit its release",
            hint=TRAIN_AGAIN,
        )
    personaliser.seat([person])
    opened.adapted.users.use(*LEVELS[level or about.level])
    return Answerer(opened.adapted, opened.encoder).answers([[text]])[0][0]


def _reopen(about: About) -> Opened:
    """Open the release that a personal model was trained on, and no other."""
    check_there(about)
    if Path(about.backbone).is_absolute() and local_folder(about.backbone) is None:
        raise ConfigError(
            f"the backbone in {about.backbone} is gone",
            hint=f"{TRAIN_AGAIN} --backbone FOLDER",
        )
    opened = open_release(base_of(about), about.backbone)
    if opened.digest != about.release_sha256:  # of a blank one it is known only now
        raise ConfigError(
            f"the backbone {about.backbone} is another than in training",
            hint=f"{TRAIN_AGAIN} --release none",
        )
    return opened


def _shapes(person: Personal) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in person.tensors.items()}
