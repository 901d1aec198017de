"""What a person asks `proper-client train` for; known before torch is loaded."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from proper_shared.history import User, load_history
from proper_shared.tasks import Task


@dataclass(frozen=True)
class Wish:
    """What a person asks `train` for.

    Attributes:
        history: Path of `my.json`.
        release: Folder of a release.
        task: Name of the task, where the history does not say.
        backbone: Where the release's backbone lies, if not where the release says.
        seed: Of order, dropout and fresh adapters.
    """

    history: Path
    release: Path
    task: str | None = None
    backbone: str | None = None
    seed: int = 0

    @cached_property
    def asked(self) -> tuple[Task, User]:
        """The task and the person of the history, which is read once.

        Raises:
            DataError: the history is wrong.
        """
        return load_history(self.history, self.task)
