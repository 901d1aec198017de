"""A personal model from the vault, seated over the release that it was trained on."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from proper_client.assistant import recipe_of
from proper_client.kept import TRAIN_AGAIN, About, choose, load
from proper_client.opening import Aim, Opened, ground_of, open_release
from proper_client.personal import Personal, Personaliser
from proper_client.standing import base_of, check_there
from proper_client.vault import Vault
from proper_shared.backbone import local_folder
from proper_shared.errors import ConfigError, FormatError


@dataclass(frozen=True)
class Seated:
    """A personal model in the model that it personalises.

    Attributes:
        about: what is known about it.
        opened: the release below, the person seated.
    """

    about: About
    opened: Opened


def seat(vault: Vault, task: str | None, aim: Aim | None = None) -> Seated:
    """Load a personal model and what lies below it.

    Args:
        vault: Holds the personal model.
        task: Which of the models; needed where there are several.
        aim: What for; see `open_release`.

    Raises:
        DataError: there is no personal model.
        ConfigError: there are several models and `task` is none of them, or the
            release below is no longer what it was.
        FormatError: the personal model is damaged, or does not fit its release.
        ModelError: the backbone is not there, or does not fit into memory.
    """
    arrays, about = load(vault, choose(vault, task))
    opened = reopen(about, aim)
    personaliser = personaliser_of(opened, about)
    person = Personal({name: torch.from_numpy(a) for name, a in arrays.items()})
    if _shapes(person) != _shapes(personaliser.newcomer()):
        raise FormatError(
            f"the personal model for {about.task} does not fit its release",
            hint=TRAIN_AGAIN,
        )
    personaliser.seat([person])
    return Seated(about, opened)


def reopen(about: About, aim: Aim | None = None) -> Opened:
    """Open the release that a personal model was trained on, and no other.

    Args:
        about: the model.
        aim: What for; as precise as in training, if that is not said.

    Raises:
        ConfigError: the release is gone or another, or its backbone is gone.
        FormatError: it is damaged.
        ModelError: the backbone is not there, or does not fit into memory.
    """
    check_there(about)
    if Path(about.backbone).is_absolute() and local_folder(about.backbone) is None:
        raise ConfigError(
            f"the backbone in {about.backbone} is gone",
            hint=f"{TRAIN_AGAIN} --backbone FOLDER",
        )
    if aim is not None:
        aim = replace(aim, wanted=replace(aim.wanted, first=about.precision))
    opened = open_release(base_of(about), about.backbone, aim)
    if opened.digest != about.release_sha256:  # of a blank one it is known only now
        raise ConfigError(
            f"the backbone {about.backbone} is another than in training",
            hint=f"{TRAIN_AGAIN} --release none",
        )
    return opened


def personaliser_of(opened: Opened, about: About) -> Personaliser:
    """Return what trained a personal model over this release.

    Raises:
        FormatError: the recipe of the release is unknown.
    """
    return Personaliser(ground_of(opened), recipe_of(opened.header), about.seed)


def _shapes(person: Personal) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in person.tensors.items()}
