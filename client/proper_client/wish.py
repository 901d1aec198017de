"""What a person asks `proper-client train` for; known before torch is loaded."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from proper_client.importers.importing import Import, read_history
from proper_client.importers.telling import left_out
from proper_shared.history import User
from proper_shared.tasks import Task


@dataclass(frozen=True)
class Wish:
    """What a person asks `train` for.

    Attributes:
        history: Path of `my.json`, or of a source of any format that is imported.
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

    @property
    def asked(self) -> tuple[Task, User]:
        """The task and the person of the history, which is read once.

        Raises:
            DataError: the history is wrong.
        """
        task, user, _ = self._read
        return task, user

    @property
    def left_out(self) -> list[str]:
        """Lines for what is in the history and is not learnt, with the reasons.

        Raises:
            DataError: the history is wrong.
        """
        done = self._read[2]
        return [] if done is None else left_out(done)

    @cached_property
    def _read(self) -> tuple[Task, User, Import | None]:
        return read_history(self.history, self.task)
