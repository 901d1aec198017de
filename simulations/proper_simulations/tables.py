"""Many runs side by side, as Markdown: `proper-sim tables FOLDER`.

All seeds of a world or of real histories together; then each run on a world, whose
truth is known; then each run on real histories. Seeds of a world are different people,
each counting once for a seed; those of real histories are the same people, each
counting once with the mean.

Source of the intervals: `statistics.paired`, a bootstrap over users.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from proper_simulations.report.words import rounded
from proper_simulations.results import (
    Method,
    Paired,
    Results,
    load,
)
from proper_simulations.statistics import join_seeds, mean_over_seeds, paired

METRICS = {"accuracy": "accuracy", "mae": "MAE, lower is better", "rougeL": "ROUGE-L"}
ORDER = ("tagging", "rewriting", "rating")  # as the README speaks of them
NAMES: dict[Method, str] = {
    "own_majority": "own majority",
    "stage1": "stage 1",
    "stage2": "stage 2",
    "stage3": "stage 3",
    "chosen": "chosen",
    "oppu": "OPPU",
    "best_given_history": "best given history",
}
PAIRS: tuple[tuple[Method, Method], ...] = (
    ("stage2", "stage1"),
    ("stage3", "stage2"),
    ("chosen", "stage1"),
    ("chosen", "own_majority"),
    ("chosen", "oppu"),
)

Runs = Sequence[Results]
Columns = Mapping[str, Callable[[Results], str]]


def tables(folder: Path) -> str:
    """Return the tables of all runs in a folder of results.

    Args:
        folder: with files `world-*.json` and `real-*.json`.

    Raises:
        DataError: a file is malformed.
        OSError: it cannot be read.
    """
    worlds, real = _runs(folder, "world"), _runs(folder, "real")
    parts = [_together([*worlds, *real]), _table(WORLD, worlds), _table(REAL, real)]
    return "\n".join(part for part in parts if part)


def together(folder: Path) -> str:
    """Return the first tables: all seeds together.

    Args:
        folder: as of `tables`.

    Raises:
        DataError: a file is malformed.
        OSError: it cannot be read.
    """
    return _together([*_runs(folder, "world"), *_runs(folder, "real")])


def _runs(folder: Path, kind: str) -> Runs:
    return _sorted(map(load, folder.glob(f"{kind}-*.json")))


def _sorted(runs: Iterable[Results]) -> Runs:
    def place(run: Results) -> tuple[int, str, int]:
        name = run.data.name
        known = ORDER.index(name) if name in ORDER else len(ORDER)
        return known, name, run.seed

    return sorted(runs, key=place)


def _score(run: Results, method: str) -> str:
    found = run.metrics.get(method, {}).get(run.metric)
    return "" if found is None else short(found)


def _pair(run: Results, a: str, b: str) -> str:
    pair = run.paired.get(f"{a}-{b}", {}).get(run.metric)
    return "" if pair is None else difference(pair)


def _gaps(run: Results) -> str:
    methods: tuple[Method, ...] = ("stage2", "stage3", "oppu")
    shares = [run.gap_share.get(method, {}).get(run.metric) for method in methods]
    return ", ".join("no gap" if s is None else percent(s.share) for s in shares)


def _groups(run: Results) -> str:
    if (found := run.groups) is None:
        return ""
    pairs = [
        (found.adjusted_rand, found.posterior_adjusted_rand),
        (found.new_adjusted_rand, found.new_posterior_adjusted_rand),
    ]
    return ", ".join(
        f"{short(own, 2)} of {short(best, 2)}"
        for own, best in pairs
        if own is not None and best is not None
    )


COMMON: Columns = {
    "stage 1": lambda run: _score(run, "stage1"),
    "stage 2": lambda run: _score(run, "stage2"),
    "stage 3": lambda run: _score(run, "stage3"),
    "chosen": lambda run: _score(run, "chosen"),
    "OPPU": lambda run: _score(run, "oppu"),
}
WORSE: Columns = {
    "worse than stage 1": lambda run: percent(run.worse_than_stage1["chosen"])
}
WORLD: Columns = {
    "world, seed": lambda run: f"{run.data.name}, {run.seed}",
    "measured in": lambda run: METRICS.get(run.metric, run.metric),
    **COMMON,
    "best given history": lambda run: _score(run, "best_given_history"),
    "gap closed by stage 2, 3, OPPU": _gaps,
    "groups found, new users placed": _groups,
    **WORSE,
}
REAL: Columns = {
    "data, seed": lambda run: f"{run.data.name}, {run.seed}",
    "measured in": lambda run: METRICS.get(run.metric, run.metric),
    "own majority": lambda run: _score(run, "own_majority"),
    **COMMON,
    "chosen less stage 1, over users": lambda run: _pair(run, "chosen", "stage1"),
    "chosen less own majority": lambda run: _pair(run, "chosen", "own_majority"),
    **WORSE,
}


def _table(columns: Columns, runs: Runs) -> str:
    """Return one row for each run; nothing where there is none."""
    if not runs:
        return ""
    rows = [[cell(run) for cell in columns.values()] for run in runs]
    return markdown(list(columns), rows)


def _together(runs: Runs) -> str:
    """Return mean scores, and differences in pairs; nothing where there are no runs."""
    alike: dict[str, list[Results]] = defaultdict(list)
    for run in runs:
        alike[f"{run.data.name}, {METRICS.get(run.metric, run.metric)}"].append(run)
    if not alike:
        return ""
    scores, differences = [], []
    for name, own in alike.items():
        seeds = ", ".join(str(run.seed) for run in own)
        scores.append([name, seeds, *(_mean(own, method) for method in NAMES)])
        pairs = [over_seeds(own, a, b) for a, b in PAIRS]
        cells = ["" if pair is None else difference(pair) for pair in pairs]
        worse = float(np.mean([run.worse_than_stage1["chosen"] for run in own]))
        differences.append([name, *cells, percent(worse, 1)])
    pairs_in_words = [f"{NAMES[a]} less {NAMES[b]}" for a, b in PAIRS]
    first = markdown(["mean score", "seeds", *NAMES.values()], scores)
    return f"{first}\n{markdown(['difference', *pairs_in_words, *WORSE], differences)}"


def _mean(runs: Runs, method: Method) -> str:
    """Return the mean score over seeds."""
    found = [run.metrics.get(method, {}).get(run.metric) for run in runs]
    known = [score for score in found if score is not None]
    return short(float(np.mean(known))) if len(known) == len(runs) else ""


def over_seeds(runs: Runs, a: Method, b: Method) -> Paired | None:
    """Return a - b over the users of all seeds; None where one of them is missing.

    Args:
        runs: of one world or one set of histories, by different seeds.
        a: a method.
        b: another.
    """
    metric, rng = runs[0].metric, np.random.default_rng(0)
    if any(method not in run.scores_by_user for run in runs for method in (a, b)):
        return None
    first, second = ([_by_user(run, method) for run in runs] for method in (a, b))
    if len({run.data.sha256 for run in runs}) > 1:
        return paired(join_seeds(first), join_seeds(second), metric, rng)
    return paired(mean_over_seeds(first), mean_over_seeds(second), metric, rng)


def _by_user(run: Results, method: Method) -> dict[str, float]:
    users = [gain.user for gain in run.gain_by_user]
    scores = run.scores_by_user[method][run.metric]
    return dict(zip(users, scores, strict=True))


def short(value: float, places: int = 3) -> str:
    """Return a number without the zero before its point."""
    text = f"{rounded(value, places):.{places}f}"
    return text.replace("0.", ".", 1) if abs(float(text)) < 1 else text


def percent(share: float, places: int = 0) -> str:
    """Return a share as a percentage."""
    return f"{rounded(100 * share, places):.{places}f} %"


def difference(pair: Paired) -> str:
    """Return a difference with its interval, each with its sign."""
    mean, low, high = (
        f"{rounded(value, 3):+.3f}".replace("0.", ".", 1)
        for value in (pair.difference, pair.low, pair.high)
    )
    return f"{mean} ({low} to {high})"


def markdown(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown, with a line break at its end."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
