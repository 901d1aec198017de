"""Backbone, population, group and personal level side by side, on entries of one's own.

The model in the vault has learnt all entries, so none of them can tell how good it is.
So the same recipe, seed and release make another model from the older entries alone,
exactly what training had before it learnt the rest; it is asked about the newest fifth
and thrown away. Nothing is written.

What remains unfair is said: a level chosen on these very entries looks a little better
there than it is; that of the single levels does not.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from proper_client.answer import Answerer
from proper_client.judging import LOWER_IS_BETTER, Score, difference, scores
from proper_client.kept import About
from proper_client.opening import Aim, Opened
from proper_client.person import LEVELS, parts_of
from proper_client.personal import Personaliser
from proper_client.placement import Wanted
from proper_client.seated import personaliser_of, reopen
from proper_shared.allocator import keep_freed_memory
from proper_shared.errors import DataError
from proper_shared.history import Entry, User
from proper_shared.tasks import Task

Progress = Callable[[str, int, int, float | None], None]  # step, done, total, loss
OWN_MAJORITY = "own majority"


@dataclass(frozen=True)
class Comparison:
    """Who answers how well.

    Attributes:
        about: The kept model, whose release, recipe and seed were taken.
        task: Of the entries.
        learnt: How many entries the compared model learnt.
        asked: Which it was asked, the oldest first.
        answers: By who answered: one for each of `asked`.
        scores: By who answered and metric.
        gains: Leading metric of the personal level less that of another.
    """

    about: About
    task: Task
    learnt: int
    asked: tuple[Entry, ...]
    answers: dict[str, list[str]]
    scores: dict[str, dict[str, Score]]
    gains: dict[str, Score]

    def as_json(self, examples: int) -> dict[str, Any]:
        """Return it as JSON has it, with the newest examples."""
        return {
            "task": self.task.name,
            "learnt": self.learnt,
            "asked": len(self.asked),
            "chosen": self.about.level,
            "lower_is_better": [m for m in self.task.metrics if m in LOWER_IS_BETTER],
            "scores": {
                who: {metric: score.as_json() for metric, score in own.items()}
                for who, own in self.scores.items()
            },
            "personal_less": {who: gain.as_json() for who, gain in self.gains.items()},
            "examples": [
                {
                    "text": entry.text,
                    "you": entry.output,
                    **{who: own[n] for who, own in self.answers.items()},
                }
                for n, entry in self.newest(examples)
            ],
        }

    def newest(self, count: int) -> list[tuple[int, Entry]]:
        """Return the newest entries with their places, the newest first."""
        return list(enumerate(self.asked))[::-1][:count]


def compare(
    about: About,
    task: Task,
    user: User,
    progress: Progress | None = None,
    wanted: Wanted | None = None,
) -> Comparison:
    """Train on the older entries, and ask every level about the newest ones.

    Args:
        about: The kept model.
        task: Of the history.
        user: With the history.
        progress: Called after each step.
        wanted: Where to compute, and in how many bits.

    Raises:
        DataError: the history is of another task, or has too few entries.
        ConfigError: the release is gone or another.
        FormatError: the release is damaged.
        ModelError: the backbone is not there or does not fit.
    """
    if task.name != about.task:
        raise DataError(
            f"the history is of {task.name}, the personal model of {about.task}",
            hint="name the model of this history, or give another history: --history",
        )
    older, newest = parts_of(user)
    if not newest:
        raise DataError(
            f"got {len(user.profile)} entries, expected 5 or more, "
            "so that some can be kept aside",
            hint="compare again when you have more entries",
        )
    keep_freed_memory()
    opened = reopen(about, Aim(wanted or Wanted(), user.profile, trains=True))
    answers = _own_majority(task, older, len(newest))
    answers |= _levels(opened, about, user, progress)
    golds = [entry.output for entry in newest]
    others = [who for who in answers if who != "personal"]
    return Comparison(
        about=about,
        task=task,
        learnt=len(older),
        asked=newest,
        answers=answers,
        scores={who: scores(task, golds, own) for who, own in answers.items()},
        gains={
            who: difference(task, golds, answers["personal"], answers[who])
            for who in others
        },
    )


def _own_majority(
    task: Task, older: Sequence[Entry], count: int
) -> dict[str, list[str]]:
    """Return what somebody answers who only knows what this person says most."""
    if not task.labels:
        return {}
    said = Counter(entry.output for entry in older).most_common(1)[0][0]
    return {OWN_MAJORITY: [said] * count}


def _levels(
    opened: Opened,
    about: About,
    user: User,
    progress: Progress | None,
) -> dict[str, list[str]]:
    """Ask the backbone, and each level of a model that learnt the older entries."""
    personaliser = _forgetful(personaliser_of(opened, about))
    person = personaliser.fit([user], _steps(personaliser, progress))[0]
    personaliser.seat([person])
    texts = [entry.text for entry in parts_of(user)[1]]
    answerer = Answerer(opened.adapted, opened.encoder, rows=64)
    found = {}
    for level, uses in LEVELS.items():
        opened.adapted.users.use(*uses)
        found[str(level)] = answerer.answers([texts])[0]
    opened.adapted.users.use()
    opened.adapted.split_population()  # a fresh one in its place changes nothing
    return {"backbone": answerer.answers([texts])[0], **found}


def _forgetful(personaliser: Personaliser) -> Personaliser:
    """Let it never learn what it keeps aside."""
    personaliser.recipe = personaliser.recipe.model_copy(update={"absorb": 0.0})
    return personaliser


def _steps(
    personaliser: Personaliser, progress: Progress | None
) -> Callable[[str, int, int, float], None] | None:
    """Tell how far all steps together are."""
    if progress is None:
        return None
    recipe, done = personaliser.recipe, 0
    total = recipe.embedding.steps + recipe.user.steps + recipe.lora_router.steps

    def report(_phase: str, step: int, steps: int, loss: float) -> None:
        nonlocal done
        progress("learning the older ones", done + step, total, loss)
        done += steps if step == steps else 0

    return report
