"""Texts that anybody may see, by which an operator judges what a sum did to a model.

Each file is the history of one public person, in the format that clients train from
(docs/history.md). Nobody's texts are asked for; an operator writes or finds some that
are like those of the members.

Covered: files that are no histories, or of another task; they are read before a round.
Not covered: whether they are like the members' texts. Where they are not, they may
speak against a good round.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from proper_shared.errors import ConfigError
from proper_shared.history import User, load_history

KEY = "public_texts"


@dataclass(frozen=True)
class PublicTexts:
    """The histories of public people.

    Attributes:
        people: one for each file.
    """

    people: tuple[User, ...]

    @property
    def digest(self) -> str:
        """SHA-256 (hexadecimal) of all that they wrote."""
        return hashlib.sha256(repr(self.people).encode()).hexdigest()


def read_public_texts(place: Path, task: str) -> PublicTexts:
    """Read a history, or all histories (*.json) in a folder.

    Args:
        place: a file or a folder.
        task: of the federation.

    Raises:
        ConfigError: there is nothing.
        DataError: a file is no history, or of another task.
    """
    files = sorted(place.glob("*.json")) if place.is_dir() else [place]
    if not files or not files[0].is_file():
        raise ConfigError(
            f"there are no public texts in {place}",
            hint=f"let {KEY} name a history, or a folder of histories (*.json)",
        )
    return PublicTexts(tuple(load_history(file, task)[1] for file in files))
