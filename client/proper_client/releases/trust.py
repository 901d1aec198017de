"""Which files are the newest release, says The Update Framework; nothing else does.

The pinned root file says whose keys count. From there the framework's own updater walks
to the newest root, timestamp, snapshot and targets, and keeps what it saw.

Covered, each by a name of its own: an older release (rollback), an old state that is
kept alive (freeze), files of two states (mix-and-match), keys that do not count
(wrong-key), files without end (endless) or that are none (malformed).
Not covered: who sends a device nothing for a week is noticed by the date alone; a clock
that was set back does not see that.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from tuf.api import exceptions
from tuf.api.metadata import Metadata, Root, Targets
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from proper_client.releases.refusal import KEPT, Refused
from proper_client.releases.source import MissingError, Source, paced
from proper_shared.durable import sync_tree
from proper_shared.errors import ConfigError
from proper_shared.release import FileRecord
from proper_shared.roles import FIRST_ROOT, MAX_ROOT_BYTES, METADATA, fingerprint_of

LIMITS = UpdaterConfig(
    max_root_rotations=64,
    max_delegations=0,
    root_max_length=MAX_ROOT_BYTES,
    timestamp_max_length=1 << 14,
    snapshot_max_length=1 << 16,
    targets_max_length=1 << 20,
)
# The first that fits; subclasses stand before what they are derived from.
NAMES: tuple[tuple[type[Exception], str, str], ...] = (
    (exceptions.UnsignedMetadataError, "wrong-key", "is not signed by keys that count"),
    (exceptions.ExpiredMetadataError, "freeze", "is out of date"),
    (exceptions.BadVersionNumberError, "rollback", "is older than what was seen"),
    (exceptions.LengthOrHashMismatchError, "mix-and-match", "is of another state"),
    (exceptions.DownloadLengthMismatchError, "endless", "is longer than was signed"),
    (exceptions.DownloadHTTPError, "missing", "is missing"),
    (exceptions.RepositoryError, "malformed", "is none of the framework's"),
)
HINTS = {
    "freeze": "somebody keeps the newest from you, or whoever publishes forgot to "
    f"refresh; {KEPT}",
    "wrong-key": f"somebody else signed this: ask whoever publishes; {KEPT}",
    "rollback": f"somebody shows you an old release: try another source; {KEPT}",
}


@dataclass(frozen=True)
class Listing:
    """The newest release, as its signers listed it.

    Attributes:
        version: of the list.
        files: length and SHA-256 of every file, by name.
        root: whose keys count.
    """

    version: int
    files: Mapping[str, FileRecord]
    root: Root


class Trust:
    """What a device knows of who may sign.

    Args:
        folder: what was seen so far; it is there.
        pinned: the root file that the person, or an invitation, vouched for.
    """

    def __init__(self, folder: Path, pinned: bytes) -> None:
        self._folder, self._pinned = folder, pinned

    def refresh(self, source: Source) -> Listing:
        """Return what the newest release is.

        Raises:
            DataError: the source cannot be reached.
            Refused: the source shows something else than the newest release.
        """
        fetcher = _Fetcher(source)
        with _named(fetcher):
            updater = Updater(
                str(self._folder),
                METADATA,
                fetcher=fetcher,
                config=LIMITS,
                bootstrap=self._pinned,
            )
            updater.refresh()
            sync_tree(self._folder)  # the framework writes without it
            root = Metadata[Root].from_file(str(self._folder / "root.json")).signed
            newest = Metadata[Targets].from_file(str(self._folder / "targets.json"))
            found = map(updater.get_targetinfo, newest.signed.targets)
            files = {
                target.path: FileRecord(
                    bytes=target.length, sha256=target.hashes.get("sha256", "")
                )
                for target in found
                if target is not None
            }
        return Listing(newest.signed.version, files, root)


def first_root(source: Source, fingerprint: str) -> bytes:
    """Return the first root file of a source, if it is the one with a fingerprint.

    Raises:
        ConfigError: the source has none.
        Refused: it is another one.
    """
    name = f"{METADATA}/{FIRST_ROOT}"
    try:
        data = bytearray()
        for chunk in paced(source.chunks(name)):
            data += chunk
            if len(data) > MAX_ROOT_BYTES:
                raise Refused("endless", f"{FIRST_ROOT} is longer than any of ours")
    except MissingError:
        raise ConfigError(
            f"there is no {name} at this source",
            hint="name the folder, or the address, that was published",
        ) from None
    if (got := fingerprint_of(bytes(data))) != fingerprint:
        raise Refused(
            "wrong-root",
            f"got the root {got[:16]}, expected {fingerprint[:16]}",
            hint="this is another federation's, or an impostor's: compare fingerprints",
        )
    return bytes(data)


class _Fetcher(FetcherInterface):
    """Files of a source, as the framework asks for them."""

    def __init__(self, source: Source) -> None:
        self._source, self.last = source, ""

    def _fetch(self, url: str) -> Iterator[bytes]:
        self.last = url
        try:
            yield from paced(self._source.chunks(url))
        except MissingError:
            raise exceptions.DownloadHTTPError(f"{url} is missing", 404) from None


@contextmanager
def _named(fetcher: _Fetcher) -> Iterator[None]:
    """Turn an error of the framework into a refusal with a name."""
    try:
        yield
    except (exceptions.RepositoryError, exceptions.DownloadError) as error:
        for kind, name, words in NAMES:
            if isinstance(error, kind):
                what = fetcher.last.rpartition("/")[2] or "the pinned root file"
                raise Refused(
                    name, f"{what} {words}", hint=HINTS.get(name, KEPT)
                ) from error
        raise Refused("malformed", "the source sent nothing that can be read") from (
            error
        )
    except ValidationError as error:
        raise Refused("malformed", "a signed file holds what no release has") from error
