"""The entries that a person is asked about: of a source they name, or those kept."""

from pathlib import Path

from proper_client.importers.formats import Options
from proper_client.importers.importing import gather
from proper_client.vault import Vault
from proper_shared.errors import DataError
from proper_shared.history import OWNER, User
from proper_shared.tasks import Task, get_task


def person_of(vault: Vault, task: str, history: Path | None) -> tuple[Task, User]:
    """Return the person with their entries, the oldest first.

    Args:
        vault: Holds the entries, if no source is given.
        task: Name of the task.
        history: A source of any format that is imported.

    Raises:
        DataError: anything is wrong with the source, or no entries are kept.
        ConfigError: the vault cannot be read.
        FormatError: what it holds is damaged.
    """
    if history is not None:
        done = gather(history, Options(task=task))
        return done.task, User(OWNER, tuple(done.gathering.entries()))
    entries = vault.history(task)
    if not entries:
        raise DataError(
            f"there are no entries for {task} in {vault.home}",
            hint="name your history: --history my.json",
        )
    return get_task(task), User(OWNER, entries)
