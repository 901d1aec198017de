"""What a person lets a federation ask of this device: `policy.toml` in the home folder.

Every key is described here and nowhere else; what is not in the file has its default.
The file is read and never written: it is the person's own.

Covered: unknown keys, wrong types, values outside their range, keys that contradict
each other; each is an error, and nothing is sent.
Not covered: whether the limits are wise for this person; docs/policy.md helps there.
"""

import tomllib
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from proper_shared.errors import ConfigError
from proper_shared.suggest import did_you_mean

FILE = "policy.toml"
_HINT = "see docs/policy.md for the keys, or take the line out to have the default"
_WORDS = {  # pydantic's, and what we call it
    "Input should be": "expected",
    "a valid integer": "a whole number",
    "a valid boolean": "true or false",
    "a valid number": "a number",
    "a valid string": "a text",
}
_HOURS = r"^([01]\d|2[0-3])(:[0-5]\d)?-([01]\d|2[0-3])(:[0-5]\d)?$"

Adversary = Literal["everybody", "third", "readers"]


@dataclass(frozen=True)
class Unit:
    """What a value is counted in."""

    name: str


class Policy(BaseModel):
    """The limits of one device; every value is checked when it is read."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    min_cohort: Annotated[int, Unit("members"), Field(ge=3, le=1000)] = Field(
        default=10, description="fewest that may be asked in a round, this device too"
    )
    min_vouched: Annotated[int, Unit("members"), Field(ge=0, le=999)] = Field(
        default=5, description="fewest others in a round for whom this device vouches"
    )
    vouched_after_days: Annotated[int, Unit("days"), Field(ge=0, le=3650)] = Field(
        default=30, description="vouch for whoever was seen in the log for so long"
    )
    max_runs: Annotated[int, Unit("runs"), Field(ge=0)] = Field(
        default=10, description="most runs of a federation that this device enters"
    )
    max_rounds: Annotated[int, Unit("rounds"), Field(ge=0)] = Field(
        default=500, description="most rounds in one run"
    )
    max_attempts: Annotated[int, Unit("attempts"), Field(ge=1, le=2)] = Field(
        default=2, description="most attempts at one round"
    )
    max_bound: Annotated[float, Unit("L2 norm"), Field(gt=0, allow_inf_nan=False)] = (
        Field(default=1e6, description="largest bound to which a block may be clipped")
    )
    max_steps: Annotated[int, Unit("steps"), Field(ge=1)] = Field(
        default=1000, description="most optimiser steps in one round"
    )
    max_batch: Annotated[int, Unit("entries"), Field(ge=1)] = Field(
        default=64, description="most entries in one step"
    )
    max_object_mib: Annotated[int, Unit("MiB"), Field(ge=1)] = Field(
        default=256, description="largest object that is fetched from the coordinator"
    )
    epsilon_total: (
        Annotated[float, Unit("nats"), Field(gt=0, allow_inf_nan=False)] | None
    ) = Field(
        default=None, description="most privacy loss in all; without it, none demanded"
    )
    delta: Annotated[float, Unit("probability"), Field(gt=0, lt=1)] = Field(
        default=1e-5, description="at which epsilon_total is counted"
    )
    epsilon_against: Annotated[Adversary, Unit("adversary")] = Field(
        default="third", description="everybody else, a third, or readers of a release"
    )
    hours: Annotated[str, Unit("local time"), Field(pattern=_HOURS)] | None = Field(
        default=None, description='when rounds may start, "22-07" or "22:30-06:45"'
    )
    only_plugged_in: Annotated[bool, Unit("true or false")] = Field(
        default=True, description="no round on battery, or where that is not known"
    )
    min_items: Annotated[int, Unit("entries"), Field(ge=1)] = Field(
        default=10, description="fewest entries in the history of this device"
    )
    allow_unmasked: Annotated[bool, Unit("true or false")] = Field(
        default=False, description="send single updates in clear, if asked to"
    )

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if self.min_vouched >= self.min_cohort:
            raise ValueError(
                f"min_vouched is {self.min_vouched}, expected less than min_cohort, "
                f"which is {self.min_cohort}"
            )
        if self.allow_unmasked and self.epsilon_total is not None:
            raise ValueError(
                "allow_unmasked and epsilon_total are both set, expected one of them"
            )
        if self.hours is not None and len(set(self._hours())) < 2:
            raise ValueError(f"hours are {self.hours}, expected two different times")
        return self

    def is_open(self, at: time) -> bool:
        """Tell whether a round may start at this local time; hours may wrap.

        The first time belongs to the hours, the last does not.
        """
        if self.hours is None:
            return True
        start, end = self._hours()
        at = at.replace(tzinfo=None)
        if start < end:
            return start <= at < end
        return at >= start or at < end

    def _hours(self) -> tuple[time, time]:
        start, _, end = (self.hours or "").partition("-")
        return time.fromisoformat(start), time.fromisoformat(end)


def load_policy(home: Path) -> Policy:
    """Return the policy in `home`; the defaults where there is no file.

    Raises:
        ConfigError: the file cannot be read, or a line in it is wrong.
    """
    path = home / FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Policy()
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{FILE} is not UTF-8 (byte {error.start})", hint="save it as UTF-8"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{FILE} cannot be read: {str(error.strerror).lower()}",
            hint=f"check the permissions of {path}",
        ) from None
    return parse_policy(text)


def parse_policy(text: str) -> Policy:
    """Return the policy that a TOML text spells.

    Raises:
        ConfigError: it is not TOML, or a key or a value is wrong.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        fault = str(error)[:120]
        what = fault[:1].lower() + fault[1:]
        raise ConfigError(f"{FILE} is not TOML: {what}", hint=_HINT) from None
    known = Policy.model_fields
    for key in values:
        if key not in known:
            raise ConfigError(
                f"{FILE} has the unknown key {key[:60]!r}",
                hint=did_you_mean(key, known),
            )
    try:
        return Policy.model_validate(values)
    except ValidationError as error:
        raise ConfigError(f"{FILE}: {_first(error)}", hint=_HINT) from None


