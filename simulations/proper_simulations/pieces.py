"""Finished pieces of a run in its folder, so that a run goes on where it stopped."""

import functools
import hashlib
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from proper_shared.durable import write_file
from proper_shared.errors import ConfigError

PACKAGES = (
    "proper_shared",
    "proper_client",
    "proper_coordinator",
    "proper_simulations",
)
SHOWN_ONLY = {"report", "bench"}  # folders whose code no piece is made by


class _Kept(BaseModel):
    """One piece as it lies in its file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    identity: str
    seconds: float
    piece: JsonValue


class Pieces:
    """A folder of JSON files, one for each finished piece.

    Args:
        folder: made at the first piece; it lies in the folder that is deleted to start
            the run anew.
        identity: all that the pieces depend on, in short.

    Attributes:
        seconds: how long each piece took that was asked for, whenever it was made.
    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder, self.identity = folder, identity
        self.seconds: dict[str, float] = {}

    def get(self, name: str, make: Callable[[], JsonValue]) -> JsonValue:
        """Return the piece of this name; make and keep it if it is not there.

        A damaged file is no piece, and is made anew.

        Args:
            name: of the file, without ending.
            make: returns the piece; what it returns must survive JSON.

        Raises:
            ConfigError: the folder holds pieces of another run; nothing is changed.
        """
        path = self.folder / f"{name}.json"
        kept = _read(path)
        if kept is None:
            start = time.monotonic()
            piece = make()
            kept = _Kept(
                identity=self.identity,
                seconds=time.monotonic() - start,
                piece=piece,
            )
            self.folder.mkdir(parents=True, exist_ok=True)
            write_file(path, kept.model_dump_json().encode())
        if kept.identity != self.identity:
            raise ConfigError(
                f"{self.folder} holds pieces of another run: of other settings, other "
                "data, another seed or another version of the program",
                hint="give this run a folder of its own with --out, or delete "
                f"{self.folder.parent} to run it there from the start",
            )
        self.seconds[name] = kept.seconds
        return kept.piece


def _read(path: Path) -> _Kept | None:
    try:
        return _Kept.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


@functools.cache
def code_fingerprint() -> str:
    """Return the SHA-256 (hex) of the sources that pieces are made by.

    A version alone does not do: an installation in place changes and keeps its number.
    It is taken once, so that a file that is edited meanwhile does not part a run.
    """
    digest = hashlib.sha256()
    for package in PACKAGES:
        root = Path(str(files(package)))
        for path in sorted(root.rglob("*.py")):
            name = path.relative_to(root)
            if SHOWN_ONLY.isdisjoint(name.parts):
                digest.update(f"{package}/{name.as_posix()}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
