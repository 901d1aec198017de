"""Look at the beginning of a source, so that its format is known by its content."""

import re
from dataclasses import dataclass
from functools import cached_property

from proper_client.importers.places import Place, encoding_of
from proper_shared.errors import DataError

HEAD_BYTES = 256 * 1024

# A text that is cut off goes to the end, so that looking takes one pass.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[{}\[\]:]', re.DOTALL)
_NO_TEXT = 0.01  # share of characters that no text has


@dataclass(frozen=True)
class Look:
    """What is known of a source before it is read.

    Attributes:
        name: Of the file or folder.
        names: Of the files in it.
        is_file: Whether it is one file, no folder and no zip.
        head: The beginning of a file, decoded as well as it goes.
        whole: Whether `head` is all of it.
    """

    name: str
    names: tuple[str, ...]
    is_file: bool = False
    head: str = ""
    whole: bool = True

    @property
    def is_json(self) -> bool:
        """Tell whether it begins as a JSON object or list."""
        return self.head[:1] in ("{", "[")

    @cached_property
    def keys(self) -> frozenset[str]:
        """The keys of the first object, as far as it is seen."""
        depth, keys, last = 0, set(), ""
        for sign in _TOKEN.findall(self.head if self.is_json else ""):
            depth += (sign in ("{", "[")) - (sign in ("}", "]"))
            if sign == ":" and depth == self._depth:
                keys.add(last[1:-1])
            if depth < self._depth and keys:
                break
            last = sign
        return frozenset(keys)

    @property
    def _depth(self) -> int:
        return 2 if self.head[:1] == "[" else 1


def look_at(place: Place) -> Look:
    """Return what stands at the beginning.

    Raises:
        DataError: It cannot be read, or is no text at all.
    """
    if not place.is_file:
        return Look(place.path.name, place.names)
    with place.data(place.names[0]) as file:
        data = file.read(HEAD_BYTES + 1)
    head = data.decode(encoding_of(data), errors="replace").lstrip("\ufeff \t\r\n")
    odd = sum(c < " " and c not in "\t\r\n\f\x1b" for c in head)
    if odd > _NO_TEXT * len(head):
        raise DataError(
            f"{place.path.name} is no text: it has characters that no text has",
            hint="export to one of the formats of `proper-client import --formats`",
        )
    whole = len(data) <= HEAD_BYTES
    return Look(place.path.name, place.names, is_file=True, head=head, whole=whole)
