"""Name a published release in the membership log, for all members to see alike.

The keys that sign releases are never on the coordinator's host, and what stands in the
log is the coordinator's word. So whoever publishes does so elsewhere, and here it is
looked up what came out: a member who is shown another release under the same version
then has a log that contradicts it, signed by the coordinator.

Covered: what is published and not signed by keys that the invitations name, out of
date, or older than what was named before; a version that comes twice with two contents.
Not covered: a coordinator that names nothing, or shows two logs: two members who
compare the heads of theirs find that. A device sees the log in rounds alone.
"""

import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from tuf.api import exceptions
from tuf.api.metadata import Metadata, Targets
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from proper_coordinator.deployment import LOG, SECRET, open_deployment
from proper_shared.durable import write_file
from proper_shared.errors import ConfigError, FormatError
from proper_shared.release import HEADER
from proper_shared.roles import FIRST_ROOT, METADATA, fingerprint_of

_LIMITS = UpdaterConfig(max_root_rotations=64, max_delegations=0)
_PIECE = 1 << 16


def announce(folder: Path, place: Path, day: date) -> list[str]:
    """Write the newest release of a published folder into the log; return lines.

    Args:
        folder: of the deployment.
        place: what `publish` wrote, or a copy of it.
        day: of the entry.

    Raises:
        ConfigError: nothing is published there, it is not known whose keys count, or
            its version was named with another content, or a later one was.
        FormatError: it is not signed by keys that count, or out of date.
    """
    deployment = open_deployment(folder)
    version, digest = newest(place, deployment.settings.releases)
    with deployment.alone("invite"):
        log = deployment.log
        named = log.releases.get(version)
        if named is None and version > max(log.releases, default=0):
            who = deployment.signer
            log = log.name_release(who, bytes.fromhex(digest), version, day)
            write_file(deployment.path(LOG), log.dump(), SECRET)
        elif named != digest:
            raise ConfigError(
                f"got {digest[:16]} as version {version}, the log names "
                + (named[:16] if named else f"version {max(log.releases)}"),
                hint="what stands in the log stays: publish again, as a new version",
            )
    return [
        f"release       {digest}",
        f"version       {version}, named in the membership log",
        f"head          {log.head.hex()[:16]}, which members compare",
        "Devices see it once they are asked again: with the next `run` or `resume`.",
    ]


def newest(place: Path, fingerprint: str) -> tuple[int, str]:
    """Return version and SHA-256 of the newest release in a published folder.

    Raises:
        ConfigError: nothing is published there, or no fingerprint was given.
        FormatError: it is not signed by keys that count, or out of date.
    """
    if not fingerprint:
        raise ConfigError(
            "coordinator.toml does not say who may sign releases",
            hint='add the fingerprint that `keys` showed: releases = "..."',
        )
    first = place / METADATA / FIRST_ROOT
    if not first.is_file():
        raise ConfigError(f"nothing is published in {place}", hint="publish first")
    root = first.read_bytes()
    if (got := fingerprint_of(root)) != fingerprint:
        raise FormatError(
            f"{place} has the root {got[:16]}, expected {fingerprint[:16]}",
            hint="name the folder that your own keys signed",
        )
    with tempfile.TemporaryDirectory() as seen:
        try:
            updater = Updater(
                seen, METADATA, fetcher=_Files(place), config=_LIMITS, bootstrap=root
            )
            updater.refresh()
        except (exceptions.RepositoryError, exceptions.DownloadError) as error:
            raise FormatError(
                f"what is published in {place} does not hold: {error}",
                hint="refresh or publish it again, and bring the whole folder",
            ) from None
        header = updater.get_targetinfo(HEADER)
        listed = Metadata[Targets].from_file(str(Path(seen) / "targets.json")).signed
    if header is None:
        raise FormatError(f"what is published in {place} lists no {HEADER}")
    return listed.version, header.hashes["sha256"]


class _Files(FetcherInterface):
    """Files of a folder, as the framework asks for them."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = self._place / url
        if not path.is_file():
            raise exceptions.DownloadHTTPError(f"{url} is missing", 404)
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                yield piece
