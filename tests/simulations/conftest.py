"""Made-up results for tests of files, statistics and pages; no run wrote them."""

import numpy as np
import pytest

from proper_simulations import statistics
from proper_simulations.results import (
    LOWER_IS_BETTER,
    Data,
    Executed,
    Gain,
    Groups,
    LearningCurve,
    Point,
    Results,
    Router,
)

ENTRIES = [0, 1, 2, 4, 8, 16, 32, "all"]
LEVELS = {  # mean share of questions that are answered right
    "base": 0.07,
    "global_majority": 0.14,
    "own_majority": 0.44,
    "stage1": 0.51,
    "stage2": 0.62,
    "stage3": 0.69,
    "chosen": 0.70,
    "oppu": 0.63,
    "best_given_history": 0.76,
    "best_possible": 0.88,
}
CURVES = {
    "stage2": [0.51, 0.53, 0.56, 0.59, 0.61, 0.62, 0.62, 0.62],
    "stage3": [0.51, 0.53, 0.56, 0.60, 0.63, 0.65, 0.67, 0.69],
    "chosen": [0.51, 0.51, 0.54, 0.59, 0.63, 0.66, 0.675, 0.70],
    "oppu": [0.51, 0.515, 0.53, 0.55, 0.56, 0.58, 0.61, 0.63],
    "best_given_history": [0.52, 0.57, 0.61, 0.66, 0.70, 0.73, 0.75, 0.76],
}
PAIRS = ["stage2-stage1", "stage3-stage2", "chosen-stage1", "chosen-oppu"]
PAIRS += ["chosen-own_majority", "stage3-oppu"]


RESAMPLES = 500  # enough for a picture


def users_scores(levels, metric, rng, users=100, queries=12):
    """One score for each user: correlated over methods, in steps of a question."""
    ease = rng.normal(0, 0.12, users)
    scores = {}
    for method, level in levels.items():
        right = rng.binomial(queries, np.clip(level + ease, 0.02, 0.98)) / queries
        if metric in LOWER_IS_BETTER:
            right = np.round(1.6 * (1 - right), 3)
        scores[method] = {f"user-{i:03d}": float(s) for i, s in enumerate(right)}
    return scores


def learning_curve(metric, rng):
    methods, paired = {m: {metric: []} for m in CURVES}, {metric: []}
    for i in range(len(ENTRIES)):
        levels = {method: line[i] for method, line in CURVES.items()}
        scores = users_scores(levels, metric, rng, queries=40)
        for method in CURVES:
            mean = float(np.mean(list(scores[method].values())))
            methods[method][metric].append(mean)
        pair = statistics.paired(scores["stage3"], scores["oppu"], metric, rng)
        paired[metric].append(pair)
    return LearningCurve(
        entries=ENTRIES, methods=methods, paired={"stage3-oppu": paired}
    )


def router(rng):
    edges = np.linspace(0, 1, 41)

    def densities(strength):
        weights = rng.dirichlet(np.full(5, strength), 4000)
        return statistics.weight_density(weights, edges)

    return Router(
        edges=edges.tolist(),
        with_constraint=densities(0.8),
        without_constraint=densities(6.0),
    )


def comparisons(scores, metric, rng):
    """What a run computes from the scores of its users."""
    stage1, best = scores["stage1"], scores["best_given_history"]

    def share(method):
        return statistics.gap_share(scores[method], stage1, best, metric, rng)

    def pair(name):
        a, b = name.split("-")
        return statistics.paired(scores[a], scores[b], metric, rng)

    return {
        "metrics": {m: {metric: np.mean(list(s.values()))} for m, s in scores.items()},
        "intervals": {
            m: {metric: statistics.interval(s, rng)} for m, s in scores.items()
        },
        "paired": {name: {metric: pair(name)} for name in PAIRS},
        "gap_share": {
            m: {metric: share(m)} for m in ("stage2", "stage3", "chosen", "oppu")
        },
        "worse_than_stage1": {
            "chosen": statistics.share_worse(scores["chosen"], stage1, metric)
        },
        "chosen": {"stage1": 4, "stage2": 31, "stage3": 65},
        "scores_by_user": {m: {metric: list(s.values())} for m, s in scores.items()},
    }


def people(scores, metric, rng):
    """Each user's gain, and a place in the plane near others of the group."""
    number = len(scores["stage1"])
    lengths = np.minimum(4 + 6 * rng.pareto(1.1, number), 900).astype(int).tolist()
    groups = rng.integers(0, 5, number)
    sign = -1 if metric in LOWER_IS_BETTER else 1
    gains = [
        Gain(user=u, entries=n, gain=sign * (scores["chosen"][u] - score), group=g)
        for (u, score), n, g in zip(
            scores["stage1"].items(), lengths, groups.tolist(), strict=True
        )
    ]
    centres = np.array([(0, 9), (8, 3), (5, -7), (-5, -7), (-8, 3)])[groups]
    places = (centres + rng.normal(0, 2.4, (number, 2))).tolist()
    points = [
        Point(x=x, y=y, group=g)
        for (x, y), g in zip(places, groups.tolist(), strict=True)
    ]
    return {"gain_by_user": gains, "embeddings": points}


ROUNDS = {"population": 40, "group": 60, "lora_router": 20}


def losses(rng):
    return {
        part: (1 + 1.4 * np.exp(-np.arange(n) / 9) + rng.normal(0, 0.03, n)).tolist()
        for part, n in ROUNDS.items()
    }


def whole_run(metric="accuracy", levels=None, seed=0):
    """A run of a world in which everything is known."""
    rng = np.random.default_rng(seed)
    scores = users_scores(LEVELS | (levels or {}), metric, rng)
    return Results(
        task="tagging",
        metric=metric,
        **comparisons(scores, metric, rng),
        **people(scores, metric, rng),
        learning_curve=learning_curve(metric, rng),
        groups=Groups(adjusted_rand=0.62, posterior_adjusted_rand=0.68),
        router=router(rng),
        loss_by_round=losses(rng),
        timings_s={"population": 61.2, "group": 143.0, "users": 71.4, "all": 291.0},
        bytes={"sent_by_clients": 184_000_000, "release": 7_400_000},
        seed=seed,
        command="proper-sim run --world tagging --seed 0",
        data=Data(name="world tagging", sha256="0a" * 32),
        versions={"proper": "0.1.0", "torch": "2.13.0"},
        executed=Executed(
            engine="memory",
            cohort_size=30,
            rounds=ROUNDS,
            masks=True,
            quick=False,
            backbone="nano",
            users=100,
            others=300,
            queries=1200,
            settings={"router": "logit_sum", "constraint_weight": 0.1},
        ),
    )


@pytest.fixture(scope="session")
def make_results():
    def make(*args, **kwargs):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(statistics, "RESAMPLES", RESAMPLES)
            return whole_run(*args, **kwargs)

    return make


@pytest.fixture(scope="session")
def results(make_results):
    return make_results()


@pytest.fixture
def bare_results(results):
    """A run on real data that kept only what every run keeps."""
    return results.model_copy(
        update={
            "metrics": {
                m: s for m, s in results.metrics.items() if not m.startswith("best")
            },
            "intervals": {},
            "gap_share": {},
            "learning_curve": None,
            "groups": None,
            "gain_by_user": [],
            "scores_by_user": {},
            "router": None,
            "embeddings": [],
            "loss_by_round": {},
        }
    )
