"""The learning curve: what each method knows after so many entries of a user."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

from proper_simulations.report.axes import Frame, bottom_axis, value_axis
from proper_simulations.report.figure import Absent, Figure
from proper_simulations.report.lead import draw_lead, lead_of
from proper_simulations.report.scales import (
    Scale,
    entry_positions,
    padded,
    spread,
    turned,
)
from proper_simulations.report.svg import Canvas
from proper_simulations.report.words import (
    METRIC_NAMES,
    listed,
    method_name,
    number,
    short_name,
)
from proper_simulations.results import (
    LOWER_IS_BETTER,
    LearningCurve,
    Results,
)

# Drawn from back to front; the shape of each mark tells lines apart without colour.
SHAPES = {
    "own_majority": "",
    "best_given_history": "",
    "oppu": "triangle",
    "stage2": "square",
    "stage3": "circle",
    "chosen": "ring",
}

Values = dict[str, list[float | None]]


def figure(results: Results) -> Figure | Absent:
    """Return the learning curve, or why it is not there."""
    curve = results.learning_curve
    values = {} if curve is None else _values(results, curve)
    if curve is None or len(curve.entries) < 2 or not values:
        return Absent("curve", "Learning curve: this run did not vary the history.")
    metric = METRIC_NAMES[results.metric]
    error = results.metric in LOWER_IS_BETTER
    return Figure(
        name="curve",
        heading=_heading(results, curve),
        measure=f"{metric[0].upper()}{metric[1:]} by number of newest entries used"
        + (", axis turned so that up is better" if error else ""),
        caption=_caption(results, curve, values),
        draw=partial(_draw, results, curve, values),
    )


def _values(results: Results, curve: LearningCurve) -> Values:
    """Return a line for each method; a bar that is known once is level."""
    values = {
        method: curve.methods[method][results.metric]
        for method in SHAPES
        if any(
            v is not None for v in curve.methods.get(method, {}).get(results.metric, [])
        )
    }
    bar = results.metrics.get("own_majority", {}).get(results.metric)
    if values and "own_majority" not in values and bar is not None:
        values["own_majority"] = [bar] * len(curve.entries)
    return values


def _draw(
    results: Results, curve: LearningCurve, values: Values, width: float, name: str
) -> Canvas:
    lead = lead_of(results, curve)
    frame = Frame(46, 16, width - (96 if width > 500 else 92), 330)
    canvas = Canvas(
        (width, 516 if lead else 384),
        name,
        f"Learning curve of {results.task}",
        _spoken(curve, values),
    )
    known = [v for line in values.values() for v in line if v is not None]
    scale = Scale(turned(padded(known), results.metric), frame.upwards)
    places = _places(curve, frame)
    value_axis(canvas, frame, scale)
    _lines(canvas, values, places, scale)
    _labels(canvas, values, frame.right, scale)
    foot = frame
    if lead:
        foot = Frame(frame.left, 382, frame.right, 462)
        draw_lead(canvas, foot, lead, places)
    bottom_axis(canvas, foot, places, [str(entry) for entry in curve.entries])
    middle = (foot.left + foot.right) / 2
    canvas.text((middle, foot.bottom + 38), "entries of the user", "label middle")
    return canvas


def _places(curve: LearningCurve, frame: Frame) -> list[float]:
    positions = entry_positions(curve.entries)
    ends = (min(positions), max(positions))
    across = (frame.left + 14, frame.right - 14)
    if ends[0] == ends[1]:
        return [sum(across) / 2]
    return [Scale(ends, across)(position) for position in positions]


def _lines(
    canvas: Canvas, values: Values, places: Sequence[float], scale: Scale
) -> None:
    for method in (m for m in SHAPES if m in values):
        points = [
            (x, scale(v))
            for x, v in zip(places, values[method], strict=True)
            if v is not None
        ]
        if points:
            canvas.path(points, f"m-{method}")
        for point in points if SHAPES[method] else []:
            canvas.mark(point, SHAPES[method], f"m-{method}")


def _labels(canvas: Canvas, values: Values, right: float, scale: Scale) -> None:
    last = {
        method: next(v for v in reversed(line) if v is not None)
        for method, line in values.items()
        if any(v is not None for v in line)
    }
    wanted = [scale(value) + 4 for value in last.values()]
    for method, y in zip(last, spread(wanted, 16), strict=True):
        canvas.text((right + 5, y), short_name(method), f"label strong m-{method}")


def _heading(results: Results, curve: LearningCurve) -> str:
    lead = lead_of(results, curve)
    if lead is None:
        return "What a model knows after so many entries"
    name = "Stage 3" if lead.method == "stage3" else "The chosen level"
    ahead, behind = lead.at("better"), lead.at("worse")
    if not ahead and not behind:
        return f"{name} and a user LoRA alone cannot be told apart"
    said = [
        f"{verb} {_points(points, lead.entries)}"
        for verb, points in (
            ("leads a user LoRA alone", ahead),
            ("trails it" if ahead else "trails a user LoRA alone", behind),
        )
        if points
    ]
    return f"{name} {' and '.join(said)}"


def _points(entries: list[str], every: list[str]) -> str:
    if entries == every:
        return "at every point"
    if len(entries) > 1 and entries == every[-len(entries) :]:
        return f"from {entries[0]} {_noun(entries[:1])} on"
    return f"at {listed(entries)} {_noun(entries)}"


def _noun(entries: list[str]) -> str:
    return "entry" if entries == ["1"] else "entries"


def _marks(curve: LearningCurve) -> str:
    """Say how the marks of the lower axis follow each other."""
    counts = [n for n in curve.entries if isinstance(n, int) and n > 0]
    doubled = len(counts) > 1 and all(b == 2 * a for a, b in pairwise(counts))
    apart = "0 and all stand apart."
    return f"Entries are doubled from mark to mark; {apart}" if doubled else apart


def _caption(results: Results, curve: LearningCurve, values: Values) -> str:
    said = [_marks(curve)]
    if "best_given_history" in values:
        said.append(
            "The dashed ceiling is the best that anyone could predict from the same "
            "entries, knowing how the world was made.",
        )
    if "own_majority" in values:
        said.append(
            "The dotted bar is each user's own majority, the answer that is most "
            "common in the history."
        )
    if "oppu" in values:
        said.append("OPPU is a user LoRA on stage 1, with no groups in between.")
    if lead_of(results, curve):
        said.append(
            "Below: the difference of the two over the same users, with its 95 % "
            "interval; above the line, groups pay. "
            "Grey where the interval holds zero.",
        )
    return " ".join(said)


def _spoken(curve: LearningCurve, values: Values) -> str:
    """Return the lines as words, for those who cannot see them."""
    lines = []
    for method, line in values.items():
        known = [
            f"{number(value)} at {entry}"
            for entry, value in zip(curve.entries, line, strict=True)
            if value is not None
        ]
        lines.append(f"{method_name(method)}: {', '.join(known)}.")
    return " ".join(lines)
