"""Loss by round, a small picture for each federated part."""

from functools import partial

from proper_simulations.report.axes import Frame, bottom_axis, value_axis
from proper_simulations.report.figure import Absent, Figure
from proper_simulations.report.scales import Scale, padded, ticks
from proper_simulations.report.svg import Canvas
from proper_simulations.report.words import PART_NAMES, number
from proper_simulations.results import Results

_LOOKS = {"population": "m-stage1", "group": "m-stage2", "lora_router": "m-stage3"}


def figure(results: Results) -> Figure | Absent:
    """Return the losses of the federated parts, or why they are not there."""
    parts = {name: loss for name, loss in results.loss_by_round.items() if loss}
    if not parts:
        return Absent("losses", "Loss by round: this run trained no federated part.")
    return Figure(
        name="losses",
        heading=_heading(parts),
        measure="Mean loss of the cohort while it trains, by round",
        caption="Each part has a scale of its own. A loss is the mean over the steps "
        "that devices take in a round, and so it tells how well they fit their own "
        "entries meanwhile. Towards the end the rates fall, they fit less, and the "
        "line rises: it nears the loss of the model that all share.",
        draw=partial(_draw, results.task, parts),
    )


def _heading(parts: dict[str, list[float]]) -> str:
    falls = [loss[-1] < loss[0] for loss in parts.values()]
    if all(falls):
        return "The loss ends lower than it began, in every part"
    return "The loss does not end lower in every part"


def _draw(task: str, parts: dict[str, list[float]], width: float, name: str) -> Canvas:
    wide = width > 500
    across, down = (len(parts), 1) if wide else (1, len(parts))
    panel = (width / across, 232.0)
    spoken = ", ".join(
        f"{PART_NAMES.get(part, part)} from {number(loss[0])} to {number(loss[-1])}"
        for part, loss in parts.items()
    )
    size = (width, panel[1] * down)
    canvas = Canvas(size, name, f"Loss by round: {task}", spoken)
    for i, part in enumerate(parts):
        left, top = (i * panel[0], 0.0) if wide else (0.0, i * panel[1])
        frame = Frame(left + 42, top + 40, left + panel[0] - 44, top + panel[1] - 50)
        _panel(canvas, frame, part, parts[part])
    return canvas


def _panel(canvas: Canvas, frame: Frame, part: str, loss: list[float]) -> None:
    looks = _LOOKS.get(part, "m-stage3")
    canvas.text(
        (frame.left - 42, frame.top - 22), PART_NAMES.get(part, part), "label strong"
    )
    up = Scale(padded(loss), frame.upwards)
    rounds = Scale((1, max(2, len(loss))), frame.across)
    value_axis(canvas, frame, up, 4)
    whole = [tick for tick in ticks(rounds.domain, 4) if tick == int(tick)]
    bottom_axis(canvas, frame, [rounds(t) for t in whole], [f"{t:.0f}" for t in whole])
    middle = (frame.left + frame.right) / 2
    canvas.text((middle, frame.bottom + 36), "round", "label middle")
    points = [(rounds(i + 1), up(value)) for i, value in enumerate(loss)]
    if len(points) > 1:
        canvas.path(points, looks)
    canvas.mark(points[-1], "circle", looks)
    x, y = points[-1]
    canvas.text((x + 7, y + 4), f"{loss[-1]:.2f}", f"label strong {looks}")
