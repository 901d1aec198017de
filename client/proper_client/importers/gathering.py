"""Decide what of a source is kept: the same rules for every format.

* An entry is named by its content and date (`id_of`), so that the same import twice
  adds nothing; entries that were there before stay as they are, under their names.
* Time order is kept. An entry without a date takes that of the entry before it in the
  source (those at the beginning the first that comes), so it keeps its place; a source
  without any date keeps its order.
* A text is cut to `MAX_TEXT` characters, at the end that its task does not read.
* Only the newest `MAX_ENTRIES` entries are kept, and as many as fit into `MAX_BYTES`:
  what a history file may have. So memory is bounded, however large the source is.
* Whatever is left out is counted, with the reason.

Not covered: entries of one and the same date where a history is full; an import of them
again may keep others of that date.
"""

import hashlib
import heapq
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from proper_client.importers.formats import Dropped, Found, Item
from proper_client.importers.moments import moment
from proper_shared.errors import DataError
from proper_shared.history import MAX_FILE_BYTES, Entry
from proper_shared.json_file import MAX_CHARACTERS
from proper_shared.tasks import Task

MAX_TEXT = 4_000  # characters; no task reads more than 3,072, see `encoding`
MAX_ENTRIES = 200_000
MAX_BYTES = MAX_FILE_BYTES - 2**20

_OVERHEAD = 160  # bytes of an entry in a file besides its text and output
_LARGEST = 2**21  # bytes of one entry: a file with less room than that is full
_UNDATED = -math.inf
_SURROGATE = re.compile("[\ud800-\udfff]")
_HALF = "entries with half a character (a lone surrogate)"
_OLDER = "entries older than the newest that a history holds"

# stamp, number in the source, id, date, JSON of text and output: the oldest first
Kept = tuple[float, int, str, str | None, bytes]


