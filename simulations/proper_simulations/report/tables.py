"""The numbers behind the pictures, as HTML tables, and how the run was made."""

from collections.abc import Mapping, Sequence
from html import escape

from proper_simulations.report.stages import methods_of
from proper_simulations.report.svg import clean
from proper_simulations.report.words import (
    METRIC_HEADS,
    best_models,
    bounds,
    method_name,
    number,
    percent,
    short_name,
    signed,
    users_of,
    verdict,
)
from proper_simulations.results import (
    LOWER_IS_BETTER,
    METHODS,
    Executed,
    LearningCurve,
    Metric,
    Paired,
    Results,
    Share,
)

_NOTHING = "\N{EN DASH}"


def safe(text: str) -> str:
    """Return `text` as HTML that shows it, whatever it holds."""
    return escape(clean(text))


def prose(text: str) -> str:
    """Return our own words as HTML, with the apostrophes of print."""
    return safe(text.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}"))


def html_table(
    title: str, head: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]
) -> str:
    """Return a table; a row is its label, as plain text, and its cells, as HTML."""
    columns = "".join(f'<th scope="col">{safe(name)}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row">{safe(label)}</th>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
        for label, cells in rows
    )
    return (
        f'<div class="scroll"><table><caption>{prose(title)}</caption>'
        f"<thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def scores(results: Results) -> str:
    """Return all methods by all metrics; the best model of a column is bold."""
    metrics = metrics_of(results)
    best = {metric: best_models(results, metric) for metric in metrics}
    rows = []
    for method in methods_of(results):
        cells = []
        for metric in metrics:
            value = results.metrics[method].get(metric)
            shown = _NOTHING if value is None else number(value)
            cells.append(f"<b>{shown}</b>" if method in best[metric] else shown)
        rows.append((method_name(method), cells))
    heads = [METRIC_HEADS[m] + _arrow(m) for m in metrics]
    return html_table("Scores; bold is the best model", ["Method", *heads], rows)


def metrics_of(results: Results) -> list[Metric]:
    """Return the metrics of a run, its own first."""
    order = list(METRIC_HEADS)
    found = {metric for by in results.metrics.values() for metric in by}
    others = sorted(found - {results.metric}, key=order.index)
    return [results.metric, *others]


def differences(results: Results) -> str:
    """Return every paired difference that the run made, a table for each metric."""
    head = [
        "a against b",
        "a \N{MINUS SIGN} b, 95 % interval",
        "Better / level / worse",
    ]
    tables = []
    for metric in metrics_of(results):
        rows = [
            (_pair_name(pair), _difference(by_metric[metric], metric))
            for pair, by_metric in results.paired.items()
            if metric in by_metric
        ]
        title = f"Paired differences over users, {METRIC_HEADS[metric]}"
        if rows:
            tables.append(html_table(title, [*head, "a is"], rows))
    return "\n".join(tables)


def shares(results: Results) -> str:
    """Return which part of the gap to the ceiling each method closes."""
    rows = [
        (short_name(method), _share(by_metric.get(results.metric)))
        for method, by_metric in results.gap_share.items()
    ]
    if not rows:
        return ""
    title = "Share of the gap to the best given the history"
    return html_table(title, ["Method", "Share", "95 % interval"], rows)


def choices(results: Results) -> str:
    """Return how often each level was chosen, and whom each method serves worse."""
    users = sum(results.chosen.values())
    bars = [
        (method_name(method), [f"{times:,}", _meter(times / users)])
        for method, times in results.chosen.items()
        if users
    ]
    worse = [
        (method_name(method), [users_of(share, results.executed.users)])
        for method, share in results.worse_than_stage1.items()
    ]
    return html_table(
        "What answers: chosen on entries kept aside, the group where none are",
        ["Level", "Users", "Share"],
        bars,
    ) + html_table(
        "Users served worse than by stage 1", ["Method", "Served worse"], worse
    )


def curve_numbers(results: Results, curve: LearningCurve) -> str:
    """Return the learning curve as a table to unfold."""
    order = [*METHODS, *sorted(curve.methods.keys() - set(METHODS))]
    rows = [
        (
            method_name(method),
            [_NOTHING if v is None else number(v) for v in by_metric[results.metric]],
        )
        for method in order
        if results.metric in (by_metric := curve.methods.get(method, {}))
    ]
    head = ["Entries", *(str(entry) for entry in curve.entries)]
    table = html_table(METRIC_HEADS[results.metric] + " by entries", head, rows)
    return f"<details><summary>The numbers of this picture</summary>{table}</details>"


def how_it_was_run(results: Results) -> str:
    """Return command, data, machine time and bytes."""
    done = results.executed
    facts = {
        "Data": results.data.name,
        "SHA-256 of the data": f"{results.data.sha256[:16]}…",
        "Backbone": done.backbone,
        "Seed": str(results.seed),
        "Engine": f"{done.engine}, cohort of {done.cohort_size:,}",
        "Rounds": ", ".join(f"{part} {n:,}" for part, n in done.rounds.items()),
        "Masks": "on" if done.masks else "off: sums were added in the clear",
        "Privacy": done.privacy,
        "Groups trained by": _trained_by(done),
        "Quick": "yes" if done.quick else "no",
        **{name: str(value) for name, value in done.settings.items()},
    }
    lists = [
        _facts("What was executed", facts),
        _facts("Time", {k: _seconds(v) for k, v in results.timings_s.items()})
        + _facts("Bytes", {k: _bytes(v) for k, v in results.bytes.items()})
        + _facts("Versions", results.versions),
    ]
    columns = "".join(f"<div>{column}</div>" for column in lists)
    command = f"<pre><code>{safe(results.command)}</code></pre>"
    return f'{command}<div class="columns">{columns}</div>'


def _trained_by(done: Executed) -> str:
    if done.group_level == "others":
        return f"{done.others:,} other users"
    return f"all users, {done.others:,} others among them"


def _meter(share: float) -> str:
    return f'<span class="meter"><i style="width:{100 * share:.1f}%"></i></span>'


def _arrow(metric: Metric) -> str:
    return " ↓" if metric in LOWER_IS_BETTER else " ↑"


def _pair_name(pair: str) -> str:
    return " against ".join(short_name(method) for method in pair.split("-"))


def _difference(found: Paired, metric: Metric) -> list[str]:
    kind = verdict(found, metric)
    parts = (signed(found.difference), bounds(found.low, found.high))
    return [
        " ".join(f'<span class="part">{part}</span>' for part in parts),
        f"{found.wins:,} / {found.ties:,} / {found.losses:,}",
        f'<span class="verdict v-{kind}">{kind}</span>',
    ]


def _share(share: Share | None) -> list[str]:
    if share is None:
        return [_NOTHING, _NOTHING]
    if share.low is None or share.high is None:
        return [percent(share.share), "not bounded: too little to gain"]
    return [percent(share.share), f"{percent(share.low)} to {percent(share.high)}"]


def _facts(title: str, facts: Mapping[str, str]) -> str:
    if not facts:
        return ""
    rows = "".join(
        f"<div><dt>{safe(name)}</dt><dd>{safe(value)}</dd></div>"
        for name, value in facts.items()
    )
    return f"<h3>{safe(title)}</h3><dl>{rows}</dl>"


def _seconds(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"


def _bytes(nbytes: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if nbytes >= size:
            return f"{nbytes / size:.1f} {unit}"
    return f"{nbytes} bytes"
