"""Where users lie, by what the model learned of them, coloured by their true group."""

from functools import partial

from proper_simulations.report.axes import Frame
from proper_simulations.report.figure import Absent, Figure
from proper_simulations.report.scales import Scale, padded
from proper_simulations.report.svg import SHAPES, Canvas
from proper_simulations.report.words import number
from proper_simulations.results import Groups, Point, Results

_TELLING = 0.05  # an index below is as good as chance
_COLOURS = 8  # g-0 to g-7 of the style sheet


def figure(results: Results) -> Figure | Absent:
    """Return the map of user embeddings, or why it is not there."""
    if not results.embeddings:
        return Absent("embeddings", "Map of users: this run kept no user embeddings.")
    if all(point.group is None for point in results.embeddings):
        return Absent(
            "embeddings",
            "Map of users: the true groups of these users are not known, "
            "so there is nothing to colour it by.",
        )
    return Figure(
        name="embeddings",
        heading=_heading(results.groups),
        measure="User embeddings laid out by t-SNE; colour and shape: the true group",
        caption="The model was never told the groups. Near neighbours mean something "
        "here; distances between clusters, and the two axes, do not.",
        draw=partial(_draw, results.task, results.embeddings),
    )


def _heading(groups: Groups | None) -> str:
    if groups is None:
        return "Users by embedding"
    found = number(groups.adjusted_rand)
    best = groups.posterior_adjusted_rand
    if best is None:
        return f"{_verdict(groups.adjusted_rand)}: Rand index {found}"
    if best < _TELLING:
        return f"Groups that nobody could tell apart: Rand index {found}"
    share = groups.adjusted_rand / best
    return f"{_verdict(share)}: Rand index {found}, of {number(best)} possible"


def _verdict(share: float) -> str:
    """Say how many of the groups that can be found are found."""
    if share < 1 / 3:
        return "Groups are hardly found"
    return "Groups are found in part" if share < 2 / 3 else "Groups are largely found"


def _draw(task: str, points: list[Point], width: float, name: str) -> Canvas:
    groups = sorted({point.group for point in points if point.group is not None})
    wide = width > 500
    side = min(width - (150 if wide else 0), 540)
    left = 0.0
    below = 0 if wide else 22 * ((len(groups) + 2) // 3) + 12
    canvas = Canvas(
        (width, side + below),
        name,
        f"Map of users: {task}",
        f"{len(points)} users in {len(groups)} groups.",
    )
    canvas.box((left, 0), (side, side), "ground")
    frame = Frame(left, 0, left + side, side)
    across = Scale(padded([point.x for point in points], 0.06), frame.across)
    up = Scale(padded([point.y for point in points], 0.06), frame.upwards)
    for point in points:
        at = (across(point.x), up(point.y))
        if point.group is None:
            canvas.mark(at, "circle", "dot v-undecided", "group not known")
        else:
            shape, looks = _looks(groups.index(point.group))
            canvas.mark(at, shape, f"dot {looks}", f"group {point.group}")
    _legend(canvas, frame, groups)
    return canvas


def _looks(place: int) -> tuple[str, str]:
    filled = [shape for shape in SHAPES if shape != "ring"]
    return filled[place % len(filled)], f"g-{place % _COLOURS}"


def _legend(canvas: Canvas, frame: Frame, groups: list[int]) -> None:
    wide = canvas.width > 500
    for i, group in enumerate(groups):
        x, y = frame.right + 24, 16 + 24.0 * i
        if not wide:
            x, y = 8 + (i % 3) * canvas.width / 3, frame.bottom + 24 + 22 * (i // 3)
        shape, looks = _looks(i)
        canvas.mark((x, y), shape, looks)
        canvas.text((x + 12, y + 4), f"Group {group}", "label")
