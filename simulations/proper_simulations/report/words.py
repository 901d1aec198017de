"""What we call things, and what a run found, in plain words and without favour.

A difference is called better or worse only if its whole interval is on one side of
zero; else it is called undecided, however nice the number looks.
"""

from typing import Literal

from proper_simulations.results import LOWER_IS_BETTER, Metric, Paired, Results

METRIC_NAMES: dict[str, str] = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "rouge1": "ROUGE-1",
    "rougeL": "ROUGE-L",
}
METRIC_HEADS: dict[str, str] = METRIC_NAMES | {"mae": "MAE", "rmse": "RMSE"}
METHOD_NAMES: dict[str, str] = {
    "base": "Backbone alone",
    "global_majority": "Global majority",
    "own_majority": "Own majority",
    "stage1": "Stage 1, population",
    "stage2": "Stage 2, groups",
    "stage3": "Stage 3, personal",
    "chosen": "Chosen by each user",
    "oppu": "OPPU, user LoRA alone",
    "best_given_history": "Best given the history",
    "best_possible": "Best possible",
}
SHORT_NAMES: dict[str, str] = {
    "stage1": "Stage 1",
    "stage2": "Stage 2",
    "stage3": "Stage 3",
    "chosen": "Chosen",
    "oppu": "OPPU",
    "best_given_history": "Ceiling",
}
PART_NAMES: dict[str, str] = {
    "population": "Stage 1, population",
    "group": "Stage 2, groups",
    "lora_router": "LoRA-aware router",
}

# What a personal model has to beat, in the words of the opening.
BARS: dict[str, str] = {
    "stage1": "the population model",
    "oppu": "a user LoRA without groups",
    "own_majority": "each user's own majority",
}

# No model: bars to clear and ceilings; they are never the best model.
_NO_MODELS = {"global_majority", "own_majority", "best_possible", "best_given_history"}

Verdict = Literal["better", "worse", "undecided"]


_FOUND: dict[Verdict, str] = {
    "better": "do better than",
    "worse": "do worse than",
    "undecided": "cannot be told apart from",
}


def method_name(method: str) -> str:
    """Return how a table calls `method`."""
    return METHOD_NAMES.get(method, method.replace("_", " "))


def short_name(method: str) -> str:
    """Return how a label or a pair calls `method`."""
    return SHORT_NAMES.get(method, method_name(method))


def number(value: float) -> str:
    """Return three decimals with a true minus sign."""
    return f"{rounded(value):.3f}".replace("-", "\u2212")


def signed(value: float) -> str:
    """Return three decimals that always carry their sign."""
    return f"{rounded(value):+.3f}".replace("-", "\u2212")


def bounds(low: float, high: float) -> str:
    """Return an interval of differences."""
    return f"{signed(low)} to {signed(high)}"


def percent(share: float) -> str:
    """Return a share as a whole per cent; small ones keep a decimal."""
    digits = 1 if 0 < abs(share) < 0.1 else 0
    return f"{100 * share:.{digits}f} %".replace("-", "\u2212")


def count(number_of: int, noun: str) -> str:
    """Return "1 user", "1,200 users", "3 entries"."""
    many = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{number_of:,} {noun if number_of == 1 else many}"


def users_of(share: float, users: int) -> str:
    """Return a share of users as whole people: "3 of 100 users"."""
    return f"{round(share * users):,} of {count(users, 'user')}"


def listed(items: list[str]) -> str:
    """Return "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if items[1:] else items)


def compare(results: Results, a: str, b: str) -> Paired | None:
    """Return a - b by the run's own metric, also where the file holds b - a."""
    if pair := results.paired.get(f"{a}-{b}", {}).get(results.metric):
        return pair
    other = results.paired.get(f"{b}-{a}", {}).get(results.metric)
    return flipped(other) if other else None


def flipped(pair: Paired) -> Paired:
    """Return b - a for a - b."""
    return Paired(
        difference=-pair.difference,
        low=-pair.high,
        high=-pair.low,
        wins=pair.losses,
        ties=pair.ties,
        losses=pair.wins,
    )


def verdict(pair: Paired, metric: Metric) -> Verdict:
    """Say whether a is better than b, worse, or not known to be either."""
    if pair.low <= 0 <= pair.high:
        return "undecided"
    rises = pair.low > 0
    return "better" if rises != (metric in LOWER_IS_BETTER) else "worse"


def best_models(results: Results, metric: Metric) -> set[str]:
    """Return whose scores are bold wherever scores are shown.

    Of scores that look the same none is the better, so there may be several.
    """
    found = {
        method: by_metric[metric]
        for method, by_metric in results.metrics.items()
        if metric in by_metric and method not in _NO_MODELS
    }
    if not found:
        return set()
    best = (min if metric in LOWER_IS_BETTER else max)(found.values())
    return {method for method, score in found.items() if number(score) == number(best)}


def headline(results: Results) -> str:
    """Return what was found in one sentence, with what beat us if anything did."""
    beaten_by = [
        BARS[bar] for bar in ("own_majority", "oppu") if _is(results, bar, "worse")
    ]
    if not beaten_by:
        return _found(results)
    does = "do" if len(beaten_by) > 1 else "does"
    if _is(results, "stage1", "better"):
        return f"{_found(results)}, but {listed(beaten_by)} {does} better still"
    return f"{_found(results)}, and {listed(beaten_by)} {does} better"


def standfirst(results: Results) -> str:
    """Return the few sentences that stand under the headline."""
    done = results.executed
    strangers = " who had no part in training the groups"
    sentences = [
        count(done.users, "user")
        + (strangers if done.group_level == "others" else "")
        + f" answered {count(done.queries, 'held-out question')}"
        " with models of their own.",
        *_comparisons(results),
    ]
    if "chosen" in results.worse_than_stage1:
        worse = users_of(results.worse_than_stage1["chosen"], done.users)
        sentences.append(f"The population model served {worse} better.")
    if done.quick:
        sentences.append("This was a quick run: a look, not a measurement.")
    return " ".join(sentences)


def rounded(value: float, places: int = 3) -> float:
    """Return the value to be shown; what rounds to zero has no sign."""
    return round(value, places) + 0.0


def _found(results: Results) -> str:
    lower = results.metric in LOWER_IS_BETTER
    metric = ("the " if lower else "") + METRIC_NAMES[results.metric]
    before = results.metrics["stage1"][results.metric]
    after = results.metrics["chosen"][results.metric]
    digits = 2 if f"{before:.2f}" != f"{after:.2f}" else 3
    step = f"from {before:.{digits}f} to {after:.{digits}f}"
    if _is(results, "stage1", "better"):
        return f"Personal models {'lower' if lower else 'raise'} {metric} {step}"
    if _is(results, "stage1", "worse"):
        fate = "rises" if lower else "falls"
        return f"Personal models do harm: {metric} {fate} {step}"
    return "Personal models make no sure difference"


def _is(results: Results, bar: str, wanted: Verdict) -> bool:
    pair = compare(results, "chosen", bar)
    return pair is not None and verdict(pair, results.metric) == wanted


def _comparisons(results: Results) -> list[str]:
    """Return a sentence for what they beat, what beats them, and what is open."""
    sentences = []
    for wanted, found in _FOUND.items():
        bars = [words for bar, words in BARS.items() if _is(results, bar, wanted)]
        if bars:
            sentences.append(f"The models {found} {listed(bars)}.")
    return sentences
