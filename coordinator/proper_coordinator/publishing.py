"""Publish a release so that devices take it from any server, and nobody can swap it.

    metadata/N.root.json, N.targets.json, N.snapshot.json, timestamp.json
    targets/<sha256>.release.json, <sha256>.population.safetensors, ...

Everything but `timestamp.json` is written under a name of its own and never changed;
replacing that one file is the moment at which a release is out. Old content is gone
back to by publishing it again: it gets a new version.

Covered: a release that is damaged; what stands in the folder and is not signed by
these keys (a version number that somebody raised would have to be topped); a crash at
any step; root files that a rotation added.
Not covered: where the folder is served from, and whether anybody refreshes it in time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root, Snapshot, Timestamp

from proper_coordinator import signing
from proper_coordinator.key_pairs import (
    OFFLINE,
    ONLINE,
    Pair,
    key_files,
    read_pair,
    write_pair,
)
from proper_shared.durable import copy_file, write_file, write_folder
from proper_shared.errors import ConfigError, FormatError
from proper_shared.release import (
    HEADER,
    FileRecord,
    digest_of,
    read_manifest,
    verify_files,
)
from proper_shared.roles import FIRST_ROOT, METADATA, TARGETS, fingerprint_of

FOLDER, PUBLIC = 0o700, 0o644
Ask = Callable[[], str]  # returns the passphrase


def make_keys(folder: Path, passphrase: str, now: datetime) -> list[str]:
    """Make all keys and the first root file; return lines to show.

    Raises:
        ConfigError: something stands at `folder`, or the passphrase is too short.
        OSError: it cannot be written; nothing is left behind.
    """
    if folder.exists() or folder.is_symlink():
        raise ConfigError(
            f"{folder} is there already, and no key is overwritten",
            hint="name another folder with --out; `rotate` puts new keys into this one",
        )
    pairs = {name: Pair.make() for name in (*OFFLINE, ONLINE)}
    root = signing.first_root(pairs, now)

    def fill(place: Path) -> None:
        place.chmod(FOLDER)
        for name, pair in pairs.items():
            write_pair(place, name, 1, pair, passphrase if name in OFFLINE else None)
        write_file(place / FIRST_ROOT, root, PUBLIC)

    write_folder(folder, fill)
    return [
        f"wrote {folder}: keep it off the coordinator's host, and keep a copy",
        "Hand root-1, root-2 and root-3 to three people; two of them are needed, and",
        "only to change keys. Only online.1.key goes to the host, for `refresh`.",
        f"root          {fingerprint_of(root)}",
        "Publish that fingerprint where people find it without the coordinator.",
    ]


def rotate(folder: Path, name: str, ask: Ask, now: datetime) -> list[str]:
    """Put a new pair in the place of one; return lines to show.

    Args:
        folder: of the keys, with those of two root holders.
        name: of the pair.
        ask: for the passphrase, of the old keys and the new one.
        now: with a time zone.

    Raises:
        ConfigError: a key is missing, or the passphrase is wrong.
    """
    old, passphrase = _newest_root(folder)[0].signed, ask()
    files = key_files(folder, old.version)
    held = {n: read_pair(path, passphrase) for n, path in files.items()}
    holders = [held[n] for n in signing.HOLDS["root"] if n in held]
    new, version = Pair.make(), old.version + 1
    change = signing.Change(name, _leaving(old, name, held), new)
    data = signing.next_root(old, change, holders, now)
    lock = passphrase if name in OFFLINE else None
    path = write_pair(folder, name, version, new, lock)
    # The key first: until the root file is there the old one is in force.
    write_file(folder / f"{version}.root.json", data, PUBLIC)
    return [f"wrote {path} and {version}.root.json", "next: proper-coordinator publish"]


def publish(
    release: Path, place: Path, keys: Path, ask: Ask, now: datetime
) -> list[str]:
    """Sign a release and write it where it is served from; return lines to show.

    Args:
        release: a release folder.
        place: the published folder; made if it is not there.
        keys: folder with the pairs `targets` and `online`, and the root files.
        ask: for the passphrase.
        now: with a time zone.

    Raises:
        ConfigError: there is no release, a key is missing or the passphrase is wrong.
        FormatError: the release is damaged, or what was published is not ours.
    """
    manifest = read_manifest(release)
    verify_files(release, manifest)
    root, files = _newest_root(keys)[0].signed, {**manifest.files}
    header = release / HEADER
    files[HEADER] = FileRecord(bytes=header.stat().st_size, sha256=digest_of(release))
    here = key_files(keys, root.version)
    targets = _in_force(root, "targets", here, ask)
    online = _in_force(root, "snapshot", here, ask)
    standing = read_standing(place, _roots(keys))
    for name, record in files.items():
        copy_file(release / name, _served(place, name, record.sha256), PUBLIC)
    for path in _roots(keys):
        copy_file(path, place / METADATA / path.name, PUBLIC)
    version = standing.targets + 1
    data = signing.targets_of(files, version, targets, now)
    write_file(place / METADATA / f"{version}.targets.json", data, PUBLIC)
    _stamp(place, data, standing, online, now)
    size = sum(record.nbytes for record in files.values())
    return [
        f"published     {len(files)} files, {size:,} bytes, as version {version}",
        f"release       {files[HEADER].sha256}",
        f"root          {fingerprint_of((keys / FIRST_ROOT).read_bytes())}",
        f"good until    {(now + signing.LIVES['timestamp']).date()}, then: refresh",
    ]


def refresh(place: Path, key: Path, now: datetime) -> list[str]:
    """Say that what is published is still the newest; return lines to show.

    Args:
        place: the published folder.
        key: file of the pair `online`.
        now: with a time zone.

    Raises:
        ConfigError: nothing is published there, or the key is another.
        FormatError: what is published is not ours.
    """
    folder = place / METADATA
    if not (folder / "timestamp.json").is_file():
        raise ConfigError(f"nothing is published in {place}", hint="publish first")
    root = _newest_root(folder)[0].signed
    pair = read_pair(key, None)
    if not _signs(root, "timestamp", pair):
        raise ConfigError(
            f"{key} is not the key of the root file in force",
            hint="bring the newest online key, or publish again after a rotation",
        )
    standing = read_standing(place, _roots(folder))
    data = (folder / f"{standing.targets}.targets.json").read_bytes()
    _stamp(place, data, standing, pair, now)
    until = (now + signing.LIVES["timestamp"]).date()
    return [f"version {standing.targets} is good until {until}"]


@dataclass(frozen=True)
class Standing:
    """Versions that were published last, 0 where there is none."""

    targets: int = 0
    snapshot: int = 0
    timestamp: int = 0


def read_standing(place: Path, roots: list[Path]) -> Standing:
    """Return the versions of what is published, if one of our root files vouches.

    Raises:
        FormatError: a file is malformed, missing or signed by somebody else.
    """
    folder = place / METADATA
    if not (folder / "timestamp.json").is_file():
        return Standing()
    try:
        stamp = Metadata[Timestamp].from_file(str(folder / "timestamp.json"))
        number = stamp.signed.snapshot_meta.version
        shot = Metadata[Snapshot].from_file(str(folder / f"{number}.snapshot.json"))
    except RepositoryError as error:
        raise FormatError(f"what is published in {place} is damaged: {error}") from None
    for role, found in (("timestamp", stamp), ("snapshot", shot)):
        if not any(_vouches(path, role, found) for path in roots):
            raise FormatError(
                f"the {role} file in {place} is not signed by these keys",
                hint="name another folder, or restore this one from a copy",
            )
    named = shot.signed.meta["targets.json"].version
    return Standing(named, number, stamp.signed.version)


def _vouches(
    path: Path, role: str, found: Metadata[Timestamp] | Metadata[Snapshot]
) -> bool:
    root = Metadata[Root].from_file(str(path)).signed
    try:
        root.verify_delegate(role, found.signed_bytes, found.signatures)
    except RepositoryError:
        return False
    return True


def _stamp(
    place: Path, targets: bytes, standing: Standing, pair: Pair, now: datetime
) -> None:
    """Write a snapshot and then, as the last step, the timestamp."""
    number, folder = standing.snapshot + 1, place / METADATA
    shot = signing.snapshot_of(targets, number, pair, now)
    write_file(folder / f"{number}.snapshot.json", shot, PUBLIC)
    stamp = signing.timestamp_of(shot, standing.timestamp + 1, pair, now)
    write_file(folder / "timestamp.json", stamp, PUBLIC)


def _served(place: Path, name: str, sha256: str) -> Path:
    """Return where a file of a release is served, its folders made."""
    (place / METADATA).mkdir(parents=True, exist_ok=True)
    path = place / TARGETS / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f"{sha256}.{path.name}")


def _roots(folder: Path) -> list[Path]:
    """Return the root files in a folder, the first one first."""
    paths, number = [], 1
    while (path := folder / f"{number}.root.json").is_file():
        paths.append(path)
        number += 1
    return paths


def _newest_root(folder: Path) -> tuple[Metadata[Root], Path]:
    paths = _roots(folder)
    if not paths:
        raise ConfigError(
            f"there is no {FIRST_ROOT} in {folder}", hint="proper-coordinator keys"
        )
    try:
        return Metadata[Root].from_file(str(paths[-1])), paths[-1]
    except RepositoryError as error:
        raise FormatError(f"{paths[-1]} is damaged: {error}") from None


def _leaving(root: Root, name: str, held: Mapping[str, Pair]) -> list[str]:
    """Return the ids of a pair's keys, also where its file was lost."""
    if name in held:
        return [signer.public_key.keyid for signer in held[name].signers]
    role = next(role for role, names in signing.HOLDS.items() if name in names)
    others = [held[n] for n in signing.HOLDS[role] if n in held]
    known = {s.public_key.keyid for pair in others for s in pair.signers}
    return [keyid for keyid in root.roles[role].keyids if keyid not in known]


def _in_force(root: Root, role: str, here: Mapping[str, Path], ask: Ask) -> Pair:
    """Return the pair that signs for a role, from its file."""
    (name,) = signing.HOLDS[role]
    if name not in here:
        raise ConfigError(
            f"there is no key {name} in the folder of keys",
            hint="bring the folder that `proper-coordinator keys` wrote",
        )
    pair = read_pair(here[name], ask() if name in OFFLINE else None)
    if not _signs(root, role, pair):
        raise ConfigError(f"{here[name]} is not the key of the root file in force")
    return pair


def _signs(root: Root, role: str, pair: Pair) -> bool:
    own = {signer.public_key.keyid for signer in pair.signers}
    return own <= set(root.roles[role].keyids)
