"""What an operator chooses: `coordinator.toml` in the folder of a deployment.

Every key is described here and nowhere else; `init` writes the file from it, with what
is not chosen as a comment.

Covered: unknown keys, wrong types, values out of their range; nothing is started then.
Not covered: whether the values train well; their origin stands in docs/log.md.
"""

import json
import tomllib
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from proper_coordinator.plan import DELTA, Bound
from proper_shared.errors import ConfigError
from proper_shared.method.config import Method, Recipe
from proper_shared.rounds import Schedule
from proper_shared.suggest import did_you_mean
from proper_shared.tasks import get_task
from proper_shared.vectors.fixed import BY_LAYER, MOVED, PLAIN

FILE = "coordinator.toml"
LARGEST_PORT = 65535
STAGES = ("population", "grouping", "group", "lora_router")
BLOCKS = {*MOVED, *PLAIN, *BY_LAYER}  # of which a bound may be chosen
_HINT = f"take the line out (of {FILE}, or --set) to have the default"


class Settings(BaseModel):
    """One deployment."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    address: str = Field(
        default="localhost:9443",
        pattern=r"^\S{1,253}:\d{1,5}$",  # and see `_fits`
        description="host and port by which clients reach it",
    )
    listen: str = Field(
        default="0.0.0.0",  # noqa: S104  clients are elsewhere, by design
        description="address of this machine on which clients are heard",
    )
    inner_port: int = Field(
        default=9444, ge=1, le=65535, description="of Flower, on 127.0.0.1 alone"
    )
    max_upload_mib: int = Field(
        default=64, ge=1, le=1024, description="largest answer of a client, MiB"
    )
    backbone: str = Field(default="nano", description="nano, or a folder or hub id")
    task: str = Field(default="tagging", description="what is asked of a text")
    public_texts: str = Field(
        default="",
        description="path from this folder to histories that judge rounds; or none",
    )
    seed: int = Field(
        default=0, ge=0, lt=2**32, description="of fresh tensors and cohorts"
    )
    releases: str = Field(
        default="",
        pattern="^([0-9a-f]{64})?$",
        description="fingerprint that `keys` showed, for invitations; empty: none",
    )
    min_clients: int = Field(
        default=0, ge=0, description="clients to wait for first, 0: two thirds of all"
    )
    cohort_size: int = Field(
        default=30, ge=1, description="clients in a round, all if fewer"
    )
    join_timeout_s: float = Field(
        default=3600.0, gt=0, description="to wait for clients, at each round, seconds"
    )
    round_timeout_s: float = Field(
        default=3600.0, gt=0, description="for the answers of a round, seconds"
    )
    phase_timeout_s: float = Field(
        default=120.0, gt=0, description="for each later phase of a round, seconds"
    )
    poll_s: float = Field(
        default=0.25, gt=0, description="between two looks for answers, seconds"
    )
    population_rounds: int = Field(default=50, ge=1, description="rounds of stage 1")
    grouping_rounds: int = Field(
        default=200, ge=2, description="rounds that find groups; nothing is trained"
    )
    group_rounds: int = Field(default=40, ge=1, description="rounds of stage 2")
    router_rounds: int = Field(
        default=4, ge=1, description="rounds of the LoRA-aware router"
    )
    population_rate: float = Field(
        default=1.5e-2, gt=0, description="learning rate of stage 1 on a device"
    )
    group_rate: float = Field(
        default=8e-3, gt=0, description="learning rate of stage 2 on a device"
    )
    router_rate: float = Field(
        default=3e-3, gt=0, description="learning rate of the LoRA-aware router"
    )
    steps: int = Field(
        default=4, ge=1, le=1000, description="optimiser steps of a device in a round"
    )
    epsilon: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="most privacy that a member loses in the run, 0 for no noise",
    )
    delta: float = Field(
        default=DELTA, gt=0, lt=1, description="at which epsilon is counted"
    )
    bounds: dict[str, Bound] = Field(
        default={},
        description='other L2 norms under noise, such as {"population/update" = 1.0}',
    )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Refuse what each value alone does not show."""
        if not 1 <= self.port <= LARGEST_PORT:
            raise ValueError(f"the port of address is not 1 to {LARGEST_PORT}")
        if self.port == self.inner_port:
            raise ValueError("inner_port is the port of address, expected another one")
        try:
            get_task(self.task)
        except ConfigError as error:
            raise ValueError(f"task: {error}; {error.hint}") from None
        for name in self.bounds:
            stage, _, block = name.partition("/")
            if stage not in STAGES or block not in BLOCKS:
                raise ValueError(f"bounds: no stage and block are called {name[:40]!r}")
        return self

    @property
    def port(self) -> int:
        """Port on which clients are heard."""
        return int(self.address.rpartition(":")[2])

    @property
    def method(self) -> Method:
        """Shapes of all that is trained."""
        return Method()

    @property
    def population(self) -> Schedule:
        """Of stage 1."""
        return self._schedule(
            self.population_rounds, self.population_rate, momentum=0.5
        )

    @property
    def grouping(self) -> Schedule:
        """Of the search for groups."""
        return self._schedule(self.grouping_rounds, 1.0)

    @property
    def group(self) -> Schedule:
        """Of stage 2."""
        return self._schedule(self.group_rounds, self.group_rate, momentum=0.5)

    @property
    def lora_router(self) -> Schedule:
        """Of the LoRA-aware router."""
        return self._schedule(self.router_rounds, self.router_rate)

    def _schedule(self, rounds: int, rate: float, momentum: float = 0.0) -> Schedule:
        recipe = Recipe(
            learning_rate=rate,
            embedding_rate=5e-2,
            steps=self.steps,
            schedule="constant",
        )
        return Schedule(
            rounds=rounds,
            recipe=recipe,
            server_rate=2.0 if momentum else 1.0,
            momentum=momentum,
            constraint_weight=0.1,
        )


