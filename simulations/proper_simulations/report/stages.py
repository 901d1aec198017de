"""Score by stage: every method on one line, with its interval over users."""

from functools import partial

from proper_simulations.report.axes import Frame, bottom_axis, tick_words
from proper_simulations.report.figure import Figure
from proper_simulations.report.scales import Scale, padded, ticks, turned
from proper_simulations.report.svg import Canvas
from proper_simulations.report.words import (
    METRIC_NAMES,
    Verdict,
    best_models,
    compare,
    listed,
    method_name,
    number,
    percent,
    verdict,
)
from proper_simulations.results import LOWER_IS_BETTER, METHODS, Results

_STEPS: dict[Verdict, str] = {
    "better": "adds",
    "worse": "does harm",
    "undecided": "makes no sure difference",
}
_ROW = 30.0  # pixels; a narrow row has its name above itself
_NARROW_ROW = 40.0
# Above these rows a little air: bars, ours, the rival, the ceilings.
_PARTS = {"stage1", "oppu", "best_given_history"}


def figure(results: Results) -> Figure:
    """Return the picture of all scores by the run's own metric."""
    metric = METRIC_NAMES[results.metric]
    turned_too = ", axis turned so that right is better"
    return Figure(
        name="stages",
        heading=_heading(results),
        measure=f"{metric[0].upper()}{metric[1:]} over all users"
        + (turned_too if results.metric in LOWER_IS_BETTER else ""),
        caption="The bars show how much a score would move with other users (95 % "
        "bootstrap interval). Two methods whose bars overlap can still differ "
        "surely, since they are compared user by user: see the paired differences. "
        "The dotted line is stage 1; the gap runs from there to what is best given "
        "the history. Bold is the best model.",
        draw=partial(_draw, results),
    )


def methods_of(results: Results) -> list[str]:
    """Return the methods of a run, known ones first and in the order of the story."""
    known = [method for method in METHODS if method in results.metrics]
    return known + sorted(results.metrics.keys() - set(METHODS))


def _heading(results: Results) -> str:
    steps = {
        name: verdict(pair, results.metric)
        for name, a, b in (("2", "stage2", "stage1"), ("3", "stage3", "stage2"))
        if (pair := compare(results, a, b))
    }
    if not steps:
        return "Score by stage"
    if len(steps) > 1 and len(set(steps.values())) == 1:
        share = results.gap_share.get("stage3", {}).get(results.metric)
        closed = f"; stage 3 closes {percent(share.share)} of the gap" if share else ""
        return {
            "better": f"Each stage adds to the one before{closed}",
            "worse": "Each stage is worse than the one before",
            "undecided": "No stage is surely better than the one before",
        }[steps.popitem()[1]]
    said = [f"stage {name} {_STEPS[found]}" for name, found in steps.items()]
    return f"{listed(said)}, each against the one before".replace("s", "S", 1)


def _draw(results: Results, width: float, name: str) -> Canvas:
    methods = methods_of(results)
    wide = width > 500
    rows = _rows(methods, _ROW if wide else _NARROW_ROW)
    left = 176.0 if wide else 12.0
    frame = Frame(left, 12, width - 58, rows[-1] + (24 if wide else 18))
    spoken = ", ".join(
        f"{method_name(m)} {number(results.metrics[m][results.metric])}"
        for m in methods
    )
    canvas = Canvas(
        (width, frame.bottom + 30), name, f"Score by stage: {results.task}", spoken
    )
    scale = Scale(turned(padded(_values(results)), results.metric), frame.across)
    values = ticks(scale.domain, 5 if wide else 4)
    _guide(canvas, results, frame, scale)
    for value in values:
        canvas.line((scale(value), frame.top), (scale(value), frame.bottom), "grid")
    bottom_axis(canvas, frame, [scale(value) for value in values], tick_words(values))
    best = best_models(results, results.metric)
    for method, y in zip(methods, rows, strict=True):
        _row(canvas, results, method, (scale, y))
        at = (left - 14, y + 4) if wide else (left - 12, y - 12)
        canvas.text(at, method_name(method), "label end" if wide else "label")
        score = number(results.metrics[method][results.metric])
        strong = " strong" if method in best else ""
        canvas.text((width, y + 4), score, f"label value end{strong}")
    return canvas


def _guide(canvas: Canvas, results: Results, frame: Frame, scale: Scale) -> None:
    """Draw stage 1 through all rows: what lies beyond it is personal."""
    if "stage1" in results.metrics:
        x = scale(results.metrics["stage1"][results.metric])
        canvas.line((x, frame.top), (x, frame.bottom), "guide")


def _rows(methods: list[str], row: float) -> list[float]:
    """Return the height of each row, with air between the parts."""
    heights, y = [], 30.0
    for i, method in enumerate(methods):
        y += (row + (14 if method in _PARTS else 0)) if i else 0
        heights.append(y)
    return heights


def _values(results: Results) -> list[float]:
    bounds = [
        end
        for by_metric in results.intervals.values()
        if (spread := by_metric.get(results.metric))
        for end in (spread.low, spread.high)
    ]
    return [scores[results.metric] for scores in results.metrics.values()] + bounds


def _row(
    canvas: Canvas, results: Results, method: str, place: tuple[Scale, float]
) -> None:
    scale, y = place
    looks = f"m-{method}"
    spread = results.intervals.get(method, {}).get(results.metric)
    tip = method_name(method)
    if spread:
        canvas.line((scale(spread.low), y), (scale(spread.high), y), f"bar {looks}")
        tip += f": {number(spread.low)} to {number(spread.high)}"
    score = results.metrics[method][results.metric]
    canvas.mark((scale(score), y), "circle", f"large {looks}", tip)
