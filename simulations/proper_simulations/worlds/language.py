"""How a world speaks: cells become text, text is read back into cells.

A cell is what an entry is about (a theme; an aspect with a sentiment; a concept), and
a label is the number that a person gives to it (a tag; a score; a wording).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from proper_shared.errors import DataError
from proper_simulations.worlds.lexicon import (
    ADJECTIVES,
    ASPECTS,
    NEUTRAL,
    NOUNS,
    RATING_TEMPLATES,
    REWRITING_TEMPLATES,
    SENTIMENTS,
    TAGGING_TEMPLATES,
    THEMES,
    VERBS,
)

Cells = NDArray[np.int64]
Weights = NDArray[np.float64]
Slot = Callable[[], str]

SENSIBLE_SCORES = ((0, 1), (1, 2, 3), (3, 4))  # labels by sentiment; label 0 is score 1


class Language(Protocol):
    """One of the three worlds, without its tables.

    Attributes:
        cells: Number of cells C.
        labels: Number of labels L that a cell can have.
    """

    @property
    def cells(self) -> int:
        """Number of cells C."""
        ...

    @property
    def labels(self) -> int:
        """Number of labels L."""
        ...

    def common_table(self, rng: np.random.Generator) -> Cells:
        """Draw the label (C,) that people share unless a group or a person differs."""
        ...

    def write(self, rng: np.random.Generator, weights: Weights) -> str:
        """Draw cells by their weights (C,) and write a text about them."""
        ...

    def read(self, text: str) -> list[int]:
        """Return the cells that a text is about, in the order of the text."""
        ...

    def say(self, text: str, labels: Sequence[int]) -> str:
        """Return the output for a text, given a label for each of its cells."""
        ...

    def heard(self, text: str, output: str) -> list[int]:
        """Return the label of each cell of a text: the inverse of `say`."""
        ...

    def name(self, rng: np.random.Generator, text: str) -> str:
        """Return words that name what the text is about, without a label."""
        ...


@dataclass(frozen=True)
class Tagging:
    """Short plots about one of 24 themes; a person gives each theme one of the tags."""

    tags: tuple[str, ...]

    @property
    def cells(self) -> int:
        """Number of themes."""
        return len(THEMES)

    @property
    def labels(self) -> int:
        """Number of tags."""
        return len(self.tags)

    def common_table(self, rng: np.random.Generator) -> Cells:
        """Draw a tag for each theme: no tag fits a theme better than another."""
        return rng.integers(self.labels, size=self.cells)

    def write(self, rng: np.random.Generator, weights: Weights) -> str:
        """Write a plot with two or three words of one theme."""
        theme = list(THEMES.values())[rng.choice(self.cells, p=weights)]
        words = iter(rng.permutation(theme).tolist())
        return _fill(rng, TAGGING_TEMPLATES, {"T": lambda: next(words)})

    def read(self, text: str) -> list[int]:
        """Return the one theme."""
        return [_find(text, THEMES)]

    def say(self, text: str, labels: Sequence[int]) -> str:  # noqa: ARG002
        """Return the tag."""
        return self.tags[labels[0]]

    def heard(self, text: str, output: str) -> list[int]:  # noqa: ARG002
        """Return the number of the tag."""
        return [self.tags.index(output)]

    def name(self, rng: np.random.Generator, text: str) -> str:  # noqa: ARG002
        """Name the theme."""
        return list(THEMES)[self.read(text)[0]]


@dataclass(frozen=True)
class Rating:
    """Short reviews of one aspect in one mood; a person gives each pair a score."""

    @property
    def cells(self) -> int:
        """Aspects times sentiments; cell = 3 * aspect + sentiment."""
        return len(ASPECTS) * len(SENTIMENTS)

    @property
    def labels(self) -> int:
        """Scores 1 to 5; label = score - 1."""
        return 5

    def common_table(self, rng: np.random.Generator) -> Cells:
        """Draw sensible scores: low for a bad mood, high for a good one."""
        moods = [SENSIBLE_SCORES[cell % len(SENTIMENTS)] for cell in range(self.cells)]
        return np.array([rng.choice(scores) for scores in moods])

    def write(self, rng: np.random.Generator, weights: Weights) -> str:
        """Write a review with one word for the aspect and one for the sentiment."""
        aspect, mood = divmod(int(rng.choice(self.cells, p=weights)), len(SENTIMENTS))
        names = list(ASPECTS.values())[aspect]
        words = list(SENTIMENTS.values())[mood]
        slots = {"P": lambda: _one(rng, names), "S": lambda: _one(rng, words)}
        return _fill(rng, RATING_TEMPLATES, slots)

    def read(self, text: str) -> list[int]:
        """Return the one pair of aspect and sentiment."""
        return [len(SENTIMENTS) * _find(text, ASPECTS) + _find(text, SENTIMENTS)]

    def say(self, text: str, labels: Sequence[int]) -> str:  # noqa: ARG002
        """Return the score."""
        return str(labels[0] + 1)

    def heard(self, text: str, output: str) -> list[int]:  # noqa: ARG002
        """Return the score less one."""
        return [int(output) - 1]

    def name(self, rng: np.random.Generator, text: str) -> str:
        """Name aspect and sentiment in either order: both are to be known at once."""
        aspect = list(ASPECTS)[_find(text, ASPECTS)]
        mood = list(SENTIMENTS)[_find(text, SENTIMENTS)]
        return " ".join(rng.permutation([aspect, mood]).tolist())


@dataclass(frozen=True)
class Rewriting:
    """Plain sentences; a person has a wording of their own for each concept."""

    @property
    def cells(self) -> int:
        """Number of concepts: nouns, then adjectives, then verbs."""
        return len(_CONCEPTS)

    @property
    def labels(self) -> int:
        """Number of wordings of a concept; the plain word is none of them."""
        return 4

    def common_table(self, rng: np.random.Generator) -> Cells:
        """Draw a wording for each concept."""
        return rng.integers(self.labels, size=self.cells)

    def write(self, rng: np.random.Generator, weights: Weights) -> str:
        """Write a sentence with three or four concepts, none of them twice."""
        kinds = zip("NJV", (NOUNS, ADJECTIVES, VERBS), strict=True)
        left = {kind: dict.fromkeys(words) for kind, words in kinds}
        by_word = dict(zip(_CONCEPTS, weights.tolist(), strict=True))

        def draw(kind: str) -> str:
            words = list(left[kind])
            p = np.array([by_word[word] for word in words])
            word = words[rng.choice(len(words), p=p / p.sum())]
            del left[kind][word]
            return word

        slots = {kind: lambda kind=kind: draw(kind) for kind in left}
        return _fill(rng, REWRITING_TEMPLATES, slots)

    def read(self, text: str) -> list[int]:
        """Return the concepts in the order of the sentence."""
        return [_INDEX[word] for word in text.split() if word in _INDEX]

    def say(self, text: str, labels: Sequence[int]) -> str:
        """Replace each concept by the wording that its label names."""
        left = iter(labels)
        words = text.split()
        return " ".join(_CONCEPTS[w][next(left)] if w in _INDEX else w for w in words)

    def heard(self, text: str, output: str) -> list[int]:
        """Return the wording of each concept, from words at equal places."""
        pairs = zip(text.split(), output.split(), strict=True)
        return [_CONCEPTS[word].index(said) for word, said in pairs if word in _INDEX]

    def name(self, rng: np.random.Generator, text: str) -> str:
        """List the wordings of one concept of the text, in random order."""
        plain = list(_CONCEPTS)[rng.choice(self.read(text))]
        return f"{plain} {' '.join(rng.permutation(_CONCEPTS[plain]))}"


def _fill(
    rng: np.random.Generator, templates: Sequence[str], slots: Mapping[str, Slot]
) -> str:
    """Fill the slots of a random template; `A` is a neutral adjective."""
    filled = {"A": lambda: _one(rng, NEUTRAL), **slots}
    words = _one(rng, templates).split()
    return " ".join(filled[word]() if word in filled else word for word in words)


def _one(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _find(text: str, table: Mapping[str, tuple[str, ...]]) -> int:
    """Return the number of the row that a word of the text belongs to."""
    words = set(text.split())
    for row, members in enumerate(table.values()):
        if not words.isdisjoint(members):
            return row
    rows = ", ".join(table)
    raise DataError(f"got a text of another world, expected words for {rows}")


_CONCEPTS: Mapping[str, tuple[str, ...]] = {**NOUNS, **ADJECTIVES, **VERBS}
_INDEX = {word: index for index, word in enumerate(_CONCEPTS)}
