"""From answers to results.json: scores, pairs, shares, pictures' numbers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.manifold import TSNE
from sklearn.metrics import adjusted_rand_score

from proper_shared.history import User
from proper_shared.metrics import per_item, summarise
from proper_simulations.dataset import Dataset
from proper_simulations.exam import STAGE_OF, Point
from proper_simulations.results import (
    LOWER_IS_BETTER,
    Gain,
    Groups,
    Interval,
    LearningCurve,
    Metric,
    Paired,
    Router,
    Scores,
    Share,
)
from proper_simulations.results import (
    Point as Spot,
)
from proper_simulations.rivals import Answers
from proper_simulations.statistics import (
    gap_share,
    interval,
    paired,
    share_worse,
    weight_density,
)

PAIRS = (
    ("chosen", "stage1"),
    ("chosen", "own_majority"),
    ("chosen", "oppu"),
    ("stage2", "stage1"),
    ("stage3", "stage2"),
    ("stage3", "stage1"),
    ("stage3", "oppu"),
    ("stage3", "own_majority"),
)
CURVE_METHODS = ("stage2", "stage3", "chosen", "oppu", "best_given_history")
CURVE_PAIRS = (("stage3", "oppu"), ("chosen", "oppu"))
MAIN: dict[str, Metric] = {"label": "accuracy", "score": "mae", "text": "rougeL"}
EDGES = np.linspace(0, 1, 26)


@dataclass
class Scorer:
    """Scores answers of the users of a run.

    Attributes:
        data: with the users and their queries.
        rng: of the bootstrap.
    """

    data: Dataset
    rng: np.random.Generator

    @property
    def users(self) -> Sequence[User]:
        """The tested users."""
        return self.data.users

    @property
    def main(self) -> Metric:
        """The metric that the report is about."""
        return MAIN[self.data.task.kind]

    @property
    def by_user_metrics(self) -> tuple[Metric, ...]:
        """The metrics that a single user has."""
        return {
            "label": ("accuracy",),
            "score": ("mae", "accuracy"),
            "text": ("rougeL", "rouge1"),
        }[self.data.task.kind]  # type: ignore[return-value]

    def scores(self, answers: Answers) -> Scores:
        """Score over all queries of all users."""
        golds = [query.output for user in self.users for query in user.queries]
        flat = [answer for own in answers for answer in own]
        return summarise(self.data.task, golds, flat)  # type: ignore[return-value]

    def by_user(self, answers: Answers, metric: Metric) -> dict[str, float]:
        """Score each user by the mean over their queries."""
        return {
            user.user_id: float(
                np.mean(
                    [
                        per_item(self.data.task, query.output, answer)[metric]
                        for query, answer in zip(user.queries, own, strict=True)
                    ]
                )
            )
            for user, own in zip(self.users, answers, strict=True)
        }

    def table(self, answers: Mapping[str, Answers]) -> "Table":
        """Score all methods for each user."""
        return Table(
            {
                name: {m: self.by_user(own, m) for m in self.by_user_metrics}
                for name, own in answers.items()
            },
            self,
        )


@dataclass
class Table:
    """Scores by method, metric and user.

    Attributes:
        scores: method -> metric -> user id -> score.
        scorer: that made them.
    """

    scores: dict[str, dict[Metric, dict[str, float]]]
    scorer: Scorer

    def pairs(self) -> dict[str, dict[Metric, Paired]]:
        """Compare methods user by user."""
        return {
            f"{a}-{b}": self.pair(a, b)
            for a, b in PAIRS
            if a in self.scores and b in self.scores
        }

    def pair(self, a: str, b: str) -> dict[Metric, Paired]:
        """Compare two methods in all metrics of a user."""
        return {
            metric: paired(
                self.scores[a][metric], self.scores[b][metric], metric, self.scorer.rng
            )
            for metric in self.scores[a]
        }

    def intervals(self) -> dict[str, dict[Metric, Interval]]:
        """Return the interval of each mean over all queries."""
        rng = self.scorer.rng
        queries = {user.user_id: len(user.queries) for user in self.scorer.users}
        return {
            name: {m: interval(own, rng, queries) for m, own in by_metric.items()}
            for name, by_metric in self.scores.items()
        }

    def shares(self) -> dict[str, dict[Metric, Share | None]]:
        """Return which part of the gap to the ceiling each method closes."""
        if "best_given_history" not in self.scores:
            return {}
        one, best = self.scores["stage1"], self.scores["best_given_history"]
        return {
            name: {
                metric: gap_share(
                    self.scores[name][metric],
                    one[metric],
                    best[metric],
                    metric,
                    self.scorer.rng,
                )
                for metric in one
            }
            for name in ("stage2", "stage3", "chosen", "oppu")
        }

    def worse(self) -> dict[str, float]:
        """Return the share of users whom a method serves worse than stage 1."""
        metric = self.scorer.main
        one = self.scores["stage1"][metric]
        return {
            name: share_worse(self.scores[name][metric], one, metric)
            for name in ("stage2", "stage3", "chosen", "oppu")
        }

    def gains(self, groups: Mapping[str, int]) -> list[Gain]:
        """Return what `chosen` brought each user over stage 1."""
        metric = self.scorer.main
        sign = -1 if metric in LOWER_IS_BETTER else 1
        chosen, one = self.scores["chosen"][metric], self.scores["stage1"][metric]
        return [
            Gain(
                user=user.user_id,
                entries=len(user.profile),
                gain=sign * (chosen[user.user_id] - one[user.user_id]),
                group=groups.get(user.user_id),
            )
            for user in self.scorer.users
        ]


def curve(
    scorer: Scorer,
    points: Mapping[int | None, Point],
    ceilings: Mapping[int | None, Answers],
) -> LearningCurve:
    """Return the learning curve: every method at every number of entries."""
    counts = sorted(n for n in points if n is not None)
    order: list[int | None] = [*counts, None]
    tables = []
    for count in order:
        answers = dict(points[count].answers)
        if count in ceilings:
            answers["best_given_history"] = ceilings[count]
        tables.append((scorer.table(answers), answers))
    known = [name for name in CURVE_METHODS if name in tables[0][1]]
    pairs = {(a, b): [table.pair(a, b) for table, _ in tables] for a, b in CURVE_PAIRS}
    return LearningCurve(
        entries=[*counts, "all"],
        methods={
            name: {
                metric: [scorer.scores(answers[name])[metric] for _, answers in tables]
                for metric in scorer.by_user_metrics
            }
            for name in known
        },
        paired={
            f"{a}-{b}": {
                metric: [pair[metric] for pair in along]
                for metric in scorer.by_user_metrics
            }
            for (a, b), along in pairs.items()
        },
    )


def chosen_counts(point: Point) -> dict[str, int]:
    """Return how often each level was chosen, by the name of its stage."""
    counts = Counter(STAGE_OF[level] for level in point.levels)
    return {stage: counts[stage] for stage in STAGE_OF.values()}


def recovered_groups(
    data: Dataset,
    members: Sequence[User],
    routes: NDArray[np.floating],
    weights: Sequence[Sequence[Sequence[float]]],
) -> Groups | None:
    """Compare what was found with the true groups, where they are known.

    Args:
        data: of the run.
        members: who trained groups.
        routes: (M, F) their embeddings as the routers see them, `W_u e`.
        weights: (U, L, E) how the users who are tested weigh the experts; those
            without a profile are left out.
    """
    if data.truth is None:
        return None
    truth = data.truth
    true = [truth.groups[user.user_id] for user in members]
    found = KMeans(len(set(true)), n_init=10, random_state=0).fit_predict(routes)
    posterior = [truth.posterior_group(user) for user in members]
    tested = [user for user in data.users if user.profile]
    theirs = [truth.groups[user.user_id] for user in tested]
    asked = np.asarray(weights).mean(1).argmax(-1)  # the expert that serves most
    best = [truth.posterior_group(user) for user in tested]
    return Groups(
        adjusted_rand=adjusted_rand_score(true, found),
        posterior_adjusted_rand=adjusted_rand_score(true, posterior),
        new_adjusted_rand=adjusted_rand_score(theirs, asked),
        new_posterior_adjusted_rand=adjusted_rand_score(theirs, best),
    )


def spots(
    data: Dataset, members: Sequence[User], routes: NDArray[np.floating]
) -> list[Spot]:
    """Lay members' embeddings out in the plane by t-SNE."""
    if len(members) < 10:
        return []
    perplexity = min(30.0, len(members) / 4)
    plane = TSNE(perplexity=perplexity, random_state=0, init="pca").fit_transform(
        routes
    )
    groups = {} if data.truth is None else data.truth.groups
    return [
        Spot(x=float(x), y=float(y), group=groups.get(user.user_id))
        for user, (x, y) in zip(members, plane, strict=True)
    ]


def densities(
    weights: Sequence[Sequence[Sequence[float]]],
    without: Sequence[Sequence[Sequence[float]]] | None,
) -> Router:
    """Return the densities of expert weights over users and layers."""

    def density(values: Sequence[Sequence[Sequence[float]]]) -> list[list[float]]:
        array = np.array(values)  # (U, L, E)
        return weight_density(array.reshape(-1, array.shape[-1]), EDGES)

    return Router(
        edges=EDGES.tolist(),
        with_constraint=density(weights),
        without_constraint=None if without is None else density(without),
    )
