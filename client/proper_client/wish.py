"""What a person asks `proper-client train` for; known before torch is loaded.

`take_in` puts what is new in a history beside what the vault holds, in memory alone;
whoever trains writes it once all else was looked at.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from proper_client.importers.formats import Options
from proper_client.importers.importing import Import, gather
from proper_client.importers.telling import left_out
from proper_client.kept import about_of, pick
from proper_client.releases.shelf import Shelf
from proper_client.standing import Base, at_hand, base_of, chosen
from proper_client.vault import Vault
from proper_shared.blank import Blank
from proper_shared.errors import ConfigError, DataError, FormatError
from proper_shared.history import Entry
from proper_shared.release import STARTER
from proper_shared.tasks import Task, get_task


@dataclass(frozen=True)
class Wish:
    """What a person asks `train` for.

    Attributes:
        history: Path of `my.json`, or of a source of any format that is imported; None
            to learn from what the vault holds.
        release: Folder of a release, or `none`; None for the one of before, see
            `settled`.
        task: Name of the task, where the history does not say.
        backbone: Where the release's backbone lies, if not where the release says.
        seed: Of order, dropout and fresh adapters; None for the one of before, or 0.
        anew: Start from nothing also where a model could learn what is new.
        resume: There has to be a training that was cut short.
    """

    history: Path | None = None
    release: Base | None = None
    task: str | None = None
    backbone: str | None = None
    seed: int | None = None
    anew: bool = False
    resume: bool = False


@dataclass(frozen=True)
class Taken:
    """A history as it is to be learnt.

    Attributes:
        task: What is asked of its texts.
        entries: All of them, the oldest first.
        done: What came of the source, if one was given.
        before: What the vault held when the source was read.
    """

    task: Task
    entries: tuple[Entry, ...]
    done: Import | None = None
    before: tuple[Entry, ...] = ()

    def keep(self, vault: Vault) -> None:
        """Write what is new into the vault; only for who is alone there.

        Raises:
            ConfigError: the disk is full or not writable, or the vault holds other
                entries by now. What it holds is as it was.
        """
        if self.added:
            self.check(vault)
            vault.keep_history(self.task.name, self.entries)

    def check(self, vault: Vault) -> None:
        """Find out whether the vault still holds what it held.

        Raises:
            ConfigError: it does not.
        """
        if vault.history(self.task.name) != self.before:
            raise ConfigError(
                f"another process changed the history of {self.task.name} meanwhile",
                hint="repeat the command",
            )

    @property
    def added(self) -> int:
        """How many entries the vault does not hold yet."""
        return 0 if self.done is None else self.done.gathering.count(new=True)

    @property
    def left_out(self) -> list[str]:
        """Lines for what is in the source and is not learnt, with the reasons."""
        return [] if self.done is None else left_out(self.done)


def take_in(wish: Wish, vault: Vault) -> Taken:
    """Read what is to be learnt; nothing is written.

    Raises:
        DataError: the history is wrong, or none is given and none is kept.
        ConfigError: no task of this name, or several histories are kept and none is
            named.
        FormatError: what the vault holds is damaged.
    """
    if wish.history is None:
        kept = vault.histories()
        if not kept:
            raise DataError(
                f"there is no history in {vault.home} to learn from",
                hint="give one: proper-client train --history my.json",
            )
        name = pick(kept, wish.task, "history")
        return Taken(get_task(name), vault.history(name))
    before: tuple[Entry, ...] = ()

    def look_up(task: Task) -> tuple[Entry, ...]:
        nonlocal before
        before = vault.history(task.name)
        return before

    done = gather(wish.history, Options(task=wish.task), beside=look_up)
    return Taken(done.task, tuple(done.gathering.entries()), done, before)


def settled(wish: Wish, vault: Vault, task: str) -> Wish:
    """Return the wish with release and seed filled in.

    Without a release named, a model stays on the one that its person chose; on one of
    the shelf, the starter or none it moves to what `train` starts from today.

    Raises:
        ConfigError: there is no such release, or it was made for another task.
        FormatError: the model that is there, a release or the shelf is damaged.
    """
    try:
        about = about_of(vault, task)
    except FormatError:
        if not wish.anew:
            raise
        about = None  # it is damaged, and is replaced
    seed = wish.seed if wish.seed is not None else (about.seed if about else 0)
    if wish.release is not None:
        return replace(wish, seed=seed, release=chosen(wish.release, task, seed))
    default, backbone = Shelf(vault.home).default()
    release = at_hand(default, task, seed)
    if about is not None:
        before = base_of(about)
        if isinstance(before, Blank):
            backbone = about.backbone if isinstance(release, Blank) else backbone
        elif before != STARTER and not before.is_relative_to(vault.home.resolve()):
            release, backbone = chosen(before, task, seed), about.backbone
    return replace(wish, seed=seed, release=release, backbone=wish.backbone or backbone)


def announced(wish: Wish, plan: Wish) -> list[str]:
    """Return a line if a training starts from nothing that others share.

    Args:
        wish: as the person asked.
        plan: the same, settled.
    """
    if wish.release is not None or not isinstance(plan.release, Blank):
        return []
    line = (
        f"no release for {plan.release.task} is here: starting from the plain backbone"
    )
    return [f"{line} {plan.backbone or 'nano'}, nothing that others share is in it"]
