"""A disk that fails: each call that changes it is a step, and one step can be struck.

What is written through `os` is covered, so everything that the vault writes. A strike
kills the process (of a write half the bytes arrive), or cuts the power: bytes that were
not flushed are gone, and of changed names whose folder was not flushed none, all or all
but the oldest stay. Or the call fails, once or from then on.
"""

import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Kind = Literal["kill", "no names", "all names", "later names", "full", "EIO"]
KILLS: tuple[Kind, ...] = ("kill", "no names", "all names", "later names")
FAULTS: tuple[Kind, ...] = ("full", "EIO")
STEPS = ("open", "write", "fsync", "replace", "unlink", "mkdir", "chmod")
GROWS = {"open", "write", "fsync", "mkdir"}  # what a full disk refuses
KILLED = 9
real = {name: getattr(os, name) for name in STEPS}


@dataclass
class Disk:
    """Counts steps and strikes one.

    Attributes:
        at: number of the step, from 1.
        kind: what happens there.
        count: steps so far.
        open_files: path by descriptor.
        dirty: files with bytes that were not flushed.
        pending: what stood where a name was changed and its folder not flushed.
    """

    at: int
    kind: Kind
    count: int = 0
    open_files: dict[int, Path] = field(default_factory=dict)
    dirty: set[Path] = field(default_factory=set)
    pending: list[tuple[Path, bytes | None]] = field(default_factory=list)

    def install(self, patch):
        for name in STEPS:
            patch.setattr(os, name, getattr(self, name))

    def open(self, path, flags, *args, **kwargs):
        if flags & os.O_CREAT:
            self.step("open")
        descriptor = real["open"](path, flags, *args, **kwargs)
        self.open_files[descriptor] = Path(path)
        return descriptor

    def write(self, descriptor, data):
        self.dirty.add(self.open_files[descriptor])
        self.step("write", lambda: real["write"](descriptor, data[: len(data) // 2]))
        return real["write"](descriptor, data)

    def fsync(self, descriptor):
        self.step("fsync")
        real["fsync"](descriptor)
        path = self.open_files[descriptor]
        self.dirty.discard(path)
        self.pending = [p for p in self.pending if p[0].parent != path]

    def replace(self, source, target, **kwargs):
        self.step("replace")
        self.renaming(Path(target))
        real["replace"](source, target, **kwargs)
        if Path(source) in self.dirty:
            self.dirty.add(Path(target))

    def unlink(self, path, **kwargs):
        if Path(path).exists():
            self.step("unlink")
            self.renaming(Path(path))
        real["unlink"](path, **kwargs)

    def mkdir(self, path, *args, **kwargs):
        self.step("mkdir")
        real["mkdir"](path, *args, **kwargs)

    def chmod(self, path, *args, **kwargs):
        self.step("chmod")
        real["chmod"](path, *args, **kwargs)

    def renaming(self, path):
        self.pending.append((path, path.read_bytes() if path.exists() else None))

    def step(self, name, half=lambda: None):
        self.count += 1
        if self.kind in KILLS and self.count == self.at:
            half()
            self.lose()
            os._exit(KILLED)
        if self.kind == "EIO" and self.count == self.at:
            raise OSError(errno.EIO, "Input/output error")
        if self.kind == "full" and self.count >= self.at and name in GROWS:
            half()
            raise OSError(errno.ENOSPC, "No space left on device")

    def lose(self):
        """Leave on the disk what a power cut leaves."""
        if self.kind == "kill":
            return
        undone = {"no names": self.pending, "later names": self.pending[:1]}
        for path, before in reversed(undone.get(self.kind, [])):
            if before is None:
                path.unlink(missing_ok=True)
            else:
                path.write_bytes(before)
        for path in self.dirty:
            if path.exists():
                path.write_bytes(b"")


def killed_everywhere(
    kind: Kind, begin: Callable[[], object], act: Callable[[], object], patch
) -> Iterator[int]:
    """Begin anew and do `act` in a process that dies at step 1, then 2, and so on.

    Yields the step after each death, and at the end 0, when `act` came through.
    """
    for at in range(1, 1000):
        begin()
        if (child := os.fork()) == 0:
            try:
                disk = Disk(at, kind)
                disk.install(patch)
                act()
                disk.lose()  # what is done outlives a power cut
                os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code not in {0, KILLED}:
            raise AssertionError(f"step {at} ended with {code}")
        yield at if code else 0
        if code == 0:
            return


def failing_everywhere(
    kind: Kind, begin: Callable[[], object], act: Callable[[], object], patch
) -> Iterator[Exception | None]:
    """Begin anew and do `act` on a disk that fails at step 1, then 2, and so on.

    Yields what it raised, and at the end None.
    """
    for at in range(1, 1000):
        begin()
        caught: Exception | None = None
        with patch.context() as inner:
            disk = Disk(at, kind)
            disk.install(inner)
            try:
                act()
            except Exception as error:  # noqa: BLE001 - the test looks at it
                caught = error
        yield caught
        if caught is None and disk.count < at:
            return


def shortened(patch, nbytes: int) -> None:
    """Let every write take so many bytes at most."""
    patch.setattr(os, "write", lambda fd, data: real["write"](fd, data[:nbytes]))
