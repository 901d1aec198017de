"""Bring a file into a private folder, in as many tries as it takes.

What has come lies under the SHA-256 that was signed, so a broken download goes on where
it was. Bytes that turn out to be others are removed, and the next try starts afresh.
"""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from proper_client.releases.refusal import KEPT, Refused
from proper_client.releases.source import MissingError, Source, paced
from proper_shared.errors import ConfigError
from proper_shared.release import FileRecord
from proper_shared.roles import TARGETS

Progress = Callable[[str, int, int], None]
RESERVE_NBYTES = 1 << 24  # that stay free on the disk


class Download:
    """Fetches files of one source.

    Args:
        source: not trusted.
        incoming: private folder; it is there.
        progress: told the name, bytes that are here, and bytes in all.
    """

    def __init__(self, source: Source, incoming: Path, progress: Progress) -> None:
        self._source, self._incoming, self._progress = source, incoming, progress

    def fetch(self, name: str, record: FileRecord) -> None:
        """Bring exactly as many bytes as were signed.

        Raises:
            ConfigError: the disk is too small.
            DataError: the source cannot be reached; what has come is kept.
            Refused: there are more bytes, or fewer, or none.
        """
        path = self._incoming / record.sha256
        here = path.stat().st_size if path.exists() else 0
        if here > record.nbytes:
            path.unlink()
            here = 0
        if here == record.nbytes and path.exists():
            return
        self._check_room(record.nbytes - here)
        folder, _, base = name.rpartition("/")
        served = "/".join(filter(None, (TARGETS, folder, f"{record.sha256}.{base}")))
        try:
            with path.open("ab") as file:
                path.chmod(0o600)
                for chunk in paced(self._source.chunks(served, here)):
                    here += len(chunk)
                    check_end(name, here, record.nbytes)
                    file.write(chunk)
                    self._progress(name, here, record.nbytes)
        except MissingError:
            raise Refused("missing", f"the source has no {name}") from None
        check_whole(name, here, record.nbytes)

    def verify(self, name: str, record: FileRecord) -> None:
        """Compare the private copy with what was signed.

        Raises:
            Refused: it is another file; it is removed.
        """
        path = self._incoming / record.sha256
        with path.open("rb") as file:
            got = hashlib.file_digest(file, "sha256").hexdigest()
        if got != record.sha256:
            path.unlink()
            raise Refused(
                "sha256",
                f"{name} has SHA-256 {got[:12]}, expected {record.sha256[:12]}",
            )

    def _check_room(self, nbytes: int) -> None:
        free = shutil.disk_usage(self._incoming).free
        if free < nbytes + RESERVE_NBYTES:
            raise ConfigError(
                f"{nbytes:,} bytes are to come, and the disk has {free:,} free",
                hint=f"free some space and repeat; {KEPT}",
            )


def check_whole(name: str, here: int, nbytes: int) -> None:
    """Refuse a file that ends before the bytes that were signed.

    Raises:
        Refused: it does; what has come is kept.
    """
    if here < nbytes:
        raise Refused(
            "truncated",
            f"{name} ended after {here:,} of {nbytes:,} bytes",
            hint=f"repeat it, the download goes on where it was; {KEPT}",
        )


def check_end(name: str, here: int, nbytes: int) -> None:
    """Refuse a file that goes on after the bytes that were signed.

    Raises:
        Refused: it does.
    """
    if here > nbytes:
        raise Refused("endless", f"{name} goes on after {nbytes:,} bytes")
