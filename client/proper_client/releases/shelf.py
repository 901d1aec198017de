"""The releases of a device: the one in use, the one before, and whose keys count.

    releases/root.json       the pinned root file
    releases/seen/           what the framework saw: it refuses anything older
    releases/incoming/       downloads that are not finished, by SHA-256
    releases/<sha256>/       a release that passed all checks, by its digest
    releases/in-use.json     which one is used, and which one before

A release counts once `in-use.json` names it; that file is replaced in one step.

Covered: a kill or a full disk at any step (the old release stays in use); a file that
was changed on the shelf is refused by whoever opens the release.
Not covered: releases that are no longer named stay, since personal models may stand on
them; remove their folders by hand.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from proper_shared.durable import sweep, write_file, write_folder
from proper_shared.errors import ConfigError, FormatError
from proper_shared.release import STARTER

FILE_MODE, FOLDER_MODE = 0o600, 0o700
INDEX, ROOT = "in-use.json", "root.json"


class Kept(BaseModel):
    """A release on the shelf.

    Attributes:
        digest: SHA-256 of its manifest; it names the folder.
        version: of the signed list that it came with.
        backbone: over which it was checked: `nano`, or a folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    digest: str = Field(pattern="^[0-9a-f]{64}$")
    version: int = Field(ge=1)
    backbone: str


class _Index(BaseModel):
    """The whole of `in-use.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = 1
    current: Kept
    previous: Kept | None = None


class Shelf:
    """The releases below one home.

    Args:
        home: the folder of a person's private files; nothing is made by reading.
    """

    def __init__(self, home: Path) -> None:
        self.folder = home / "releases"

    @property
    def incoming(self) -> Path:
        """Where downloads lie until they are whole."""
        return self.folder / "incoming"

    @property
    def seen(self) -> Path:
        """What the framework saw."""
        return self.folder / "seen"

    def prepare(self) -> None:
        """Make the folders.

        Raises:
            OSError: the home cannot be written.
        """
        for place in (self.folder, self.incoming, self.seen):
            place.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
            place.chmod(FOLDER_MODE)
        sweep(self.folder)

    def pinned(self) -> bytes | None:
        """Return the pinned root file, if there is one."""
        path = self.folder / ROOT
        return path.read_bytes() if path.is_file() else None

    def pin(self, root: bytes) -> None:
        """Trust a root file from now on.

        Raises:
            ConfigError: another one is pinned.
        """
        found = self.pinned()
        if found is not None and found != root:
            raise ConfigError(
                f"another root is pinned in {self.folder}",
                hint="a source keeps its root; choose another home for another one",
            )
        write_file(self.folder / ROOT, root, FILE_MODE)

    def place(self, kept: Kept) -> Path:
        """Return the folder of a release."""
        return self.folder / kept.digest

    def current(self) -> Kept | None:
        """Return the release in use, if there is one.

        Raises:
            FormatError: the index is damaged.
        """
        index = self._read()
        return None if index is None else index.current

    def default(self) -> tuple[Path, str | None]:
        """Return what `train` starts from: a release, and its backbone if known."""
        kept = self.current()
        return (STARTER, None) if kept is None else (self.place(kept), kept.backbone)

    def take(self, kept: Kept, files: Mapping[str, Path]) -> None:
        """Put a checked release on the shelf and use it from now on.

        Args:
            kept: what it is called.
            files: where each of its files lies; they are moved.

        Raises:
            OSError: the disk is full or not writable; the old release is in use.
        """

        def fill(empty: Path) -> None:
            empty.chmod(FOLDER_MODE)
            for name, path in files.items():
                (empty / name).parent.mkdir(exist_ok=True, mode=FOLDER_MODE)
                path.rename(empty / name)

        write_folder(self.place(kept), fill)
        self.use(kept)
        shutil.rmtree(self.incoming, ignore_errors=True)  # of other releases, cut off

    def use(self, kept: Kept) -> None:
        """Use a release of the shelf from now on; the one before is remembered."""
        index = self._read()
        if index is None:
            self._write(_Index(current=kept))
        elif index.current != kept:
            self._write(_Index(current=kept, previous=index.current))

    def back(self) -> Kept:
        """Go back to the release before, and return it.

        Raises:
            ConfigError: there is none, or its folder is gone.
        """
        index = self._read()
        if index is None or index.previous is None:
            raise ConfigError(
                "there is no release before this one",
                hint="proper-client pull SOURCE fetches the newest",
            )
        if not self.place(index.previous).is_dir():
            raise ConfigError(f"{self.place(index.previous)} is gone")
        self._write(_Index(current=index.previous, previous=index.current))
        return index.previous

    def _write(self, index: _Index) -> None:
        text = index.model_dump_json(indent=1)
        write_file(self.folder / INDEX, text.encode(), FILE_MODE)

    def _read(self) -> _Index | None:
        path = self.folder / INDEX
        if not path.is_file():
            return None
        try:
            return _Index.model_validate_json(path.read_bytes())
        except ValidationError:
            raise FormatError(
                f"{path} is damaged",
                hint="remove it, and pull again",
            ) from None
