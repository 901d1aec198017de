"""What a model that learns later entries by itself is worth, against one made anew.

Each user's history comes in pieces: the first four fifths are learnt anew, the rest in
updates of a twentieth each. Then a second model learns everything anew. Both are asked
the user's queries, which come after all of it. Some people of the worlds drift: they
are somebody else from some entry on, so later entries say what earlier ones did not.

Cost is counted in forward passes of an example: one that is only read costs one, one
that is learnt from three, since the way back costs two. Seconds are of the processor,
of a few users one by one, as their devices would take; the release is open already.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from proper_client.answer import Answerer
from proper_client.assistant import recipe_of
from proper_client.later import Pupil, learn_later
from proper_client.opening import open_release
from proper_client.person import Personal, parts_of
from proper_client.personal import LEVELS, Ground, Personaliser
from proper_shared.errors import ConfigError, DataError
from proper_shared.history import User
from proper_simulations.bench.measure import DRAWS, circumstances
from proper_simulations.config import RunConfig
from proper_simulations.report.terminal import aligned
from proper_simulations.sources import dataset_of
from proper_simulations.statistics import share_worse
from proper_simulations.summary import Scorer

Asked = dict[str, tuple[float, ...]]
Kind = Literal["anew", "later"]
WORLDS = ("tagging", "rating", "rewriting")
FORWARD_AND_BACK = 3
FEWEST = 10  # entries of a user who takes part: a twentieth of fewer is nothing


@dataclass(frozen=True)
class Plan:
    """How histories come.

    Attributes:
        users: how many people, at most.
        begin: share that is learnt at first.
        updates: in how many pieces the rest comes.
        timed: users whose seconds are taken.
    """

    users: int = 100
    begin: float = 0.8
    updates: int = 4
    timed: int = 8


def incremental(
    release: Path,
    data: Path | None = None,
    *,
    plan: Plan | None = None,
    show: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Compare learning later with learning anew.

    Args:
        release: A release folder; of a world, its task and seed name the people.
        data: Folder of real histories, where the release is of none of the worlds.
        plan: How histories come.
        show: Told what is done.

    Returns:
        Circumstances and the numbers of the comparison.
    """
    plan = plan or Plan()
    return _Bench(release, data, plan, show).run()


