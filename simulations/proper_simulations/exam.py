"""Ask every user every query, at every level and for every length of history."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, cast

import numpy as np
import torch
from pydantic import JsonValue

from proper_client.answer import Answerer
from proper_client.personal import LEVELS, Ground, Level, Personaliser, Progress
from proper_client.trainer import Trainer
from proper_shared.encoding import collate
from proper_shared.grouping import READING
from proper_shared.history import User
from proper_shared.method.objective import stack_layers
from proper_shared.packing import Arrays
from proper_shared.rounds import Part
from proper_simulations.pieces import Pieces
from proper_simulations.rivals import Answers, oppu
from proper_simulations.settings import Settings

STAGE_OF: dict[Level, str] = {
    "population": "stage1",
    "group": "stage2",
    "personal": "stage3",
}
T = TypeVar("T")
Show = Callable[[str, int, int, float | None], None]
PROBE = 8  # entries of a user on which the routers are watched


@dataclass(frozen=True)
class Point:
    """What was found for one length of history.

    Attributes:
        answers: method -> for each user, their answers.
        levels: for each user, the chosen level.
    """

    answers: dict[str, Answers]
    levels: list[Level]


def released(part: Part) -> Arrays:
    """Return the tensors that a release holds, from the last federated part."""
    return {name: np.array(value) for name, value in part.values.items()}


def newest(user: User, count: int | None) -> User:
    """Return the user with the newest entries alone; None keeps all."""
    if count is None:
        return user
    return replace(user, profile=user.profile[-count:] if count else ())


class Exam:
    """Examines users over one release.

    Args:
        trainer: whose model is used; the federation is over.
        group: the finished group part.
        last: the last finished part, which holds all tensors.
        settings: of the run.
        pieces: where finished points are kept.
    """

    def __init__(
        self,
        trainer: Trainer,
        group: Part,
        last: Part,
        settings: Settings,
        pieces: Pieces,
    ) -> None:
        self.trainer, self.settings, self.pieces = trainer, settings, pieces
        self.encoder = trainer.encoder
        self.show: Show | None = None
        trainer.open_release(released(last), group.mean_embedding)
        reading = {name: np.array(last.values[name]) for name in READING}
        self.personaliser = Personaliser(
            Ground(trainer.adapted, trainer.encoder, reading),
            settings.personal,
            trainer.seed,
        )

    def points(self, users: Sequence[User], show: Show) -> dict[int | None, Point]:
        """Examine the users for each number of entries; None is all of them.

        A user with no more entries than a point asks for is taken over from all.

        Args:
            users: whose newest entries are used.
            show: told of each step: name, done, of how many, loss.
        """
        self.show = show
        alike = self.pieces.get("population", lambda: self._population(users))
        everything = self._point("all", users, cast("Answers", alike))
        points: dict[int | None, Point] = {None: everything}
        for count in self.settings.curve:
            longer = [i for i, user in enumerate(users) if len(user.profile) > count]
            cut = [newest(users[i], count) for i in longer]
            known = [everything.answers["stage1"][i] for i in longer]
            part = self._point(str(count), cut, known) if cut else everything
            points[count] = _spread(part, longer, everything) if cut else everything
        return points

    def _population(self, users: Sequence[User]) -> JsonValue:
        """Ask the population, which answers alike whatever a user has written."""
        self.personaliser.seat([self.personaliser.newcomer() for _ in users])
        return cast("JsonValue", self._ask(users, "population"))

    def _point(self, name: str, users: Sequence[User], alike: Answers) -> Point:
        piece = self.pieces.get(
            f"entries-{name}", lambda: vars(self._examine(users, name, alike))
        )
        return Point(**cast("dict[str, list]", piece))  # type: ignore[type-arg,arg-type]

    def _examine(self, users: Sequence[User], name: str, alike: Answers) -> Point:
        """Train and ask the users; `name` says how many entries they have."""
        people = self.personaliser.fit(users, self._named(name))
        self.personaliser.seat(people)
        answers = {"stage1": alike}
        for level in ("group", "personal"):
            answers[STAGE_OF[level]] = self._ask(users, level)
        answers["chosen"] = [
            answers[STAGE_OF[person.level]][i] for i, person in enumerate(people)
        ]
        known = [user for user in users if user.profile]
        rival = iter(
            oppu(self.personaliser, known, self.settings.oppu) if known else []
        )
        answers["oppu"] = [
            next(rival) if user.profile else answers["stage1"][i]
            for i, user in enumerate(users)
        ]
        return Point(answers, [person.level for person in people])

    def _named(self, name: str) -> Progress | None:
        """Return the progress of one point, under the name of the point."""
        show = self.show
        if show is None:
            return None
        return lambda phase, step, steps, loss: show(
            f"{name} entries, {phase}", step, steps, loss
        )

    def _ask(self, users: Sequence[User], level: Level) -> Answers:
        self.trainer.adapted.users.use(*LEVELS[level])
        answerer = Answerer(self.trainer.adapted, self.encoder)
        return answerer.answers([[q.text for q in user.queries] for user in users])

    @torch.no_grad()
    def routing(self, users: Sequence[User]) -> list[list[list[float]]]:
        """Return (U, L, E): how users who were just placed weigh the experts.

        Args:
            users: those without a profile are left out.
        """
        known = [user for user in users if user.profile]
        adapted = self.trainer.adapted
        self.personaliser.seat(self.personaliser.place(known))
        adapted.users.use(*LEVELS["group"])
        rows = [
            [self.encoder.example(entry) for entry in user.profile[-PROBE:]]
            for user in known
        ]
        batch = collate(rows, self.encoder.padding)
        adapted.users.open_pass(batch.mask, batch.extents, (), record=True)
        adapted.logits(batch)
        adapted.users.close_pass()
        weights = stack_layers(adapted.users.weight, adapted.layers)
        return cast("list[list[list[float]]]", weights.tolist())


def _spread(part: Point, seats: Sequence[int], everything: Point) -> Point:
    """Put the users of a point into their seats among all users."""
    answers = {
        name: _replaced(everything.answers[name], seats, own)
        for name, own in part.answers.items()
    }
    return Point(answers, _replaced(everything.levels, seats, part.levels))


def _replaced(old: Sequence[T], seats: Sequence[int], new: Sequence[T]) -> list[T]:
    values = list(old)
    for seat, value in zip(seats, new, strict=True):
        values[seat] = value
    return values
