"""The folder of an export: written at once, replaced only if it is ours, private.

Covered: a crash or a full disk leaves what was there; a folder that holds a file which
no export wrote, or one that was changed since, is never replaced; other accounts of
the machine cannot read it (permissions 0700 and 0600).
Not covered: the files are in clear, whatever the vault is, since others are to load
them; whoever gets a copy has the model.
"""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from proper_shared.durable import write_folder
from proper_shared.errors import ConfigError

RECORD = "proper-export.json"
_MADE_BY = "proper-client export"


def write_export(folder: Path, fill: Callable[[Path], None]) -> None:
    """Write an export as `folder`, all of it or nothing.

    Args:
        folder: Where it is to lie; an export there is replaced.
        fill: Writes the files into the empty folder that it is given.

    Raises:
        ConfigError: something else than an export stands there.
        OSError: the disk is full or not writable; nothing has changed.
    """
    check_place(folder)

    def fill_and_close(empty: Path) -> None:
        empty.chmod(0o700)
        fill(empty)
        wrote = sorted(path for path in empty.iterdir() if path.is_file())
        files = {path.name: _sha256(path) for path in wrote}
        record = {"made_by": _MADE_BY, "files": files}
        text = json.dumps(record, indent=1) + "\n"
        (empty / RECORD).write_text(text, encoding="utf-8")
        for path in (*wrote, empty / RECORD):
            path.chmod(0o600)

    write_folder(folder, fill_and_close)


def check_place(folder: Path) -> None:
    """Find out whether an export may be written to `folder`.

    Raises:
        ConfigError: something else than an export stands there.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_symlink() or not folder.is_dir():
        raise _in_the_way(f"{folder} is there and is no folder")
    there = {path.name for path in folder.iterdir()}
    if not there:
        return
    if RECORD not in there:
        raise _in_the_way(f"{folder} has files that no export wrote")
    wrote = _recorded(folder / RECORD)
    if strange := sorted(there - {RECORD} - wrote.keys()):
        raise _in_the_way(f"{folder} has {strange[0]}, which no export wrote")
    for name, digest in wrote.items():
        path = folder / name
        if path.is_symlink() or (path.is_file() and _sha256(path) != digest):
            raise _in_the_way(f"{path} was changed since it was exported")


def _recorded(path: Path) -> dict[str, str]:
    """Return the files that an export wrote, with their hashes."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        files = record["files"] if record["made_by"] == _MADE_BY else None
    except (ValueError, KeyError, TypeError, RecursionError):
        files = None
    if not isinstance(files, dict):
        raise _in_the_way(f"{path} is no record of an export")
    return {str(name): str(digest) for name, digest in files.items()}


def _in_the_way(what: str) -> ConfigError:
    return ConfigError(
        what, hint="name another folder, so that nothing of yours is replaced"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
