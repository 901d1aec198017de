"""A federation that publishes releases, honest or not, with keys of its own."""

import hashlib
import json
import shutil
from datetime import UTC, datetime, timedelta

from proper_client.releases import ground
from proper_client.releases.pull import Federation, Order, pull
from proper_client.releases.shelf import Shelf
from proper_client.releases.source import Folder
from proper_coordinator import signing
from proper_coordinator.key_pairs import OFFLINE, ONLINE, Pair
from proper_shared.release import HEADER, PARTS, STARTER, FileRecord
from proper_shared.roles import FIRST_ROOT, fingerprint_of

NOW = datetime.now(UTC)
NAMES = (*OFFLINE, ONLINE)
_LOADED = {}


def starter():
    """The files of the starter release, by name."""
    names = [HEADER, *(f"{part}.safetensors" for part in PARTS)]
    return {name: (STARTER / name).read_bytes() for name in names}


def with_seed(files, seed):
    """The same release under another seed: other bytes, as good as before."""
    manifest = json.loads(files[HEADER])
    return {**files, HEADER: json.dumps({**manifest, "seed": seed}).encode()}


def record(data):
    return FileRecord(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())


class Publisher:
    """Signs whatever it is given."""

    def __init__(self, place):
        self.place, self.version = place, 0
        self.pairs = {name: Pair.make() for name in NAMES}
        self.root = signing.first_root(self.pairs, NOW)
        (place / "metadata").mkdir(parents=True)
        (place / "metadata" / FIRST_ROOT).write_bytes(self.root)

    @property
    def fingerprint(self):
        return fingerprint_of(self.root)

    def publish(self, files, listed=None, now=NOW):
        """Serve `files` and sign for them, or for the records that are given."""
        self.version += 1
        for name, data in files.items():
            folder, _, base = f"targets/{name}".rpartition("/")
            served = self.place / folder / f"{record(data).sha256}.{base}"
            served.parent.mkdir(parents=True, exist_ok=True)
            served.write_bytes(data)
        records = {name: record(data) for name, data in files.items()}
        pair = self.pairs["targets"]
        targets = signing.targets_of(listed or records, self.version, pair, now)
        self.write(f"{self.version}.targets.json", targets)
        self.stamp(targets, now)

    def stamp(self, targets, now=NOW):
        pair = self.pairs["online"]
        snapshot = signing.snapshot_of(targets, self.version, pair, now)
        self.write(f"{self.version}.snapshot.json", snapshot)
        stamp = signing.timestamp_of(snapshot, self.version, pair, now)
        self.write("timestamp.json", stamp)

    def write(self, name, data):
        (self.place / "metadata" / name).write_bytes(data)

    def copy(self, place):
        """What an attacker has kept of the folder as it is now."""
        return shutil.copytree(self.place, place)


def fetch(place, home, source=None, invitation=None, log=None, **chosen):
    """Pull from a folder as `proper-client pull` does."""
    order = Order(**chosen)
    known = Federation(invitation, log) if invitation else None
    return pull(source or Folder(place), Shelf(home), order, known)


def cached(backbone, manifest, people):
    """A device's own backbone, loaded once for each shape: torch is slow."""
    key = (backbone, manifest.method.model_dump_json(), manifest.task, len(people))
    if key not in _LOADED:
        _LOADED[key] = _GROUND(backbone, manifest, people)
    return _LOADED[key]


_GROUND = ground.Ground
LATER = timedelta(days=8)
