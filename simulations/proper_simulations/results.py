"""What a run of `proper-sim` writes down: the shape of results.json.

The models below are the only definition. `docs/results.schema.json` is printed from
them (`python -m proper_simulations.results`), and a test compares the two, so the
schema and the code cannot drift apart. A file is written whole or not at all.

Two words that are used throughout: a *method* is a row of a table (`stage1`, `oppu`,
...), a *metric* a column (`accuracy`, `mae`, ...). Numbers are kept to six decimals.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from proper_shared.durable import write_file
from proper_shared.errors import FormatError
from proper_shared.privacy.budget import NONE

Metric = Literal["accuracy", "macro_f1", "mae", "rmse", "rouge1", "rougeL"]
LOWER_IS_BETTER: frozenset[str] = frozenset({"mae", "rmse"})
_MOST = 1e15  # of any number: beyond, sums and axes lose their units

# Rows that every run has; a later rival only needs a name of the same form.
METHODS = (
    "base",
    "global_majority",
    "own_majority",
    "stage1",
    "stage2",
    "stage3",
    "chosen",
    "oppu",
    "best_given_history",
    "best_possible",
)

COMPARED = frozenset({"stage1", "chosen"})  # what a report is about: before, after

Method = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
Pair = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*-[a-z][a-z0-9_]*$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


def _bounded(value: float) -> float:
    """Refuse what nothing that is measured here can be."""
    if abs(value) > _MOST:
        raise ValueError(f"got a number beyond {_MOST:.0e}, expected one within")
    return value


Number = Annotated[
    float,
    Field(allow_inf_nan=False),
    AfterValidator(_bounded),
    AfterValidator(lambda value: round(value, 6)),
]
Count = Annotated[int, Field(ge=0), AfterValidator(_bounded)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
Scores = dict[Metric, Number]


class _Model(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(_Model):
    """A 95 % bootstrap interval over users."""

    low: Number
    high: Number

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"interval from {self.low} to {self.high} runs backwards")
        return self


class Paired(Interval):
    """Method a minus method b, user by user; wins are users whom a serves better."""

    difference: Number = Field(description="mean of a - b, in the metric's own units")
    wins: Count
    ties: Count
    losses: Count


class Share(_Model):
    """Part of the gap between stage 1 and a ceiling that a method closes.

    A bound is null where resampled users leave no gap to close.
    """

    share: Number
    low: Number | None = None
    high: Number | None = None


class Groups(_Model):
    """How well latent groups are found again; 1 is perfect, 0 is chance."""

    adjusted_rand: Number = Field(description="clusters of user embeddings")
    posterior_adjusted_rand: Number | None = Field(
        default=None,
        description="what the world's own posterior recovers from the same histories",
    )
    new_adjusted_rand: Number | None = Field(
        default=None, description="experts that tested users are placed at"
    )
    new_posterior_adjusted_rand: Number | None = Field(
        default=None, description="the posterior, from the histories of tested users"
    )


class LearningCurve(_Model):
    """Score against the number of a user's newest entries that were used."""

    entries: list[Count | Literal["all"]]
    methods: dict[Method, dict[Metric, list[Number | None]]]
    paired: dict[Pair, dict[Metric, list[Paired | None]]] = {}

    @model_validator(mode="after")
    def _one_value_for_each_entry(self) -> Self:
        wanted = len(self.entries)
        lengths = {
            f"{name}.{metric}": len(values)
            for part in (self.methods, self.paired)
            for name, by_metric in part.items()
            for metric, values in by_metric.items()
        }
        _same_length(lengths, wanted)
        for name, by_metric in self.methods.items():
            _in_range(name, by_metric)
        return self


class Router(_Model):
    """Density of expert weights over users and layers; rows are experts."""

    edges: list[Number] = Field(min_length=2, description="bounds of the bins")
    with_constraint: list[list[Number]] = Field(min_length=1)
    without_constraint: list[list[Number]] | None = Field(
        default=None,
        description="null where no run without the constraint loss was made",
    )

    @model_validator(mode="after")
    def _one_value_for_each_bin(self) -> Self:
        if any(b <= a for a, b in pairwise(self.edges)):
            raise ValueError("edges of the bins do not rise")
        rows = [*self.with_constraint, *(self.without_constraint or [])]
        lengths = {f"expert row {i}": len(row) for i, row in enumerate(rows)}
        _same_length(lengths, len(self.edges) - 1)
        return self


class Point(_Model):
    """One user's embedding, laid out in the plane by t-SNE."""

    x: Number
    y: Number
    group: int | None = Field(default=None, description="latent group, where known")


class Gain(_Model):
    """What `chosen` brought one user over stage 1; positive is always better."""

    user: str
    entries: Count
    gain: Number = Field(description="in units of `metric`, turned for errors")
    group: int | None = None


class Data(_Model):
    """Which data, by name and content; never where it lay."""

    name: str
    sha256: Sha256


