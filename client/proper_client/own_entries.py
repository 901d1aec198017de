"""The entries that belong to a personal model: from a file, or as the vault keeps them.

Known before torch is loaded.
"""

from pathlib import Path

from proper_client.importers.formats import Options
from proper_client.importers.importing import gather
from proper_client.kept import choose
from proper_client.vault import Vault
from proper_shared.history import Entry


def entries_for(
    vault: Vault, task: str | None, history: Path | None
) -> tuple[str, tuple[Entry, ...]]:
    """Return a model's name and its person's entries, oldest first; maybe none.

    Args:
        vault: Holds the model, and perhaps the entries.
        task: Which of the models; needed where there are several.
        history: Where the entries lie, if not in the vault.

    Raises:
        DataError: there is no personal model, or the history is wrong.
        ConfigError: there are several models and `task` is none of them.
        FormatError: what the vault keeps is damaged.
    """
    name = choose(vault, task)
    if history is None:
        return name, vault.history(name)
    return name, tuple(gather(history, Options(task=name)).gathering.entries())
