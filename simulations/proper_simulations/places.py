"""Whether results can be put where they are wanted, told before hours are spent."""

import os
from pathlib import Path

from proper_shared.errors import ConfigError
from proper_shared.release import HEADER


def check_out(out: Path) -> None:
    """Refuse a folder in which a run could not put its results at its end.

    Nothing is made or changed: what else is wrong with a run may still be found.

    Raises:
        ConfigError: something of somebody else stands there, or nothing can be written.
    """
    release = out / "release"
    work = out / "work"
    for folder in (out, work, work / "exam", work / "federation", release):
        check_folder(folder)
    if release.is_symlink():
        raise ConfigError(
            f"{release} is a link, expected a folder or nothing",
            hint="name another folder with --out: a release is replaced as a whole",
        )
    if release.exists() and any(release.iterdir()) and not (release / HEADER).is_file():
        raise ConfigError(
            f"{release} is there and is no release",
            hint="name another folder with --out, so that nothing of yours is replaced",
        )
    for name in ("results.json", "report.html"):
        check_file(out / name)


def check_file(path: Path) -> None:
    """Refuse a place where no file could be put; folders above it may be missing.

    Raises:
        ConfigError: a folder stands there, or nothing can be written.
    """
    if path.is_dir():
        raise ConfigError(
            f"{path} is a folder, expected a file or nothing",
            hint="name a file, or another place",
        )
    check_folder(path.parent)


def check_folder(folder: Path) -> None:
    """Refuse a place that is no folder and cannot become one, or cannot be written.

    Raises:
        ConfigError: a file stands there or above it, or nothing can be written.
    """
    above = (folder, *folder.absolute().parents)
    there = next(path for path in above if path.exists() or path.is_symlink())
    if not there.is_dir():
        what = "a file" if there.exists() else "a link to nothing"
        raise ConfigError(
            f"{there} is {what}, expected a folder or nothing",
            hint="name another place",
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(
            f"nothing can be written to {there}",
            hint="name another place, or change its permissions",
        )
