"""What can be chosen in a run of `proper-sim`: the one place that describes it."""

import math
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from proper_coordinator.plan import DELTA
from proper_shared.errors import ConfigError


class RunConfig(BaseModel):
    """One run: whose histories, over which model, how, and where to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path | None = Field(default=None, description="folder with real histories")
    task: str | None = Field(
        default=None, description="name of the task in that folder"
    )
    world: Literal["tagging", "rating", "rewriting"] | None = Field(
        default="tagging", description="synthetic users, if there is no data folder"
    )
    users: int = Field(default=100, ge=1, description="users that get a personal model")
    backbone: str = Field(default="nano", description="nano, or a folder or hub id")
    engine: Literal["memory", "ray"] = Field(
        default="memory",
        description="how the federation runs: in this process, or in Ray",
    )
    group_level: Literal["auto", "others", "all"] = Field(
        default="auto",
        description="who trains population and groups: other users, so that those "
        "tested are new, or all; auto takes all where the others have few entries",
    )
    curve: tuple[int, ...] | None = Field(
        default=None,
        description="numbers of entries of the learning curve; None for the usual ones",
    )
    masks: bool = Field(
        default=True,
        description="add updates under masks, so that only sums can be read; without, "
        "the coordinator sees each one",
    )
    epsilon: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="most privacy that a member loses in all; None adds no noise",
    )
    delta: float = Field(
        default=DELTA, gt=0, lt=1, description="at which epsilon is counted"
    )
    ablation: bool = Field(
        default=False,
        description="train the group level a second time without the constraint loss, "
        "to show what it does to the routers",
    )
    seed: int = Field(default=0, ge=0, description="of everything that is drawn")
    out: Path = Field(
        default=Path("out"), description="folder of results, report and release"
    )
    quick: bool = Field(default=False, description="a look in minutes, no result")


def read_curve(text: str | None) -> tuple[int, ...] | None:
    """Return the points that `0,4,16` names, ascending; `none` has no point.

    Raises:
        ConfigError: it is anything else.
    """
    if text is None:
        return None
    words = [] if text == "none" else text.split(",")
    if not all(word.strip().isdecimal() and len(word) < 8 for word in words):
        raise ConfigError(
            f"got the curve {text[:40]!r}, expected numbers of entries",
            hint="for example --curve 0,4,16, or --curve none",
        )
    return tuple(sorted({int(word) for word in words}))


def read_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds that `0,1,2` names, in that order.

    Raises:
        ConfigError: it is anything else, or one stands twice.
    """
    words = text.split(",")
    seeds = [int(word) for word in words if word.strip().isdecimal() and len(word) < 10]
    if len(seeds) < len(words) or len(set(seeds)) < len(seeds):
        raise ConfigError(
            f"got the seeds {text[:40]!r}, expected different numbers",
            hint="for example --seeds 0,1,2",
        )
    return tuple(seeds)


def read_privacy(epsilon: float | None, delta: float) -> dict[str, float | None]:
    """Return the fields of a run that say what it may cost a member.

    Raises:
        ConfigError: epsilon is not above 0, or delta not between 0 and 1.
    """
    if epsilon is not None and not 0 < epsilon < math.inf:
        raise ConfigError(
            f"got an epsilon of {epsilon:g}, expected a number above 0",
            hint="leave --epsilon out for a run without noise",
        )
    if not 0 < delta < 1:
        raise ConfigError(f"got a delta of {delta:g}, expected between 0 and 1")
    return {"epsilon": epsilon, "delta": delta}


def check_noise(config: RunConfig) -> RunConfig:
    """Return the run, if noise goes together with the rest of it.

    Raises:
        ConfigError: it does not.
    """
    if config.epsilon is None:
        return config
    if not config.masks:
        raise ConfigError(
            "got --epsilon and --no-masks, expected one of them",
            hint="noise hides a member in a sum; without masks each update can be read",
        )
    if config.ablation:
        raise ConfigError(
            "got --epsilon and --ablation, expected one of them",
            hint="the second training would cost the same members more than epsilon",
        )
    return config


def choose_source(
    data: Path | None, task: str | None, world: str | None
) -> dict[str, object]:
    """Return the fields of a run that say whose histories it is about.

    Raises:
        ConfigError: the options exclude each other.
    """
    if data is not None and world is not None:
        raise ConfigError(
            "got both --data and --world, expected one of them",
            hint="--data reads real histories, --world makes some up",
        )
    if data is None and task is not None:
        raise ConfigError(
            "got --task without --data, expected both",
            hint="a world has a task of its own: --world tagging, rating or rewriting",
        )
    if data is None:
        return {"world": world or "tagging"}
    return {"data": data, "task": task, "world": None}
