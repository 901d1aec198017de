"""Let a personal model learn entries that came after it was trained.

    1. ask it the new entries, at each level, before it knows them
    2. put the user where all entries lie
    3. train as before, on few steps: half of each batch is new, half is of before
    4. choose the level by the newest fifth of all, each asked before it was learnt

Steps are in proportion to what is new, so a model that learns each week takes no longer
than one that learnt all at once, and what it knows is repeated meanwhile.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from proper_client.person import Keeper, Personal, parts_of
from proper_client.personal import Personaliser, Progress, Work
from proper_shared.history import Entry, User
from proper_shared.method.stages import EMBEDDING

Asked = Mapping[str, tuple[float, ...]]  # id of an entry -> its cost at each level


@dataclass(frozen=True)
class Pupil:
    """Somebody who has a personal model and new entries.

    Attributes:
        user: with all entries, the new among them.
        person: the model as it is.
        asked: of entries that were learnt, what they cost before.
        new: ids of the entries that were not.
    """

    user: User
    person: Personal
    asked: Asked
    new: frozenset[str]

    @property
    def share(self) -> float:
        """Which part of all entries is new."""
        return len(self.new) / len(self.user.profile)

    def split(self) -> tuple[list[Entry], list[Entry]]:
        """Return what was learnt and what was not, both in time order."""
        profile = self.user.profile
        return (
            [entry for entry in profile if entry.id not in self.new],
            [entry for entry in profile if entry.id in self.new],
        )

    def asked_now(self) -> list[Entry]:
        """Return the new entries among those that choose the level."""
        return [entry for entry in parts_of(self.user)[1] if entry.id in self.new]


def learn_later(
    personaliser: Personaliser,
    pupils: Sequence[Pupil],
    progress: Progress | None = None,
    keeper: Keeper | None = None,
) -> list[Personal]:
    """Let personal models learn what is new.

    Args:
        personaliser: over the release that the models were trained on.
        pupils: all with the same share of new entries, up to rounding of the steps;
            each has new ones and others.
        progress: called after each step.
        keeper: of the one pupil, if it is one.

    Returns:
        The models, in the order of the pupils; those of before are not changed.

    Raises:
        ValueError: the pupils have different numbers of steps to make.
    """
    recipes = [personaliser.recipe.later(pupil.share) for pupil in pupils]
    if any(recipe != recipes[0] for recipe in recipes):
        raise ValueError("got pupils with different numbers of steps")
    found = keeper.found if keeper is not None else None
    people = [replace(p.person, tensors=dict(p.person.tensors)) for p in pupils]
    if found is None:
        _ask(personaliser, people, pupils)
        for person, pupil in zip(people, pupils, strict=True):
            own = personaliser.encoded(pupil.user.profile)
            person.tensors[EMBEDDING] = personaliser.place_of(own)
    else:
        people[0].judge(found.asked, personaliser.lead)
    parts = [pupil.split() for pupil in pupils]
    work = Work(
        [pupil.user.user_id for pupil in pupils],
        [personaliser.encoded(before) for before, _ in parts],
        recipes[0],
        [personaliser.encoded(new) for _, new in parts],
    )
    personaliser.train(people, work, progress, keeper)
    return people


def _ask(
    personaliser: Personaliser, people: Sequence[Personal], pupils: Sequence[Pupil]
) -> None:
    """Choose the levels anew."""
    now = [pupil.asked_now() for pupil in pupils]
    costs = personaliser.ask(people, [personaliser.encoded(own) for own in now])
    for person, pupil, own, cost in zip(people, pupils, now, costs, strict=True):
        known = {**pupil.asked, **{e.id: c for e, c in zip(own, cost, strict=True)}}
        aside = parts_of(pupil.user)[1]
        person.judge([known.get(e.id, ()) for e in aside], personaliser.lead)
