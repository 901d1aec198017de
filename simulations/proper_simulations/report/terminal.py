"""The table that a terminal shows at the end of a run: ASCII, at most 80 columns."""

from collections.abc import Sequence
from textwrap import TextWrapper

from proper_simulations.report.stages import methods_of
from proper_simulations.report.svg import clean
from proper_simulations.report.tables import metrics_of
from proper_simulations.report.words import METRIC_HEADS, compare, users_of, verdict
from proper_simulations.results import METHODS, Groups, Metric, Paired, Results

_WIDTH = 80
_SHORT = TextWrapper(
    _WIDTH,
    subsequent_indent="  ",
    break_on_hyphens=False,  # no number is torn
    break_long_words=False,
)
# Fits beside the longest name of a method and a comparison.
_MOST_METRICS = 3
_COMPARED = ("oppu", "own_majority", "stage1")


def table(results: Results) -> str:
    """Return scores, comparisons and choices of a run as aligned plain text."""
    done = results.executed
    about = (
        f"{clean(results.data.name)}: {done.users:,} users, {done.queries:,} questions"
        f", seed {results.seed}{', quick' if done.quick else ''}"
    )
    blocks = [about, _scores(results), _comparisons(results), _notes(results)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _scores(results: Results) -> str:
    metrics = metrics_of(results)[:_MOST_METRICS]
    rows = [["method", *(METRIC_HEADS[metric] for metric in metrics), "gap closed"]]
    for method in methods_of(results):
        of_method = results.metrics[method]
        share = results.gap_share.get(method, {}).get(results.metric)
        rows.append(
            [
                method,
                *(_number(of_method.get(metric)) for metric in metrics),
                f"{100 * share.share:.0f} %" if share else "",
            ]
        )
    if not any(row[-1] for row in rows[1:]):
        rows = [row[:-1] for row in rows]
    return aligned(rows)


def _comparisons(results: Results) -> str:
    rows = [["chosen against", "difference", "95 % interval", "better/level/worse", ""]]
    for bar in (*_COMPARED, *sorted(results.metrics.keys() - set(METHODS))):
        if pair := compare(results, "chosen", bar):
            rows += [_comparison(bar, pair, results.metric)]
    return aligned(rows) if len(rows) > 1 else ""


def _comparison(bar: str, pair: Paired, metric: Metric) -> list[str]:
    return [
        bar,
        f"{pair.difference:+.3f}",
        f"{pair.low:+.3f} to {pair.high:+.3f}",
        f"{pair.wins}/{pair.ties}/{pair.losses}",
        verdict(pair, metric),
    ]


def _notes(results: Results) -> str:
    notes = []
    if results.chosen:
        counts = ", ".join(f"{name} {n}" for name, n in results.chosen.items())
        notes.append(f"users chose: {counts}")
    if "chosen" in results.worse_than_stage1:
        share = results.worse_than_stage1["chosen"]
        worse = users_of(share, results.executed.users)
        notes.append(f"served worse than by stage 1: {worse}")
    if results.groups:
        notes += _groups(results.groups)
    said = clean(f"privacy: {results.executed.privacy}")
    notes.append(_SHORT.fill(said))
    return "\n".join(notes)


def _groups(groups: Groups) -> list[str]:
    """Say how well groups were found, for those who trained them and for new users."""
    lines = {
        "groups found": (groups.adjusted_rand, groups.posterior_adjusted_rand),
        "new users placed": (
            groups.new_adjusted_rand,
            groups.new_posterior_adjusted_rand,
        ),
    }
    return [
        f"{name}: Rand index {found:.3f}"
        + (f" (possible {best:.3f})" if best is not None else "")
        for name, (found, best) in lines.items()
        if found is not None
    ]


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Return rows in columns: names to the left, everything else to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join([lines[0], rule, *lines[1:]])


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