@dataclass
class Gathering:
    """What is kept of a source, beside what was there before.

    Attributes:
        task: What is asked of the texts.
        date_format: How the source writes dates, as of `strptime`.
        dropped: How many entries were left out, by reason.
        remarks: What was done to entries that are kept, by what it was.
        found: How many entries the source has.
        accepted: How many of these can be learnt, new or there already.
    """

    task: Task
    date_format: str | None = None
    dropped: Counter[str] = field(default_factory=Counter)
    remarks: Counter[str] = field(default_factory=Counter)
    found: int = 0
    accepted: int = 0
    _heap: list[Kept] = field(default_factory=list)
    _ids: set[str] = field(default_factory=set)
    _number: int = 0
    _before: int = 0  # the numbers up to here were there before
    _nbytes: int = 0
    _date: str | None = None
    _first_date: str | None = None
    _floor: float = _UNDATED

    def start_from(self, entries: Iterable[Entry]) -> None:
        """Put in what was there before; of it only the zones of dates are changed.

        Raises:
            DataError: A date leaves the calendar in UTC.
        """
        for entry in entries:
            date = _utc(entry.date)
            self._ids.add(id_of(self.task, entry.text, entry.output, date))
            self._push(entry.id, date, _packed(entry.text, entry.output))
        self._before = self._number
        if self._is_full(_LARGEST):
            self._floor = self._heap[0][0]

    def take(self, items: Iterable[Item]) -> None:
        """Keep what the source yields, or count why not.

        Raises:
            DataError: Dates on one side only: of what is there, or of the source; or
                undated entries do not fit beside others.
        """
        for item in items:
            if isinstance(item, Dropped):
                self.dropped[item.reason] += 1
            else:
                self.found += 1
                self._take(item)
        self._settle_dates()

    def entries(self, *, new: bool = False) -> Iterator[Entry]:
        """Yield the entries in the order of time, the oldest first.

        Args:
            new: Only those that were not there before.
        """
        for _, number, name, date, packed in sorted(self._heap):
            if not new or number > self._before:
                text, output = json.loads(packed)
                yield Entry(name, text, output, date)

    def count(self, *, new: bool = False) -> int:
        """Return how many entries there are, or how many of them are new."""
        return sum(not new or number > self._before for _, number, *_ in self._heap)

    def _take(self, found: Found) -> None:
        text, output = found.text.strip(), _output(self.task, found.output.strip())
        if reason := self._refusal(text, output):
            self.dropped[reason] += 1
            return
        self.accepted += 1
        if len(text) > MAX_TEXT:
            text = _cut(self.task, text)
            self.remarks[f"texts cut to {MAX_TEXT:,} characters"] += 1
        date = self._moment(found.date)
        name = id_of(self.task, text, output, date)
        self._date = date or self._date
        self._first_date = self._first_date or date
        if name in self._ids:
            self.dropped["entries that were there already"] += 1
        else:
            self._push(name, self._date, _packed(text, output))

    def _refusal(self, text: str, output: str) -> str | None:
        if not text or not output:
            return "entries without a text" if not text else "entries without an output"
        if len(output) > MAX_CHARACTERS:
            return f"entries with an output of more than {MAX_CHARACTERS:,} characters"
        if not self.task.accepts(output):
            return f"entries whose output is no {self.task.kind} of {self.task.name}"
        if _is_broken(text) or _is_broken(output):
            return _HALF
        return None

    def _moment(self, raw: object) -> str | None:
        try:
            return moment(raw, self.date_format)
        except (ValueError, OverflowError, OSError):  # no such day, or beyond the clock
            self.remarks["dates that cannot be read, or in two ways"] += 1
            return None

    def _push(self, name: str, date: str | None, packed: bytes) -> None:
        """Keep an entry; where there is no room, let go of the oldest."""
        stamp, self._number = _stamp(date), self._number + 1
        oldest = self._heap[0][0] if self._heap else _UNDATED
        size = len(packed) + len(name) + _OVERHEAD
        full = self._is_full(size)
        if self._floor >= stamp > _UNDATED or (full and oldest >= stamp > _UNDATED):
            self._let_go(stamp)
            return
        heapq.heappush(self._heap, (stamp, self._number, name, date, packed))
        self._ids.add(name)
        self._nbytes += size
        while self._is_full(0):
            self._drop_oldest()

    def _is_full(self, more: int) -> bool:
        count = len(self._heap) + (more > 0)
        return count > MAX_ENTRIES or self._nbytes + more > MAX_BYTES

    def _drop_oldest(self) -> None:
        stamp, _, name, date, packed = heapq.heappop(self._heap)
        if date is None and self._before:
            raise DataError(
                "the entries do not fit beside those that are there, and none has a "
                "date, so nobody knows which are the oldest",
                hint="import into a file of its own, with --out",
            )
        self._ids.discard(name)
        self._nbytes -= len(packed) + len(name) + _OVERHEAD
        self._let_go(stamp)

    def _let_go(self, stamp: float) -> None:
        """Count an entry as too old; an older one finds no room from now on either."""
        self.dropped[_OLDER] += 1
        self._floor = max(self._floor, stamp)

    def _settle_dates(self) -> None:
        """Date the entries before the first date; refuse to mix where nobody can."""
        undated = [kept for kept in self._heap if kept[3] is None]
        if not undated or len(undated) == len(self._heap):
            return
        there = any(number <= self._before for _, number, *_ in undated)
        if there or self._first_date is None:
            has, lacks = ("the source", "what is there")[:: 1 if there else -1]
            raise DataError(
                f"{has} has dates and {lacks} has none, so nobody knows what is older",
                hint="import it into a file of its own, with --out",
            )
        stamp = _stamp(self._first_date)
        self._heap = [
            kept if kept[3] else (stamp, kept[1], kept[2], self._first_date, kept[4])
            for kept in self._heap
        ]


def id_of(task: Task, text: str, output: str, date: str | None) -> str:
    """Return the name that an entry gets from what it says."""
    written = json.dumps([task.name, text, output, date], ensure_ascii=False)
    return hashlib.sha256(written.encode()).hexdigest()[:16]


def _packed(text: str, output: str) -> bytes:
    return json.dumps([text, output], ensure_ascii=False).encode()


def _output(task: Task, output: str) -> str:
    """Write a score as the task has it: 4.0 is 4."""
    if task.kind != "score" or output in task.labels:
        return output
    try:
        return f"{float(output):g}"
    except ValueError:
        return output


def _cut(task: Task, text: str) -> str:
    kept = text[:MAX_TEXT] if task.reads == "start" else text[-MAX_TEXT:]
    return kept.strip()


def _is_broken(text: str) -> bool:
    return _SURROGATE.search(text) is not None


def _utc(date: str | None) -> str | None:
    try:
        return moment(date)
    except ValueError:
        raise DataError(
            f"what is there has the date {date!r}, expected one on the calendar in UTC",
            hint="correct it there first",
        ) from None


def _stamp(date: str | None) -> float:
    if date is None:
        return _UNDATED
    read = datetime.fromisoformat(date)
    read = read if read.tzinfo else read.replace(tzinfo=UTC)
    return read.timestamp()