class Executed(_Model):
    """What was done in fact, not what was asked for."""

    engine: Literal["memory", "ray"]
    cohort_size: Count
    rounds: dict[str, Count] = Field(description="rounds of each federated part")
    masks: bool = Field(description="whether only sums of updates could be read")
    privacy: str = Field(
        default=NONE, description="what the release says of it, in one line"
    )
    quick: bool
    backbone: str
    backbone_sha256: Sha256 | None = None
    group_level: Literal["others", "all"] = "others"
    users: Count = Field(description="users who are tested")
    others: Count = Field(description="users who train population and groups")
    queries: Count = Field(description="test queries of all users together")
    settings: dict[str, str | int | float | bool | None] = {}


class Results(_Model):
    """One run, whole: everything that the report, the tables and a reader need."""

    schema_version: Literal[1] = 1
    task: str
    metric: Metric = Field(description="the metric that the report is about")
    metrics: dict[Method, Scores] = Field(min_length=1)
    intervals: dict[Method, dict[Metric, Interval]] = {}
    paired: dict[Pair, dict[Metric, Paired]]
    gap_share: dict[Method, dict[Metric, Share | None]] = Field(
        default={},
        description="(method - stage1) / (best_given_history - stage1); null: no gap",
    )
    worse_than_stage1: dict[Method, Fraction] = Field(
        description="share of users whom the method serves worse, by `metric`",
    )
    chosen: dict[Method, Count] = Field(description="how often each level was chosen")
    learning_curve: LearningCurve | None = None
    groups: Groups | None = None
    gain_by_user: list[Gain] = []
    scores_by_user: dict[Method, dict[Metric, list[Number]]] = Field(
        default={},
        description="in the order of gain_by_user; what pooling over seeds reads",
    )
    router: Router | None = None
    embeddings: list[Point] = []
    loss_by_round: dict[str, list[Number]] = {}
    timings_s: dict[str, Number]
    bytes: dict[str, Count]
    seed: int
    command: str
    data: Data
    versions: dict[str, str]
    executed: Executed

    @model_validator(mode="after")
    def _complete(self) -> Self:
        for method, scores in self.metrics.items():
            if self.metric not in scores:
                raise ValueError(f"{method} has no {self.metric}, the run's own metric")
            _in_range(method, {metric: [v] for metric, v in scores.items()})
        if missing := COMPARED - self.metrics.keys():
            raise ValueError(f"metrics has no {min(missing)}, which every run has")
        for method, ends in self.intervals.items():
            _in_range(method, {m: [end.low, end.high] for m, end in ends.items()})
        for method, by_user in self.scores_by_user.items():
            _in_range(method, by_user)
        lengths = {
            f"scores_by_user.{method}.{metric}": len(values)
            for method, by_metric in self.scores_by_user.items()
            for metric, values in by_metric.items()
        }
        _same_length(lengths, len(self.gain_by_user))
        return self

    def by_user(self, method: str, metric: Metric) -> dict[str, float]:
        """Return one method's score for each user, by user id.

        Raises:
            KeyError: the run did not keep this method or metric.
        """
        values = self.scores_by_user[method][metric]
        users = [gain.user for gain in self.gain_by_user]
        return dict(zip(users, values, strict=True))


def write(path: Path, results: Results) -> None:
    """Write `results` to `path`; a reader sees the old file or the new, never half."""
    text = _lines(json.loads(results.model_dump_json())) + "\n"
    write_file(path, text.encode())


def load(path: Path) -> Results:
    """Read what `write` wrote.

    Raises:
        FormatError: the file cannot be read, or is not of this schema.
    """
    try:
        return Results.model_validate_json(path.read_bytes())
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        reason = f"{where}: {first['msg'].lower()}"
    raise FormatError(
        f"{path.name} is not a file of results: {reason}",
        hint="expected a results.json that `proper-sim run` wrote",
    )


def schema() -> str:
    """Return the JSON Schema of results.json as it stands in docs/."""
    described = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Results.model_json_schema(),
    }
    return json.dumps(described, indent=2) + "\n"


def _in_range(method: str, scores: Mapping[Metric, Sequence[float | None]]) -> None:
    """Refuse a share that is not from 0 to 1, and an error below zero."""
    for metric, values in scores.items():
        most = _MOST if metric in LOWER_IS_BETTER else 1.0
        for value in values:
            if value is not None and not 0 <= value <= most:
                raise ValueError(
                    f"{method} has {value:.3g} as {metric}, expected 0 to {most:g}"
                )


def _same_length(lengths: dict[str, int], wanted: int) -> None:
    for name, length in lengths.items():
        if length != wanted:
            raise ValueError(f"{name} has {length} values, expected {wanted}")


def _lines(value: object, indent: str = "") -> str:
    """Return JSON with one line for each list of plain values, for readable diffs."""
    inner = indent + " "
    if isinstance(value, dict) and value:
        items = [
            f"{inner}{json.dumps(k)}: {_lines(v, inner)}" for k, v in value.items()
        ]
        return "{\n" + ",\n".join(items) + f"\n{indent}}}"
    nested = isinstance(value, list) and any(isinstance(v, dict | list) for v in value)
    if isinstance(value, list) and nested:
        rows = [f"{inner}{json.dumps(v, ensure_ascii=False)}" for v in value]
        return "[\n" + ",\n".join(rows) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


if __name__ == "__main__":
    sys.stdout.write(schema())