class _Bench:
    def __init__(
        self, release: Path, data: Path | None, plan: Plan, show: Callable[[str], None]
    ) -> None:
        self.plan, self.show = plan, show
        opened = open_release(release)
        header = opened.header
        self.seed, self.task = header.seed, header.task
        if data is None and header.task not in WORLDS:
            raise ConfigError(
                f"the release is for {header.task}, which is none of the worlds",
                hint="give the folder of real histories: --data DIR",
            )
        world = None if data else header.task
        config = RunConfig(data=data, world=world, seed=self.seed, users=plan.users)
        known = dataset_of(config)
        users = tuple(u for u in known.users if len(u.profile) >= FEWEST)
        if known.task.name != header.task or not users:
            raise DataError(
                f"{known.name} has {len(users)} users of {known.task.name} with "
                f"{FEWEST} entries, expected some of {header.task}"
            )
        self.data = replace(known, users=users)
        ground = Ground(opened.adapted, opened.encoder, opened.reading)
        self.personaliser = Personaliser(ground, recipe_of(header), self.seed)
        self.rng = np.random.default_rng(self.seed)

    def run(self) -> dict[str, Any]:
        users, made = self.data.users, self.personaliser
        self.show(f"{len(users)} users, anew")
        before = self.spent
        anew = made.fit(users)
        cost = self.spent - before
        self.show("the first part")
        sizes = [self._sizes(user) for user in users]
        people = made.fit(
            [_first(u, own[0]) for u, own in zip(users, sizes, strict=True)]
        )
        asked = [
            _asked(_first(u, s[0]), p)
            for u, s, p in zip(users, sizes, people, strict=True)
        ]
        before = self.spent
        for update in range(1, self.plan.updates + 1):
            self.show(f"update {update} of {self.plan.updates}")
            pupils = [
                Pupil(_first(u, s[update]), p, a, _new(u, s[update - 1], s[update]))
                for u, s, p, a in zip(users, sizes, people, asked, strict=True)
            ]
            people = self.learn(pupils)
            asked = [
                {**pupil.asked, **_asked(pupil.user, person)}
                for pupil, person in zip(pupils, people, strict=True)
            ]
        later_cost = (self.spent - before) / self.plan.updates
        self.show("asking")
        return {
            "command": self.command,
            **circumstances(self.seed),
            "task": self.task,
            "data": {"name": self.data.name, "sha256": self.data.fingerprint},
            "plan": vars(self.plan),
            "users": len(users),
            "entries": _spread([len(user.profile) for user in users]),
            "new_in_an_update": _spread([s[-1] - s[-2] for s in sizes]),
            "cost": {
                "anew": cost / len(users),
                "later": later_cost / len(users),
                "ratio": later_cost / cost,
            },
            "seconds": self._seconds(users, sizes),
            **self._quality(anew, people),
        }

    @property
    def command(self) -> str:
        """The command, with local folders by their names alone."""
        words = f"proper-sim bench incremental --release out/{self.data.name}/release"
        words += f" --data {self.data.name}" if self.data.truth is None else ""
        return f"{words} --users {self.plan.users} --json"

    @property
    def spent(self) -> int:
        """Forward passes so far."""
        made = self.personaliser
        return FORWARD_AND_BACK * made.computed + made.read

    def _sizes(self, user: User) -> list[int]:
        """Return how many entries a user has before and after each update."""
        count, steps = len(user.profile), self.plan.updates
        shares = np.linspace(self.plan.begin, 1, steps + 1)
        return [max(1, round(count * share)) for share in shares]

    def learn(self, pupils: Sequence[Pupil]) -> list[Personal]:
        """Let people learn their new entries, those with equally many steps at once."""
        by_recipe: dict[str, list[int]] = {}
        made, people = self.personaliser, [pupil.person for pupil in pupils]
        for seat, pupil in enumerate(pupils):
            if pupil.new:
                key = made.recipe.later(pupil.share).model_dump_json()
                by_recipe.setdefault(key, []).append(seat)
        for seats in by_recipe.values():
            learnt = learn_later(made, [pupils[seat] for seat in seats])
            for seat, person in zip(seats, learnt, strict=True):
                people[seat] = person
        return people

    def _seconds(
        self, users: Sequence[User], sizes: Sequence[Sequence[int]]
    ) -> dict[str, float]:
        """Time the last update and a training anew of a few users, one by one."""
        chosen = np.linspace(0, len(users) - 1, self.plan.timed).astype(int)
        times: dict[Kind, list[float]] = {"anew": [], "later": []}
        for seat in sorted({*chosen.tolist()}):
            user, last = users[seat], sizes[seat][-2]
            new = _new(user, last, sizes[seat][-1])
            if not new:
                continue
            begun = self.personaliser.fit([_first(user, last)])[0]
            pupil = Pupil(user, begun, _asked(_first(user, last), begun), new)
            ways: dict[Kind, Callable[[], object]] = {
                "anew": lambda user=user: self.personaliser.fit([user]),  # type: ignore[misc]
                "later": lambda pupil=pupil: self.learn([pupil]),  # type: ignore[misc]
            }
            for way, act in ways.items():
                start = time.process_time()
                act()
                times[way].append(time.process_time() - start)
        means: dict[str, float] = {
            way: float(np.mean(own)) for way, own in times.items()
        }
        return {
            **means,
            "ratio": means["later"] / means["anew"],
            "users": len(times["anew"]),
        }

    def _quality(
        self, anew: Sequence[Personal], later: Sequence[Personal]
    ) -> dict[str, Any]:
        scorer = Scorer(self.data, self.rng)
        users, main = self.data.users, scorer.main
        scores: dict[str, dict[str, float]] = {}
        losses: dict[str, list[float]] = {}
        ways: Mapping[str, Sequence[Personal]] = {"anew": anew, "later": later}
        for way, people in ways.items():
            answers, lost = self._asked(people)
            chosen = [answers[p.level][i] for i, p in enumerate(people)]
            scores[f"{way}, chosen"] = scorer.by_user(chosen, main)
            scores[f"{way}, personal"] = scorer.by_user(answers["personal"], main)
            scores["population"] = scorer.by_user(answers["population"], main)
            losses[f"{way}, chosen"] = [lost[p.level][i] for i, p in enumerate(people)]
            losses[f"{way}, personal"] = lost["personal"]
        ids = [user.user_id for user in users]
        lost_by = {n: dict(zip(ids, own, strict=True)) for n, own in losses.items()}
        return {
            "metric": main,
            "scores": {
                name: float(np.mean([*own.values()])) for name, own in scores.items()
            },
            "losses": {name: float(np.mean(own)) for name, own in losses.items()},
            "later_over_anew": {
                **{
                    f"score, {level}": self._ratio(scores, level)
                    for level in ("chosen", "personal")
                },
                **{
                    f"loss, {level}": self._ratio(lost_by, level)
                    for level in ("chosen", "personal")
                },
            },
            "worse_than_population": {
                way: share_worse(scores[f"{way}, chosen"], scores["population"], main)
                for way in ways
            },
            "worse_in_loss_than_anew": float(
                np.mean(
                    np.array(losses["later, chosen"]) > np.array(losses["anew, chosen"])
                )
            ),
        }

    def _asked(
        self, people: Sequence[Personal]
    ) -> tuple[dict[str, list[list[str]]], dict[str, list[float]]]:
        """Return answers to the queries and their losses, by level."""
        made, users = self.personaliser, self.data.users
        made.seat(people)
        answerer = Answerer(made.adapted, made.encoder)
        queries = [made.encoded(user.queries) for user in users]
        texts = [[query.text for query in user.queries] for user in users]
        answers: dict[str, list[list[str]]] = {}
        losses: dict[str, list[float]] = {}
        for level, uses in LEVELS.items():
            made.adapted.users.use(*uses)
            answers[level] = answerer.answers(texts)
            losses[level] = answerer.losses(queries)
        return answers, losses

    def _ratio(
        self, by_way: Mapping[str, Mapping[str, float]], level: str
    ) -> dict[str, float]:
        """Return how far later is from anew, with a 95 % interval over users."""
        later, anew = (
            np.array([*by_way[f"{way}, {level}"].values()]) for way in ("later", "anew")
        )
        rows = self.rng.integers(len(anew), size=(DRAWS, len(anew)))
        drawn = later[rows].mean(1) / anew[rows].mean(1) - 1
        low, high = np.quantile(drawn, (0.025, 0.975))
        change = float(later.mean() / anew.mean() - 1)
        return {"change": change, "low": float(low), "high": float(high)}


