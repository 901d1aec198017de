"""Score answers, and say how sure a score is: intervals over one person's entries.

The unit is the entry: here one person is judged by what they did, and nobody else.
Intervals are 95 % percentile bootstrap intervals (Efron 1979); differences between two
ways of answering are taken entry by entry.

Not covered: that the entries kept aside are the newest of one history, and that one
training made the model.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from proper_shared.metrics import macro_f1, per_item, summarise
from proper_shared.tasks import Task

DRAWS = 2000
LOWER_IS_BETTER = ("mae", "rmse")
_LEVELS = (2.5, 97.5)  # percentiles
_SEED = 0  # of the draws: the same answers have the same intervals


@dataclass(frozen=True)
class Score:
    """A number with its interval."""

    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        """Return it as JSON has it."""
        return asdict(self)


def scores(
    task: Task, golds: Sequence[str], answers: Sequence[str]
) -> dict[str, Score]:
    """Score answers by each metric of the task.

    Args:
        task: Decides the metrics.
        golds: (N,) what the person made of N entries, N > 0.
        answers: (N,) what was answered.
    """
    exact = summarise(task, golds, answers)
    drawn = _drawn(len(golds))
    items = [per_item(task, *pair) for pair in zip(golds, answers, strict=True)]
    found = {}
    for metric in task.metrics:
        if metric == "macro_f1":
            values = _f1(task, golds, answers, drawn)
        else:
            key = "se" if metric == "rmse" else metric
            values = np.array([item[key] for item in items])[drawn].mean(1)
            values = np.sqrt(values) if metric == "rmse" else values
        found[metric] = _score(exact[metric], values)
    return found


def difference(
    task: Task, golds: Sequence[str], ours: Sequence[str], others: Sequence[str]
) -> Score:
    """Return how much higher `ours` scores than `others` in the leading metric."""
    metric = task.metrics[0]
    apart = np.array(
        [
            per_item(task, gold, one)[metric] - per_item(task, gold, other)[metric]
            for gold, one, other in zip(golds, ours, others, strict=True)
        ]
    )
    return _score(float(apart.mean()), apart[_drawn(len(apart))].mean(1))


def _drawn(count: int) -> NDArray[np.int64]:
    """Return (DRAWS, count) places, drawn with replacement."""
    rng = np.random.default_rng(_SEED)
    return rng.integers(0, count, size=(DRAWS, count))


def _score(value: float, values: NDArray[np.float64]) -> Score:
    low, high = np.percentile(values, _LEVELS)
    if not math.isfinite(value):
        raise ValueError(f"got a score of {value}, expected a number")
    return Score(value, float(low), float(high))


def _f1(
    task: Task, golds: Sequence[str], answers: Sequence[str], drawn: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the macro-F1 of each draw: one of a sample is no mean over its items."""
    return np.array(
        [
            macro_f1(task.labels, [golds[i] for i in row], [answers[i] for i in row])
            for row in drawn.tolist()
        ]
    )
