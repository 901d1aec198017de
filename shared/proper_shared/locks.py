"""Be the only process that does something in a folder, or with a file.

Covered: processes of one machine; the lock goes with the process, however that ends.
Not covered: Windows, which has no such lock, so that two may be at it there; folders
that several machines share.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proper_shared.errors import ConfigError

if sys.platform != "win32":
    import fcntl


def hold(descriptor: int, *, shared: bool = False, wait: bool = False) -> None:
    """Keep an open file for this process until it is closed, also by a crash.

    Args:
        descriptor: of the file.
        shared: with all others that hold it so, and with nobody who holds it alone.
        wait: until it is free.

    Raises:
        BlockingIOError: another process holds it, and nobody waits.
    """
    if sys.platform == "win32":
        return
    how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    fcntl.flock(descriptor, how if wait else how | fcntl.LOCK_NB)


@contextmanager
def alone(folder: Path, what: str) -> Iterator[None]:
    """Be the only process that does `what` in a folder.

    Args:
        folder: it is there, and can be written.
        what: letters and dashes; also the name of the lock.

    Raises:
        ConfigError: another process does it.
    """
    with (folder / f".{what}.lock").open("a") as file:
        try:
            hold(file.fileno())
        except BlockingIOError:
            raise ConfigError(
                f"another process does `{what}` in {folder}",
                hint="end it first, or leave it to its work",
            ) from None
        yield
