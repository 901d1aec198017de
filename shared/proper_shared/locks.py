"""Be the only process that does something in a folder.

Covered: processes of one machine; the lock goes with the process, however that ends.
Not covered: folders that several machines share.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proper_shared.errors import ConfigError


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
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"another process does `{what}` in {folder}",
                hint="end it first, or leave it to its work",
            ) from None
        yield
