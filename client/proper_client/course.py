"""Decide how a history is learnt: from nothing, by the model that is there, or not.

A model learns later entries by itself while they are fewer than those that it began
with; then it is time to begin anew, so that over the years each entry costs the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from proper_client.kept import About
from proper_client.learnt import Learnt
from proper_shared.history import Entry

MOST_LATER = 0.5  # of all entries
Way = Literal["anew", "later", "nothing"]


@dataclass(frozen=True)
class Course:
    """How a history is learnt.

    Attributes:
        way: from nothing, by the model that is there, or not at all.
        why: the reason, where a person would ask for it.
        new: ids of the entries that the model does not know.
        later: entries that the model learnt after it began, these among them.
    """

    way: Way
    why: str
    new: frozenset[str]
    later: int = 0


def course_for(
    entries: Sequence[Entry],
    before: tuple[About, Learnt | None] | None,
    *,
    release_sha256: str,
    seed: int,
    anew: bool = False,
) -> Course:
    """Decide how to learn.

    Args:
        entries: all of the history.
        before: the model that is there, if one is.
        release_sha256: of the release to start from.
        seed: of the training.
        anew: the person wants it from nothing.
    """
    ids = frozenset(entry.id for entry in entries)
    if before is None:
        return Course("anew", "", ids)
    about, learnt = before
    known = frozenset(learnt.costs) if learnt is not None else frozenset()
    reason = _reason(about, known, ids, release_sha256, seed)
    if anew or reason:
        return Course("anew", "you asked for it" if anew else reason, ids)
    new, count = ids - known, about.later + len(ids - known)
    if not new:
        return Course("nothing", "", new)
    if count > MOST_LATER * len(ids):
        return Course("anew", "most of it came after the model began", ids)
    return Course("later", "", new, count)


def _reason(
    about: About,
    known: frozenset[str],
    ids: frozenset[str],
    release_sha256: str,
    seed: int,
) -> str:
    """Return why the model that is there cannot go on, or nothing."""
    if about.release_sha256 != release_sha256:
        return "the release is another"
    if about.seed != seed:
        return "the seed is another"
    if not known:
        return "an older version made the model"
    if not known <= ids:
        return "the model knows entries that the history holds no more"
    return ""
