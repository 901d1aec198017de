"""One person's own: their tensors, the level that answers, where a training stands.

A level is judged by entries that it had not seen: each was asked before it was learnt.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from torch import Tensor

from proper_shared.history import Entry, User, split_for_validation
from proper_shared.method.users import Use

Level = Literal["population", "group", "personal"]
LEVELS: dict[Level, tuple[Use, ...]] = {
    "population": (),
    "group": ("group",),
    "personal": ("group", "user", "lora_router"),
}
LEAD = {"label": 1.0, "score": 1.0, "text": 3.0}  # of the population, as `costs`
MAX_ASIDE = 1000  # entries kept aside: more say no more, and take long


def parts_of(user: User) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """Return what of a profile is learnt first, and what is kept aside meanwhile."""
    kept = split_for_validation(user.profile)[1][-MAX_ASIDE:]
    return user.profile[: len(user.profile) - len(kept)], kept


@dataclass
class Personal:
    """What one user has of their own.

    Attributes:
        tensors: embedding, user LoRA and W_l by name, without the axis of banks.
        level: which level answers this user best.
        costs: of all entries kept aside, by level, see `Answerer.costs`; empty where
            none were.
        asked: of each entry kept aside, its cost at each level; nothing of one that was
            learnt without being asked.
    """

    tensors: dict[str, Tensor]
    level: Level = "group"
    costs: dict[Level, float] = field(default_factory=dict)
    asked: list[tuple[float, ...]] = field(default_factory=list)

    def judge(self, asked: Sequence[tuple[float, ...]], lead: float) -> None:
        """Choose the level by entries that were asked before they were learnt.

        What they cost in sum is compared, and the population has to lead: a few
        entries say little, and over many users the group level serves better. Who was
        asked nothing answers from the group level, which a few entries cannot spoil.

        Args:
            asked: of each entry kept aside, its cost at each level, if it is known.
            lead: of the population, as `LEAD` has it.
        """
        self.asked, known = list(asked), [costs for costs in asked if costs]
        sums = map(math.fsum, zip(*known, strict=True))
        self.costs = dict(zip(LEVELS, sums, strict=True)) if known else {}
        self.level = "group"
        if self.costs:
            led: dict[Level, float] = {**self.costs}
            led["population"] += lead
            self.level = min(led, key=lambda level: led[level])


@dataclass(frozen=True)
class Checkpoint:
    """Where one user's training stands.

    Attributes:
        leg: phases that are finished, of all passes.
        tensors: of the user, as they are now.
        training: of the phase at hand, as `CohortTraining.state` tells it.
        asked: as `Personal.asked`.
    """

    leg: int
    tensors: dict[str, Tensor]
    training: dict[str, Tensor]
    asked: list[tuple[float, ...]]


class Keeper(Protocol):
    """Keeps where the training of one user stands."""

    @property
    def found(self) -> Checkpoint | None:
        """Where an earlier one was cut short, if it was."""
        ...

    def offer(self, look: Callable[[], Checkpoint]) -> None:
        """Look where the training stands and keep it, if it is time to."""
        ...
