"""Which entries a personal model has learnt, and what each cost before it was learnt.

It lies in the file of the model, as one array with a row for each entry, the oldest
first: the entry's id as four numbers of 16 bits, which float32 holds exactly, and its
cost at each level; -1 where it was learnt without being asked. No text is in it. So
`train` knows what is new, and how the levels did on the newest entries, without
computing anything again.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from proper_shared.errors import FormatError
from proper_shared.tensors import Array

Level = Literal["population", "group", "personal"]
LEVELS: tuple[Level, ...] = ("population", "group", "personal")
NAME = "learnt"  # of the array
_ID = re.compile("[0-9a-f]{16}")
_WORDS, _UNASKED = 4, -1.0


@dataclass(frozen=True)
class Learnt:
    """What a model has learnt.

    Attributes:
        costs: id -> its cost at each level; empty where it was not asked. The oldest
            comes first.
    """

    costs: Mapping[str, tuple[float, ...]]

    @classmethod
    def of(cls, ids: Iterable[str], asked: Mapping[str, Sequence[float]]) -> "Learnt":
        """Return entries in their order, with the costs of those that were asked."""
        return cls({name: tuple(asked.get(name, ())) for name in ids})

    def array(self) -> Array:
        """Return it as (n, 7) float32.

        Raises:
            ValueError: an id is not one that `importers.gathering` gives.
        """
        rows = np.full((len(self.costs), _WORDS + len(LEVELS)), _UNASKED, np.float32)
        for row, (name, costs) in zip(rows, self.costs.items(), strict=True):
            if not _ID.fullmatch(name):
                raise ValueError(f"got the id {name[:20]!r}, expected 16 hex digits")
            row[:_WORDS] = [int(name[at : at + 4], 16) for at in range(0, 16, 4)]
            row[_WORDS : _WORDS + len(costs)] = costs
        return rows

    @classmethod
    def read(cls, rows: Array, what: str) -> "Learnt":
        """Return what an array holds.

        Raises:
            FormatError: it is none of ours.
        """
        if rows.ndim != 2 or rows.shape[1] != _WORDS + len(LEVELS):
            raise FormatError(f"{what}: the array of what was learnt is damaged")
        words = rows[:, :_WORDS]
        if ((words < 0) | (words >= 1 << 16) | (words != np.floor(words))).any():
            raise FormatError(f"{what}: the array of what was learnt is damaged")
        names = ["".join(f"{int(word):04x}" for word in row) for row in words]
        costs = [
            tuple(map(float, row)) if row[0] >= 0 else () for row in rows[:, _WORDS:]
        ]
        return cls(dict(zip(names, costs, strict=True)))
