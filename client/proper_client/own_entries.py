"""The entries that belong to a personal model: of a source they name, or those kept.

Known before torch is loaded.
"""

from pathlib import Path

from proper_client.importers.formats import Options
from proper_client.importers.importing import gather
from proper_client.kept import choose
from proper_client.vault import Vault
from proper_shared.errors import DataError
from proper_shared.history import OWNER, Entry, User
from proper_shared.tasks import Task, get_task


def entries_for(
    vault: Vault, task: str | None, history: Path | None
) -> tuple[str, tuple[Entry, ...]]:
    """Return a model's name and its person's entries, oldest first; maybe none.

    Args:
        vault: Holds the model, and perhaps the entries.
        task: Which of the models; needed where there are several.
        history: A source of any format that is imported, if not what the vault holds.

    Raises:
        DataError: there is no personal model, or the history is wrong or of another.
        ConfigError: there are several models and `task` is none of them.
        FormatError: what the vault keeps is damaged.
    """
    name = choose(vault, task)
    if history is None:
        return name, vault.history(name)
    done = gather(history, Options(task=name))
    if done.task.name != name:
        raise DataError(
            f"the history is of {done.task.name}, the personal model of {name}",
            hint="name the model of this history by --task, or give another history",
        )
    return name, tuple(done.gathering.entries())


def person_of(
    vault: Vault, task: str | None, history: Path | None
) -> tuple[Task, User]:
    """Return the person of a model with their entries, of which there is one at least.

    Args:
        vault: as `entries_for`.
        task: likewise.
        history: likewise.

    Raises:
        DataError: as `entries_for`, or there are no entries.
        ConfigError: as `entries_for`.
        FormatError: as `entries_for`.
    """
    name, entries = entries_for(vault, task, history)
    if not entries:
        raise DataError(
            f"there are no entries for {name} in {vault.home}",
            hint="name your history: --history my.json",
        )
    return get_task(name), User(OWNER, entries)
