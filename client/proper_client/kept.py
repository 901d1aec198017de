"""What a personal model says about itself, and how it lies in the vault.

Nothing here holds a text of the person: a file that is shown or sent by mistake tells
how many entries were learnt, not one of them. The arrays beside it do remember some.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from proper_client.learnt import NAME, Learnt
from proper_client.vault import Vault
from proper_shared.errors import ConfigError, DataError, FormatError
from proper_shared.suggest import did_you_mean
from proper_shared.tensors import Arrays

Level = Literal["population", "group", "personal"]
STARTER_NAME = "starter"  # in `About`: an absolute path would not survive an update
TRAIN_AGAIN = "train again: proper-client train --anew --history my.json"


class About(BaseModel):
    """What is known about a personal model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str = Field(description="name of the task")
    entries: int = Field(ge=1, description="entries of the history that were learnt")
    kept_aside: int = Field(ge=0, description="of these, used first to choose a level")
    later: int = Field(
        default=0, ge=0, description="of all, learnt by a model that was there already"
    )
    level: Level = Field(description="which level answers this person best")
    costs: dict[Level, float] = Field(
        description="of all entries kept aside, by level: errors, or nats of texts"
    )
    seed: int = Field(description="of order, dropout and fresh adapters")
    trained: str = Field(description="when, ISO 8601")
    release: str = Field(description="folder of the release below")
    release_sha256: str = Field(description="SHA-256 of that release's manifest")
    backbone: str = Field(description="nano, or a folder or hub id")
    precision: Literal["float32", "bfloat16", "4bit"] = Field(
        default="float32", description="of the backbone's weights in training"
    )


def load(vault: Vault, name: str) -> tuple[Arrays, About]:
    """Return a personal model's arrays and what is known about it.

    Raises:
        ConfigError: the name is unfit, or the file cannot be read.
        DataError: there is no such model.
        FormatError: its file is damaged.
    """
    arrays, about, _ = load_all(vault, name)
    return arrays, about


def load_all(vault: Vault, name: str) -> tuple[Arrays, About, Learnt | None]:
    """Return also which entries were learnt; a model of before that time has none.

    Raises:
        ConfigError: the name is unfit, or the file cannot be read.
        DataError: there is no such model.
        FormatError: its file is damaged.
    """
    arrays, known = vault.load(name)
    rows = arrays.pop(NAME, None)
    try:
        about = About.model_validate(known)
    except ValidationError as error:
        raise FormatError(
            f"the personal model for {name} is damaged, or another version of this "
            "program made it",
            hint=TRAIN_AGAIN,
        ) from error
    return arrays, about, None if rows is None else Learnt.read(rows, name)


def about_of(vault: Vault, name: str) -> About | None:
    """Return what is known about a personal model, if there is one.

    Raises:
        ConfigError: the file cannot be read.
        FormatError: it is damaged.
    """
    return load(vault, name)[1] if name in vault.names() else None


def choose(vault: Vault, task: str | None) -> str:
    """Return the name of the personal model for `task`, or of the only one.

    Raises:
        DataError: there is none.
        ConfigError: there are several, or none for `task`.
    """
    names = vault.names()
    if not names:
        raise DataError(
            f"there is no personal model in {vault.home}",
            hint="make one first: proper-client train --history my.json",
        )
    return pick(names, task, "personal model")


def pick(names: Sequence[str], task: str | None, what: str) -> str:
    """Return the one of `task`, or the only one.

    Args:
        names: tasks of which there is one, at least one.
        task: which is wanted, if that was said.
        what: they are, for errors.

    Raises:
        ConfigError: there are several, or none for `task`.
    """
    if task is not None and task in names:
        return task
    if task is not None:
        raise ConfigError(
            f"there is no {what} for {task}", hint=did_you_mean(task, names)
        )
    if len(names) > 1:
        many = "histories" if what == "history" else f"{what}s"
        raise ConfigError(
            f"there are {many} for {' and '.join(names)}",
            hint=f"choose one, such as --task {names[0]}",
        )
    return names[0]
