"""Forget entries: out of the history, out of the model, and look whether any is left.

The model is trained again from what is left, from nothing and by the same seed. So it
is, bit for bit, the one of a person who never had the entries. The history changes
first; whoever is stopped then has a model that knows more than its history, which
`status` says and `train` mends.

Covered: history, model, checkpoint, and what killed writers left beside them.
Not covered: what the disk still holds of deleted files (sealed, if the vault was
locked), copies in backups, the file that was imported, sums of federations.
"""

from dataclasses import dataclass

from proper_client.assistant import Learning, Progress, learn
from proper_client.choosing import Part
from proper_client.kept import About, about_of
from proper_client.remains import Search, search
from proper_client.standing import base_of
from proper_client.vault import Vault
from proper_client.wish import Taken, Wish
from proper_shared.tasks import get_task


@dataclass(frozen=True)
class Forgotten:
    """What came of it, for one task.

    Attributes:
        part: what was forgotten.
        learning: the model of what is left; None where there is none any more.
        search: what looking for the entries came to.
    """

    part: Part
    learning: Learning | None
    search: Search


@dataclass(frozen=True)
class _Left(Taken):
    """What is left of a history; keeping it takes the rest out."""

    def keep(self, vault: Vault) -> None:
        """Write what is left; only for who is alone there.

        Raises:
            ConfigError: as `Taken.keep`.
        """
        name = self.task.name
        self.check(vault)
        vault.drop_checkpoint(name)
        if self.entries:
            vault.keep_history(name, self.entries)
        else:
            vault.drop_history(name)


def forget(
    vault: Vault,
    part: Part,
    now: str,
    progress: Progress | None = None,
    *,
    delete_model: bool = False,
) -> Forgotten:
    """Take entries out of a history, and train its model again from what is left.

    Args:
        vault: The private files.
        part: What is to be forgotten.
        now: The time, ISO 8601.
        progress: Called after each step.
        delete_model: Delete the model, and train none.

    Raises:
        ConfigError: the release of the model is gone, or the disk is not writable.
            Before the history is written, nothing is changed.
        FormatError: a file is damaged.
        ModelError: the backbone is gone.
    """
    task = get_task(part.task)
    left = _Left(task, part.left, before=part.before)
    about = None if delete_model or part.whole else about_of(vault, part.task)
    learning = None
    if about is not None:
        learning = learn(_again(about), vault, now, progress, taken=left)
    else:
        with vault.learning():
            left.keep(vault)
            if delete_model or part.whole:
                vault.drop_model(part.task)
    gone = [entry for _, entry in part.gone]
    found = search(vault, gone, part.left, words=task.kind == "text")
    return Forgotten(part, learning, found)


def _again(about: About) -> Wish:
    """Ask for the same training, of other entries."""
    return Wish(None, base_of(about), about.task, about.backbone, about.seed, anew=True)
