"""The four signed files of what is published, made and signed; no disk, no clock.

See `proper_shared.roles` for who signs what. Each function takes the time and the keys
and returns bytes; the framework's own classes write and check the format.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer

from proper_coordinator.key_pairs import Pair
from proper_shared.errors import ConfigError
from proper_shared.release import FileRecord
from proper_shared.roles import NEEDED, TIMESTAMP_LIFE

LIVES = {
    "root": timedelta(days=1095),
    "targets": timedelta(days=365),
    "snapshot": timedelta(days=14),
    "timestamp": TIMESTAMP_LIFE,
}
HOLDS = {  # role -> names of its pairs
    "root": ("root-1", "root-2", "root-3"),
    "targets": ("targets",),
    "snapshot": ("online",),
    "timestamp": ("online",),
}

S = TypeVar("S", Root, Targets, Snapshot, Timestamp)


def first_root(pairs: Mapping[str, Pair], now: datetime) -> bytes:
    """Return the first root file.

    Args:
        pairs: all five, by name.
        now: with a time zone.
    """
    root = Root(version=1, expires=now + LIVES["root"], consistent_snapshot=True)
    for role, names in HOLDS.items():
        for name in names:
            _give(root, role, pairs[name])
        root.roles[role].threshold = 2 * NEEDED[role]
    return _signed(root, [pairs[name] for name in HOLDS["root"]])


@dataclass(frozen=True)
class Change:
    """One pair that takes the place of another.

    Attributes:
        name: of the pair, `targets` for instance.
        leaving: ids of the keys that go.
        pair: the one that comes.
    """

    name: str
    leaving: Collection[str]
    pair: Pair


def next_root(
    old: Root, change: Change, holders: Sequence[Pair], now: datetime
) -> bytes:
    """Return the root file in which one pair has taken the place of another.

    Args:
        old: the root file in force.
        change: what is changed.
        holders: old pairs of the role root; two at least.
        now: with a time zone.

    Raises:
        ConfigError: there are too few holders.
    """
    if len(holders) < NEEDED["root"]:
        raise ConfigError(
            f"got {len(holders)} of the root keys, expected {NEEDED['root']} of 3",
            hint="lay the key files of two holders into the folder",
        )
    root = deepcopy(old)
    root.version, root.expires = old.version + 1, now + LIVES["root"]
    for role, names in HOLDS.items():
        if change.name in names:
            for keyid in change.leaving:
                root.revoke_key(keyid, role)
            _give(root, role, change.pair)
    own = [change.pair] if change.name in HOLDS["root"] else []
    return _signed(root, [*holders, *own])


def targets_of(
    files: Mapping[str, FileRecord], version: int, pair: Pair, now: datetime
) -> bytes:
    """Return the file that says which files a release has."""
    records = {
        name: TargetFile(record.nbytes, {"sha256": record.sha256}, name)
        for name, record in files.items()
    }
    expires = now + LIVES["targets"]
    return _signed(Targets(version=version, expires=expires, targets=records), [pair])


def snapshot_of(targets: bytes, version: int, pair: Pair, now: datetime) -> bytes:
    """Return the file that says which targets file is the newest."""
    meta = {"targets.json": _meta(Metadata[Targets].from_bytes(targets), targets)}
    expires = now + LIVES["snapshot"]
    return _signed(Snapshot(version=version, expires=expires, meta=meta), [pair])


def timestamp_of(snapshot: bytes, version: int, pair: Pair, now: datetime) -> bytes:
    """Return the file that says that a snapshot is still the newest."""
    meta = _meta(Metadata[Snapshot].from_bytes(snapshot), snapshot)
    expires = now + LIVES["timestamp"]
    signed = Timestamp(version=version, expires=expires, snapshot_meta=meta)
    return _signed(signed, [pair])


def _meta(parsed: Metadata[S], data: bytes) -> MetaFile:
    found = MetaFile.from_data(parsed.signed.version, data, ["sha256"])
    return MetaFile(found.version, len(data), found.hashes)


def _give(root: Root, role: str, pair: Pair) -> None:
    for signer in pair.signers:
        root.add_key(signer.public_key, role)


def _signed(signed: S, pairs: Iterable[Pair]) -> bytes:
    metadata = Metadata(signed)
    for pair in pairs:
        for signer in pair.signers:
            metadata.sign(signer, append=True)
    return metadata.to_bytes(JSONSerializer(compact=True))
