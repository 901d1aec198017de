"""Text from which a small backbone learns to read the worlds, and none of their tables.

Every document is by a reader who exists only there: the labels are drawn anew, from
the law of common and own labels, so nothing about any world or user can be learnt,
and the texts are of the half of each language that people of the worlds never use.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from proper_shared.tasks import Task
from proper_simulations.worlds.halves import Half, write_for
from proper_simulations.worlds.language import Cells, Language, Weights
from proper_simulations.worlds.registry import LANGUAGES, language_of, task_of

SHARE_ABOUT = 0.15  # of the documents: lines that say which words belong together
SHARE_NAMED = 0.35  # of the documents: readers who answer by what a text is about


def pretraining_text(rng: np.random.Generator, n: int) -> Iterator[str]:
    """Yield documents in the prompt format of the tasks, the three worlds in turn.

    A document is either one text with a line that names what it is about, or three to
    eight entries of one random reader who writes about few things, between blank lines.
    Some readers answer with the name of what they read about, so that a model learns to
    know it at the place where a task asks for a label.

    Args:
        rng: Source of all draws; use one that no world is made from.
        n: Number of documents.
    """
    names = sorted(LANGUAGES)
    for index in range(n):
        name = names[index % len(names)]
        yield _document(rng, task_of(name), language_of(name))


def _document(rng: np.random.Generator, task: Task, language: Language) -> str:
    kind = rng.random()
    anything = np.full(language.cells, 1 / language.cells)
    if kind < SHARE_ABOUT:
        text = _write(rng, language, anything)
        return f"{text}\nabout: {language.name(rng, text)}"
    entries = int(rng.integers(3, 9))
    if kind < SHARE_ABOUT + SHARE_NAMED and task.labels:
        texts = [_write(rng, language, anything) for _ in range(entries)]
        return _join(task, texts, [language.name(rng, text) for text in texts])
    table, weights = _reader(rng, language)
    texts = [_write(rng, language, weights) for _ in range(entries)]
    labels = [table[language.read(text)].tolist() for text in texts]
    return _join(task, texts, list(map(language.say, texts, labels)))


def _join(task: Task, texts: Sequence[str], answers: Sequence[str]) -> str:
    """Lay entries one below the other, in the form of their task."""
    pairs = zip(texts, answers, strict=True)
    return "\n\n".join(task.prompt(text) + task.target(said) for text, said in pairs)


def _write(rng: np.random.Generator, language: Language, weights: Weights) -> str:
    return write_for(Half.PRETRAINING, language, rng, weights)


def _reader(rng: np.random.Generator, language: Language) -> tuple[Cells, Weights]:
    """Draw a table (C,) and a narrow taste (C,): few cells, so that some come again."""
    any_label = rng.integers(language.labels, size=language.cells)
    own = rng.random(language.cells) < 0.5
    weights = rng.dirichlet(np.full(language.cells, 3.0 / language.cells)) + 1e-9
    return np.where(own, any_label, language.common_table(rng)), weights / weights.sum()
