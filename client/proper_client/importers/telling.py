"""What a person is told about an import, in lines for a terminal."""

from pathlib import Path
from shlex import quote

from proper_client.importers.importing import Import
from proper_shared.friendly import one_line

_SAMPLES = 3
_WIDTH = 72


def after_import(done: Import, out: Path | None, *, written: bool) -> list[str]:
    """Return what was found, what of it is kept, and what was dropped and why.

    Args:
        done: What came of the source.
        out: Where the history lies, if anywhere.
        written: Whether it was written.
    """
    gathering = done.gathering
    return [
        f"format      {done.format.name}, {done.format.about}",
        f"task        {done.task.name}",
        f"found       {gathering.found:,} entries",
        f"new         {_kept(done)}",
        *left_out(done),
        *(_samples(done) if not written else []),
        *_end(out, written=written, new=gathering.count(new=True)),
    ]


def left_out(done: Import) -> list[str]:
    """Return lines for what was dropped or changed, with the reasons."""
    gathering, lines = done.gathering, []
    for title, counts in (
        ("dropped", gathering.dropped),
        ("changed", gathering.remarks),
    ):
        for number, (reason, count) in enumerate(counts.most_common()):
            lines.append(f"{title if not number else '':<11} {count:,} {reason}")
    return lines


def _kept(done: Import) -> str:
    new, total = done.gathering.count(new=True), done.gathering.count()
    dates = [entry.date for entry in done.gathering.entries(new=True) if entry.date]
    span = f", {dates[0][:10]} to {dates[-1][:10]}" if dates else ""
    return f"{new:,}{span}; {total:,} entries together"


def _samples(done: Import) -> list[str]:
    """Return the first, the middle and the last of the new entries."""
    count = done.gathering.count(new=True)
    wanted = sorted({0, count // 2, count - 1})[:_SAMPLES] if count else []
    lines = []
    for number, entry in enumerate(done.gathering.entries(new=True)):
        if number in wanted:
            lines += ["", f"  text      {_short(entry.text)}"]
            lines += [f"  output    {_short(entry.output)}"]
    return [*lines, ""] if lines else []


def _short(text: str) -> str:
    shown = one_line(text[: _WIDTH + 1])
    return shown if len(text) <= _WIDTH else shown[:_WIDTH] + "..."


def _end(out: Path | None, *, written: bool, new: int) -> list[str]:
    if written:
        return [
            f"kept in     {out} (only you can read it; it is not encrypted)",
            f"next        proper-client train --history {quote(str(out))}",
        ]
    if out is not None and not new:
        return [f"nothing new: {out} is as it was"]
    return ["nothing was written: give --out my.json, without --dry-run"]
