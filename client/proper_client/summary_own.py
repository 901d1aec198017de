"""What a person is told about their history, in lines for a terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from proper_client.choosing import Part
from proper_client.counting import counted
from proper_client.ledger_entry import NAME as LEDGER
from proper_client.vault import Vault
from proper_client.wish import Taken
from proper_shared.friendly import one_line
from proper_shared.history import Entry

if TYPE_CHECKING:
    from proper_client.forgetting import Forgotten

_WIDTH, _SAMPLES = 60, 3


def listing(taken: Taken, found: Sequence[tuple[int, Entry]], last: int) -> list[str]:
    """Return a line for each entry.

    Args:
        taken: The history.
        found: Those that are meant, with their numbers.
        last: Show so many at most.
    """
    total = f"{len(taken.entries):,} entries of {taken.task.name}"
    shown = found[-last:]
    more = len(found) - len(shown)
    lines = [f"{len(found):,} of {total}" if len(found) < len(taken.entries) else total]
    if more:
        lines.append(f"({more:,} older ones are not shown: --last {len(found)})")
    return [*lines, *(_line(number, entry) for number, entry in shown)]


def before_forgetting(parts: Sequence[Part], *, delete_model: bool) -> list[str]:
    """Return what is about to be forgotten."""
    lines = []
    for part in parts:
        what = f"all {len(part.gone):,}" if part.whole else f"{len(part.gone):,}"
        lines.append(
            f"to forget   {what} of {len(part.before):,} entries of {part.task}"
        )
        shown = part.gone[:_SAMPLES]
        lines += [_line(number, entry) for number, entry in shown]
        if len(part.gone) > len(shown):
            lines.append(f"        and {len(part.gone) - len(shown):,} more")
        fate = "deleted" if delete_model or part.whole else "trained again without them"
        lines.append(f"            your model is then {fate}")
    return lines


def after_forgetting(done: Sequence["Forgotten"], vault: Vault) -> list[str]:
    """Return what was done, and whether anything is left."""
    lines = []
    for one in done:
        part, model = one.part, one.learning
        gone = counted(len(part.gone), "entry", "entries")
        lines.append(f"forgot      {gone} of {part.task}, {len(part.left):,} are left")
        if model is not None:
            lines.append("model       trained again, as if they had never been there")
        lines += _searched(one)
    lines.append("            the file that you imported them from is yours to change")
    if any(True for _ in vault.lines(LEDGER)):
        lines += [
            "ledger      keeps sizes and hashes of what left this machine, no texts;",
            "            what you added to sums of a federation cannot be taken back",
        ]
    return lines


def _searched(one: "Forgotten") -> list[str]:
    search = one.search
    where = f"{search.files:,} files, {search.nbytes:,} bytes, opened where encrypted"
    if search.found:
        lines = [f"found       still something of them in {', '.join(search.found)}"]
    else:
        lines = [f"searched    {where}: nothing of them is left"]
    if search.shared:
        lines.append(
            f"            {search.shared:,} say what an entry that you keep says too"
        )
    return lines


def _line(number: int, entry: Entry) -> str:
    day = (entry.date or "")[:10]
    text, said = one_line(entry.text[: _WIDTH + 1]), one_line(entry.output[:21])
    text = text if len(entry.text) <= _WIDTH else f"{text[:_WIDTH]}..."
    said = said if len(entry.output) <= 20 else f"{said[:20]}..."
    return f"{number:>7}  {day:<10}  {text}  ->  {said}"