def describe(policy: Policy, home: Path) -> list[str]:
    """Return the policy as TOML, each key with what it means and where it is set."""
    lines = [f"# {home / FILE} says what differs from the defaults"]
    for key, about in Policy.model_fields.items():
        value = getattr(policy, key)
        said = _toml(value)
        setting = f"# {key} is not set" if said is None else f"{key} = {said}"
        origin = FILE if key in policy.model_fields_set else "default"
        lines += ["", f"# {about.description} ({unit_of(key)}; {origin})", setting]
    return lines


def _toml(value: float | str | None) -> str | None:
    """Return a value of the policy as TOML writes it; None has no such form."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'  # of a closed set of characters
    return None if value is None else repr(value)


def unit_of(key: str) -> str:
    """Return what the values of a key are counted in."""
    field = Policy.model_fields[key]
    found = [mark.name for mark in field.metadata if isinstance(mark, Unit)]
    return found[0] if found else _unit_in(field.annotation)


def _unit_in(annotation: object) -> str:
    """Return the unit of `Annotated[...] | None`."""
    for branch in getattr(annotation, "__args__", ()):
        for mark in getattr(branch, "__metadata__", ()):
            if isinstance(mark, Unit):
                return mark.name
    raise LookupError(f"a key of the policy has no unit: {annotation}")


def _first(error: ValidationError) -> str:
    """Say the first fault in our words: key, what was got, what was expected."""
    fault = error.errors(include_url=False)[0]
    words = str(fault["msg"]).removeprefix("Value error, ")
    if not fault["loc"]:
        return words
    key, got = str(fault["loc"][0]), repr(fault["input"])[:40]
    if fault["type"] == "string_pattern_mismatch":
        words = 'expected such as "22-07"'
    for theirs, ours in _WORDS.items():
        words = words.replace(theirs, ours)
    return f"{key} is {got}, {words}"
