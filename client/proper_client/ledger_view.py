"""The ledger as a person reads it: a table of what left and what was refused.

The file is read a line at a time, so it may be long. Times are UTC, as in the file.
"""

import textwrap
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from proper_client.counting import counted
from proper_client.ledger_entry import UNSENT, Damage, Entry, Purpose, read_ledger
from proper_client.membership_lines import ledger_line
from proper_client.vault import Vault
from proper_shared.friendly import one_line

WIDTH = 100
SHOWN = 20  # lines, if nobody says how many
_INDENT = " " * 21

Line = Entry | Damage


@dataclass
class Totals:
    """What left by coordinator and purpose; fed one line after the other."""

    nbytes: Counter[tuple[str, str]] = field(default_factory=Counter)
    reserved: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    messages: Counter[tuple[str, str]] = field(default_factory=Counter)
    refusals: int = 0
    damaged: int = 0
    lines: int = 0

    def add(self, line: Line) -> None:
        """Count one line."""
        self.lines += 1
        if isinstance(line, Damage):
            self.damaged += 1
            return
        self.refusals += line.refusals
        if line.nbytes or line.messages:
            key = (line.coordinator, line.purpose)
            self.nbytes[key] += line.nbytes
            self.messages[key] += line.messages
            self._reserve(key, line)

    def _reserve(self, key: tuple[str, str], line: Entry) -> None:
        """Keep what is reserved until it is settled; after a crash it never is."""
        open_ones = self.reserved.setdefault(key, [])
        if line.name == "reserved":
            open_ones.append(line.nbytes)
        elif line.name == "settled" and open_ones:
            open_ones.pop()  # the newest: a process settles its own


def table(vault: Vault, last: int | None, *, refusals: bool) -> list[str]:
    """Return the newest lines of the ledger and the totals of all of it.

    Args:
        vault: where it is kept.
        last: how many lines to show; None for 20.
        refusals: show refusals alone.

    Raises:
        ConfigError: it cannot be read.
    """
    totals, shown = Totals(), deque[Line](maxlen=SHOWN if last is None else last)
    matching = 0
    for line in read_ledger(vault):
        totals.add(line)
        if _is_wanted(line, refusals=refusals):
            matching += 1
            shown.append(line)
    if not totals.lines:
        return ["nothing has left this device, and nothing was refused"]
    lines = [text for line in shown for text in _row(line)]
    if lines:
        lines.insert(
            0, f"{'time (UTC)':<21}{'what':<15}{'bytes':>12}  {'SHA-256':<12}to"
        )
    if (hidden := matching - len(shown)) and shown:
        lines.insert(0, f"... {hidden:,} older lines, see --last")
    if refusals and not matching:
        lines = ["nothing was refused"]
    return [*lines, "", *_sums(totals), *ledger_line(vault)]


def json_lines(vault: Vault, last: int | None, *, refusals: bool) -> Iterator[str]:
    """Yield the lines of the ledger as JSON objects; all of them if `last` is None.

    Raises:
        ConfigError: it cannot be read.
    """
    wanted: Iterable[Line] = (
        line for line in read_ledger(vault) if _is_wanted(line, refusals=refusals)
    )
    if last is not None:
        wanted = deque(wanted, maxlen=last)
    for line in wanted:
        if isinstance(line, Entry):
            yield line.dump().decode()
        else:
            yield f'{{"damaged":{line.line},"words":"{line.words}"}}'


def _is_wanted(line: Line, *, refusals: bool) -> bool:
    if not refusals:
        return True
    return isinstance(line, Entry) and line.purpose == Purpose.REFUSAL


def _row(line: Line) -> list[str]:
    if isinstance(line, Damage):
        return _wrapped(f"! line {line.line} is damaged: {line.words}", " " * 2)
    time = line.time[:19].replace("T", " ")
    if line.purpose in {Purpose.REFUSAL, Purpose.NOTE}:
        times = "" if line.count is None else f", {counted(line.count, 'time')}"
        about = f"{times}{_round(line)}{_to(line)}"
        first = f"{time}  {line.purpose}: {line.name}{about}"
        return [*_wrapped(first, _INDENT), *_wrapped(f"{_INDENT}{line.words}", _INDENT)]
    what = (line.sha256 or "")[:10]
    if line.name in {"reserved", UNSENT}:
        what = line.name
    row = f"{time:<21}{line.purpose:<15}{line.nbytes:>12,}  {what:<12}"
    about = line.coordinator + _round(line)
    if line.count is not None:
        about = f"{line.coordinator}, {counted(line.count, 'message')} in all"
    return _wrapped(row + about, _INDENT)


def _round(line: Entry) -> str:
    """Return which sum it was; sums of a run are counted from 0, probes included."""
    if line.serial is None:
        return ""
    again = ", again" if line.attempt else ""
    return f", {line.stage} sum {line.serial}{again}"


def _to(line: Entry) -> str:
    return f", asked by {line.coordinator}" if line.coordinator else ""


def _wrapped(text: str, indent: str) -> list[str]:
    """Cut a text into lines of the terminal's width; nothing in it can steer that."""
    return textwrap.wrap(one_line(text), WIDTH, subsequent_indent=indent)


def _sum(totals: Totals, key: tuple[str, str], nbytes: int) -> list[str]:
    """Return what left for one purpose, and apart from it what may have."""
    reserved = sum(totals.reserved.get(key, []))
    messages, lines = totals.messages[key], []
    if messages or nbytes != reserved:
        sent = f"{nbytes - reserved:>18,} bytes in {counted(messages, 'message')}"
        lines.append(f"  {key[1]:<15}{sent}")
    if reserved:
        lines.append(f"  {key[1]:<15}{reserved:>18,} bytes at most, reserved")
    return lines


def _sums(totals: Totals) -> list[str]:
    lines = []
    for coordinator in sorted({who for who, _ in totals.nbytes}):
        lines += _wrapped(f"left for {coordinator}", "  ")
        own = {k[1]: n for k, n in totals.nbytes.items() if k[0] == coordinator}
        for purpose, nbytes in sorted(own.items(), key=lambda item: -item[1]):
            lines += _sum(totals, (coordinator, purpose), nbytes)
    everything = sum(totals.nbytes.values())
    refusals = counted(totals.refusals, "refusal")
    lines.append(f"in all {everything:,} bytes, {refusals}")
    if totals.damaged:
        damaged = counted(totals.damaged, "damaged line")
        lines.append(f"{damaged}: edited, or cut off by a crash?")
    return lines
