"""Put files on disk so that a crash leaves the old state or the new one, never neither.

A file is written beside its place, flushed to the disk, and renamed; then the folder is
flushed too, because the rename lives there.

Covered: a full disk, a kill at any step, two writers at once (the last one wins).
Not covered: a disk that lies about flushing; what a kill leaves beside the place (a
file whose name starts with a dot and ends in `.tmp`), see `sweep`.
"""

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

TEMPORARY = ".tmp"
_PIECE = 1 << 20


def write_file(
    path: Path, data: bytes, mode: int = 0o644, *, flush: bool = True
) -> None:
    """Replace `path` by `data` in one step, with exactly the permissions `mode`.

    Args:
        path: of the file.
        data: all of it.
        mode: its permissions.
        flush: wait until the disk has it. Without, it outlives a kill of the process
            and not a crash of the machine.

    Raises:
        OSError: the disk is full or the folder is not writable; `path` is as before.
    """
    write_pieces(path, [data], mode, flush=flush)


def write_pieces(
    path: Path, pieces: Iterable[bytes], mode: int = 0o644, *, flush: bool = True
) -> None:
    """Replace `path` as `write_file` does, by what need not be in memory as a whole.

    Raises:
        OSError: the disk is full or the folder is not writable; `path` is as before,
            also where making a piece raised something.
    """
    temporary = _beside(path)
    try:
        _write(temporary, pieces, mode, flush=flush)
        temporary.replace(path)
    except BaseException:  # also Ctrl-C: nothing half written stays
        temporary.unlink(missing_ok=True)
        raise
    if flush:
        sync_folder(path.parent)


def copy_file(source: Path, path: Path, mode: int = 0o644) -> None:
    """Replace `path` by a copy of `source` in one step, however large it is.

    Raises:
        OSError: the disk is full or the folder is not writable; `path` is as before.
    """
    with source.open("rb") as original:
        write_pieces(path, iter(lambda: original.read(_PIECE), b""), mode)


def sync_tree(folder: Path) -> None:
    """Flush all files and names below `folder` to the disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            _sync(Path(place) / name)
        sync_folder(Path(place))


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Replace the folder `path` by what `fill` writes into an empty one.

    A folder that stood there is moved aside first and deleted last: a crash in between
    leaves it beside its place.

    Raises:
        OSError: the disk is full or the parent is not writable; `path` is as before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    shutil.rmtree(temporary, ignore_errors=True)  # of a killed one with our number
    try:
        temporary.mkdir()
        fill(temporary)
        sync_tree(temporary)
        _swap(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(path.parent)
    # Only now that a whole folder stands there, what was moved aside may go.
    for left in path.parent.glob(f".{path.name}.*{TEMPORARY}"):
        if is_left_behind(left):
            shutil.rmtree(left, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove files that killed writers left in `folder`; leave living writers alone."""
    for left in folder.glob(f".*{TEMPORARY}"):
        if left.is_file() and is_left_behind(left):
            left.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Flush the names in `folder` to the disk."""
    _sync(folder)


def _beside(path: Path) -> Path:
    """Name a temporary file or folder next to `path`, one for each process."""
    return path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")


def _write(path: Path, pieces: Iterable[bytes], mode: int, *, flush: bool) -> None:
    path.unlink(missing_ok=True)  # left by a killed process that had our number
    # O_EXCL: never write through a link that somebody else put there.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, mode)
    try:
        path.chmod(mode)  # whatever the umask says
        for piece in pieces:
            left = memoryview(piece)
            while left:
                left = left[os.write(descriptor, left) :]  # it may take a part only
        if flush:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _swap(new: Path, place: Path) -> None:
    """Move the folder `new` to `place`; put the old one back where that fails."""
    old = place.with_name(f".{place.name}.old.{os.getpid()}{TEMPORARY}")
    shutil.rmtree(old, ignore_errors=True)
    had_one = place.exists()
    if had_one:
        place.rename(old)
    try:
        new.rename(place)
    except BaseException:
        if had_one:
            old.rename(place)
        raise


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_left_behind(left: Path) -> bool:
    """Tell whether no other living process writes `left`; the number is its writer."""
    pid = left.name.removesuffix(TEMPORARY).rpartition(".")[2]
    return pid.isdigit() and (int(pid) == os.getpid() or not _is_running(int(pid)))


def _is_running(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        try:
            os.kill(pid, 0)
        except PermissionError:
            return True  # it runs, as somebody else
        return True
    return False
