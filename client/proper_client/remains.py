"""Look through all private files, opened, for entries that were to be forgotten.

Each text is looked for as it is and as JSON writes it, and each id as text and as the
numbers in a model's file. An output is looked for where it is in the person's words.

Covered: every file below the home but releases, which came from elsewhere and hold
nothing of this person; journals and leftovers of killed writers are among them.
Not covered: texts of fewer than five bytes, which stand anywhere by chance; what a
model remembers without a text being in it, against which it is trained anew.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from proper_client.learnt import Learnt
from proper_client.vault import Vault
from proper_shared.history import Entry

_SHORTEST = 5  # bytes
_QUICK = 1 << 32  # bytes times needles that are looked through one by one
_HEAD = 16


@dataclass(frozen=True)
class Search:
    """What a search came to.

    Attributes:
        files: how many were looked through.
        nbytes: of them, opened.
        found: files in which something of the entries stands.
        shared: entries of which something also stands in an entry that was kept.
    """

    files: int
    nbytes: int
    found: tuple[str, ...]
    shared: int


def search(
    vault: Vault, gone: Sequence[Entry], left: Iterable[Entry], *, words: bool
) -> Search:
    """Look for entries in all private files.

    Args:
        vault: the private files.
        gone: what is to be in none of them.
        left: entries that are kept; what they say too is not looked for.
        words: outputs are in the person's own words, and looked for too.

    Raises:
        ConfigError: a file cannot be read.
        FormatError: one is damaged.
    """
    kept = {said for entry in left for said in _said(entry, words=words)}
    shared = sum(any(said in kept for said in _said(e, words=words)) for e in gone)
    wanted = {
        needle
        for entry in gone
        for needle in _needles(entry, words=words, kept=kept)
        if len(needle) >= _SHORTEST
    }
    files, nbytes, found = 0, 0, []
    for place, data in vault.files.contents():
        files, nbytes = files + 1, nbytes + len(data)
        if _stands(wanted, data):
            found.append(place)
    return Search(files, nbytes, tuple(found), shared)


def _said(entry: Entry, *, words: bool) -> list[str]:
    return [entry.text, entry.output] if words else [entry.text]


def _needles(entry: Entry, *, words: bool, kept: set[str]) -> Iterator[bytes]:
    yield entry.id.encode()
    if len(entry.id) == _HEAD:
        yield Learnt.of([entry.id], {}).array()[0, :4].tobytes()
    for said in _said(entry, words=words):
        if said not in kept:
            yield said.encode()
            yield json.dumps(said)[1:-1].encode()
            yield json.dumps(said, ensure_ascii=False)[1:-1].encode()


def _stands(wanted: set[bytes], data: bytes) -> bool:
    """Tell whether any of these stands in `data`."""
    if len(wanted) * len(data) <= _QUICK:
        return any(needle in data for needle in wanted)
    heads: dict[int, dict[bytes, list[bytes]]] = {}
    for needle in wanted:
        head = needle[:_HEAD]
        heads.setdefault(len(head), {}).setdefault(head, []).append(needle)
    for size, known in heads.items():
        for at in range(len(data) - size + 1):
            for needle in known.get(data[at : at + size], ()):
                if data.startswith(needle, at):
                    return True
    return False