def as_text(found: Mapping[str, Any]) -> str:
    """Return a result as lines for a terminal."""
    lines = [["", "change", "95 % interval"]]
    for name, own in found["later_over_anew"].items():
        bounds = f"{own['low']:+.1%} to {own['high']:+.1%}"
        lines.append([name, f"{own['change']:+.1%}", bounds])
    lines.append(["cost of an update", f"{found['cost']['ratio']:.0%} of anew", ""])
    lines.append(["seconds of one", f"{found['seconds']['ratio']:.0%} of anew", ""])
    for way, share in found["worse_than_population"].items():
        lines.append([f"worse than population, {way}", f"{share:.1%}", ""])
    return aligned(lines)


def _first(user: User, count: int) -> User:
    return replace(user, profile=user.profile[:count])


def _new(user: User, before: int, after: int) -> frozenset[str]:
    return frozenset(entry.id for entry in user.profile[before:after])


def _asked(user: User, person: Personal) -> Asked:
    aside = parts_of(user)[1] if person.asked else ()
    return {e.id: c for e, c in zip(aside, person.asked, strict=True) if c}


def _spread(counts: Sequence[int]) -> dict[str, float]:
    low, mid, high = np.quantile(counts, (0, 0.5, 1))
    return {"least": float(low), "median": float(mid), "most": float(high)}
