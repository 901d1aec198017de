"""How the routers weigh the experts, with and without the constraint loss."""

from functools import partial
from itertools import pairwise

from proper_simulations.report.axes import Frame, bottom_axis, tick_words
from proper_simulations.report.figure import Absent, Figure
from proper_simulations.report.scales import Scale, ticks
from proper_simulations.report.svg import Canvas
from proper_simulations.results import Results, Router

_ROW = 46.0  # pixels between two ridges
_PEAK = 40.0  # pixels of the highest ridge
_TITLE = 34.0  # pixels above the ridges
_FOOT = 30.0  # pixels below them

Panel = tuple[str, str, list[list[float]]]  # title, looks, densities by expert


def figure(results: Results) -> Figure | Absent:
    """Return the densities of expert weights, or why they are not there."""
    router = results.router
    if router is None:
        return Absent("router", "Expert weights: this run kept none of the routers.")
    both = router.without_constraint is not None
    return Figure(
        name="router",
        heading=_heading(router),
        measure="Density of the weight that users' routers give to each expert",
        caption="A ridge is one expert; all ridges share one scale of height. "
        f"The vertical line is an equal share, 1/{len(router.with_constraint)}; "
        "weights are farthest from it where each user is served by one expert alone. "
        + (
            "The constraint loss is there to push the weights of different users apart."
            if both
            else "No run without the constraint loss was made, so there is one panel."
        ),
        draw=partial(_draw, results.task, router),
    )


def spread_of(edges: list[float], rows: list[list[float]]) -> float:
    """Return the mean distance of a weight from an equal share, to half a bin."""
    middles = [(a + b) / 2 for a, b in pairwise(edges)]
    share = 1 / len(rows)
    total = far = 0.0
    for row in rows:
        for i, density in enumerate(row):
            mass = density * (edges[i + 1] - edges[i])
            total += mass
            far += mass * abs(middles[i] - share)
    return far / total if total else 0.0


def _heading(router: Router) -> str:
    with_it = spread_of(router.edges, router.with_constraint)
    if router.without_constraint is None:
        experts = len(router.with_constraint)
        most = 2 * (experts - 1) / experts**2  # each user at one expert alone
        return (
            f"Routers are {100 * with_it / most:.0f} % of the way "
            "from an even mix to one expert alone"
        )
    without = spread_of(router.edges, router.without_constraint)
    if with_it > 1.1 * without:
        return "The constraint loss makes routers commit"
    if without > 1.1 * with_it:
        return "With the constraint loss, routers commit less"
    return "The constraint loss hardly changes the routers"


def _panels(router: Router) -> list[Panel]:
    panels = [("With the constraint", "m-stage3", router.with_constraint)]
    if router.without_constraint is not None:
        panels.append(
            ("Without the constraint", "v-undecided", router.without_constraint),
        )
    return panels


def _draw(task: str, router: Router, width: float, name: str) -> Canvas:
    panels = _panels(router)
    wide = width > 500 and len(panels) > 1
    height = _TITLE + len(router.with_constraint) * _ROW
    far = ", ".join(
        f"{title}: mean distance from an equal share "
        f"{spread_of(router.edges, rows):.2f}"
        for title, _, rows in panels
    )
    down = 1 if wide else len(panels)
    size = (width, down * (height + _FOOT) + (down - 1) * 16)
    canvas = Canvas(size, name, f"Expert weights: {task}", far)
    peak = max(max(row) for _, _, rows in panels for row in rows) or 1.0
    across = (width - 74 - 14 - 56) / 2 if wide else width - 74 - 14
    for i, panel in enumerate(panels):
        left, top = (74 + i * (across + 56), 0.0) if wide else (74.0, i * (height + 46))
        frame = Frame(left, top + _TITLE, left + across, top + height)
        _panel(canvas, frame, panel, (router.edges, peak))
        for row in range(len(panel[2]) if not (wide and i) else 0):
            foot = frame.top + (row + 1) * _ROW
            canvas.text((left - 12, foot - 4), f"Expert {row + 1}", "tick end")
    return canvas


def _panel(
    canvas: Canvas, frame: Frame, panel: Panel, of: tuple[list[float], float]
) -> None:
    title, looks, rows = panel
    edges, peak = of
    across = Scale((edges[0], edges[-1]), frame.across)
    canvas.text((frame.left, frame.top - 20), title, "label strong")
    values = ticks(across.domain, 4)
    bottom_axis(canvas, frame, [across(value) for value in values], tick_words(values))
    middles = [across((a + b) / 2) for a, b in pairwise(edges)]
    for i, row in enumerate(rows):
        foot = frame.top + (i + 1) * _ROW
        up = Scale((0.0, peak), (foot, foot - _PEAK))
        heights = [up(density) for density in row]
        ends = [(frame.left, foot), (frame.left, heights[0])]
        back = [(frame.right, heights[-1]), (frame.right, foot)]
        ridge = list(zip(middles, heights, strict=True))
        canvas.area([*ends, *ridge, *back], f"ridge {looks}")
        canvas.line((frame.left, foot), (frame.right, foot), "axis")
    share = across(1 / len(rows))
    canvas.line((share, frame.top), (share, frame.bottom), "guide")