def load_settings(path: Path) -> Settings:
    """Return the settings in a file.

    Raises:
        ConfigError: it cannot be read, or a line in it is wrong.
    """
    try:
        return parse_settings(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {FILE} in {path.parent}",
            hint=f"make one first: proper-coordinator init --dir {path.parent}",
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{FILE} is not UTF-8 (byte {error.start})") from None


def parse_settings(text: str) -> Settings:
    """Return the settings that a TOML text spells.

    Raises:
        ConfigError: it is not TOML, or a key or a value is wrong.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{FILE} is not TOML: {error}", hint=_HINT) from None
    for key in values:
        if key not in Settings.model_fields:
            raise ConfigError(
                f"{FILE} has the unknown key {key[:60]!r}",
                hint=did_you_mean(key, Settings.model_fields),
            )
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        words = str(fault["msg"]).removeprefix("Value error, ")
        if not fault["loc"]:  # what no key has for itself
            raise ConfigError(f"{FILE}: {words}", hint=_HINT) from None
        key, got = str(fault["loc"][0]), repr(fault["input"])[:40]
        words = f"{FILE}: {key} is {got}, {words[:1].lower()}{words[1:]}"
        raise ConfigError(words, hint=_HINT) from None


def written(settings: Settings) -> str:
    """Return the file for these settings; defaults stand in it as comments."""
    lines = ["# Every key, with its default as a comment where nothing was chosen.", ""]
    for key, field in Settings.model_fields.items():
        value = getattr(settings, key)
        shown = _toml(value)
        mark = "" if key in settings.model_fields_set else "# "
        lines += [f"# {field.description}", f"{mark}{key} = {shown}", ""]
    return "\n".join(lines)


def _toml(value: object) -> str:
    """Return a value of the settings as TOML writes it."""
    if isinstance(value, dict):
        inner = ", ".join(f"{json.dumps(k)} = {_toml(v)}" for k, v in value.items())
        return f"{{{inner}}}"
    return f'"{value}"' if isinstance(value, str) else str(value)
