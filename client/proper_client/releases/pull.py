"""`proper-client pull`: from an address to a release that is used from now on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from proper_client.releases.checks import Candidate, Own, run
from proper_client.releases.shelf import Kept, Shelf
from proper_client.releases.source import Source
from proper_client.releases.texts import public_people
from proper_client.releases.trust import Trust, first_root
from proper_shared.errors import ConfigError, DataError
from proper_shared.history import User, load_history
from proper_shared.invitations import Invitation
from proper_shared.release import HEADER, Manifest
from proper_shared.roles import MAX_ROOT_BYTES
from proper_shared.secagg.membership import Log

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Order:
    """What a person asks `pull` for.

    Attributes:
        root: a root file that the person trusts.
        fingerprint: or the fingerprint of the first one, 64 hex digits.
        backbone: of the person's own, in the place of the one that is expected.
        texts: a history by which the canary judges, in the place of the public one.
    """

    root: Path | None = None
    fingerprint: str | None = None
    backbone: str | None = None
    texts: Path | None = None


@dataclass(frozen=True)
class Federation:
    """What a device knows of the federation that it is in.

    Attributes:
        invitation: to it.
        log: of its members and releases, as the device saw it last; None before that.
    """

    invitation: Invitation
    log: Log | None = None


def pull(
    source: Source,
    shelf: Shelf,
    order: Order,
    federation: Federation | None = None,
    progress: Progress = lambda *_: None,
) -> list[str]:
    """Fetch the newest release, check it and use it from now on; return lines to show.

    Args:
        source: where it comes from; not trusted.
        shelf: where it goes to.
        order: what the person chose.
        federation: that the device is in, if any.
        progress: told name, bytes here and bytes in all.

    Raises:
        ConfigError: no root is trusted yet, or the home cannot be written.
        DataError: the source cannot be reached.
        Refused: what came is not taken; the old release is in use.
    """
    invitation = None if federation is None else federation.invitation
    shelf.prepare()
    _pin(source, shelf, order, invitation)
    chosen = order.backbone or (invitation.backbone if invitation else None)
    loaded: dict[str, str] = {}

    def own(manifest: Manifest) -> Own:
        from proper_client.releases.ground import Ground  # noqa: PLC0415  torch is slow

        loaded["backbone"] = name = _backbone(chosen, manifest.backbone.name)
        return Ground(name, manifest, _people(order.texts, manifest.task))

    it = Candidate(
        source=source,
        trust=Trust(shelf.seen, shelf.pinned() or b""),
        incoming=shelf.incoming,
        own=own,
        invitation=invitation,
        log=None if federation is None else federation.log,
        progress=progress,
    )
    run(it)
    kept = Kept(
        digest=it.listing.files[HEADER].sha256,
        version=it.listing.version,
        backbone=loaded["backbone"],
    )
    shelf.take(kept, {name: it.path(name) for name in it.listing.files})
    return [
        f"release       {kept.digest[:16]}, version {kept.version}",
        f"task          {it.manifest.task}",
        f"privacy       {it.manifest.protection}",
        *it.notes,
        f"in use        {shelf.place(kept)}",
    ]


def _pin(
    source: Source, shelf: Shelf, order: Order, invitation: Invitation | None
) -> None:
    """Trust a root file: the one that is given, invited, or pinned already."""
    if order.root is not None:
        if not order.root.is_file():
            raise DataError(f"there is no file {order.root}", hint="check the path")
        shelf.pin(order.root.read_bytes()[: MAX_ROOT_BYTES + 1])
        return
    if shelf.pinned() is not None and order.fingerprint is None:
        return
    fingerprint = order.fingerprint or (invitation.releases if invitation else None)
    if fingerprint is None:
        raise ConfigError(
            "it is not known yet who may sign releases",
            hint="--fingerprint HEX, as whoever publishes them made it known, or "
            "--root FILE",
        )
    shelf.pin(first_root(source, fingerprint.strip().lower()))


def _backbone(chosen: str | None, named: str) -> str:
    """Return the backbone to load; what a release names is fetched from nowhere."""
    if chosen is None and named != "nano":
        raise ConfigError(
            f"the release was made over the backbone {named}",
            hint="say where yours lies: --backbone FOLDER, or its hub id",
        )
    return chosen or "nano"


def _people(texts: Path | None, task: str) -> Sequence[User]:
    """Return the person of the texts that were given, or the public ones."""
    return public_people(task) if texts is None else [load_history(texts, task)[1]]
