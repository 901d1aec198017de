"""A file of lines that only grows: each line is on the disk before `append` returns.

Covered: a kill at any byte of a line (what was cut off stays, and is reported when the
file is opened again), a full disk, a second process that writes the same file.
Not covered: somebody who edits the file as this user; a disk that lies about flushing;
two processes at once on Windows, which has no such lock.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from proper_shared.durable import sync_folder
from proper_shared.errors import ConfigError
from proper_shared.locks import hold

_WINDOW = 4096


class Journal:
    """An append-only file of lines; the vault hands it out.

    Args:
        path: its place; the folder is there.
        mode: its permissions.

    Attributes:
        last: the last line, without its end; empty in a new file.
        was_cut: whether that line had no end, as a crash in the middle leaves it.

    Raises:
        ConfigError: another process has it open.
        OSError: it cannot be read or written.
    """

    def __init__(self, path: Path, mode: int) -> None:
        # O_NOFOLLOW: never write through a link that somebody else put there.
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
        self._descriptor: int | None = os.open(path, flags, mode)
        try:
            _lock(self._descriptor, path)
            path.chmod(mode)  # whatever the umask says
            self.last, whole = _last_line(path)
            self.was_cut = not whole
            if self.was_cut:
                self._write(b"\n")  # so that the next line is one of its own
            sync_folder(path.parent)
        except BaseException:
            self.close()
            raise

    def append(self, line: bytes) -> None:
        """Add one line and wait until it is on the disk.

        Args:
            line: without an end of line in it.

        Raises:
            ValueError: there is one.
            OSError: it could not be written; the file is closed, since a part of the
                line may stand in it. Opening it again puts that right.
        """
        if b"\n" in line:
            raise ValueError("got an end of line within a line")
        self._write(line + b"\n")
        self.last = line

    def close(self) -> None:
        """Let others write the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, data: bytes) -> None:
        if self._descriptor is None:
            raise OSError("the file is closed")
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            os.fsync(self._descriptor)
        except BaseException:
            self.close()
            raise


def _lock(descriptor: int, path: Path) -> None:
    """Keep the file for this process until it is closed, also by a crash."""
    try:
        hold(descriptor)
    except BlockingIOError:
        raise ConfigError(
            f"{path.name} is being written by another process",
            hint="end the other `proper-client participate`, or give this one a --home",
        ) from None


def _last_line(path: Path) -> tuple[bytes, bool]:
    """Return the last line, and whether it has an end; reads no more than it has to."""
    size, window = path.stat().st_size, _WINDOW
    with path.open("rb") as file:
        while True:
            start = max(0, size - window)
            file.seek(start)
            block = file.read(size - start)
            whole = block.endswith(b"\n") or not block
            _, found, line = block.removesuffix(b"\n").rpartition(b"\n")
            if found or start == 0:
                return line, whole
            window *= 2
