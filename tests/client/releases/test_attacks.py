"""What somebody on the way can try: each is named, and the old release is in use."""

import shutil

import pytest
from published import LATER, NOW, Publisher, cached, fetch, starter, with_seed
from tuf.api.metadata import MetaFile, Root, Timestamp
from tuf.ngclient import Updater

from proper_client.releases import download, ground, source
from proper_client.releases.refusal import Refused
from proper_client.releases.shelf import Shelf
from proper_client.releases.source import CHUNK_NBYTES, Folder
from proper_shared.release import digest_of

POPULATION = "population.safetensors"


class World:
    """A publisher, a device that has its first release, and an attacker's source."""

    def __init__(self, folder):
        self.folder, self.publisher = folder, Publisher(folder / "published")
        self.home, self.source = folder / "home", Folder(folder / "published")
        self.files = starter()
        self.publisher.publish(self.files)
        fetch(self.publisher.place, self.home, fingerprint=self.publisher.fingerprint)

    def newer(self):
        self.publisher.publish(with_seed(self.files, self.publisher.version))

    def serve(self, folder):
        shutil.rmtree(self.publisher.place)
        shutil.copytree(folder, self.publisher.place)

    def pull(self):
        fetch(self.publisher.place, self.home, source=self.source)


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(ground, "Ground", cached)
    return World(tmp_path)


def rollback(world):
    old = world.publisher.copy(world.folder / "old")
    world.newer()
    world.pull()
    world.serve(old)


def freeze(world):
    world.publisher.version += 1
    targets = world.publisher.place / "metadata" / "1.targets.json"
    world.publisher.stamp(targets.read_bytes(), NOW - LATER)


def mix_and_match(world):
    before = world.publisher.copy(world.folder / "before")
    world.newer()
    one = world.publisher.copy(world.folder / "one")
    world.serve(before)
    world.publisher.version -= 1
    world.publisher.publish(with_seed(world.files, 77))
    for name in ("2.snapshot.json", "2.targets.json"):
        shutil.copy(one / "metadata" / name, world.publisher.place / "metadata")
    shutil.copytree(one / "targets", world.publisher.place / "targets", dirs_exist_ok=1)


def wrong_key(world):
    other = Publisher(world.folder / "other")
    other.version = 1
    other.publish(with_seed(world.files, 5))
    shutil.copytree(other.place, world.publisher.place, dirs_exist_ok=True)
    world.publisher.write("1.root.json", world.publisher.root)


def truncated(world):
    world.newer()
    (served,) = world.publisher.place.glob(f"targets/*.{POPULATION}")
    served.write_bytes(served.read_bytes()[:-9])


class Endless(Folder):
    """Goes on after the end of a file, ten times as long as anybody should listen."""

    taken = 0

    def chunks(self, name, start=0):
        yield from super().chunks(name, start)
        if name.startswith("targets/"):
            for _ in range(10):
                self.taken += 1
                yield b"x" * CHUNK_NBYTES


def endless(world):
    world.newer()
    world.source = Endless(world.publisher.place)


class Slow(Folder):
    """Sends a byte for each look at the clock."""

    def chunks(self, name, start=0):
        for chunk in super().chunks(name, start):
            yield from (chunk[at : at + 100] for at in range(0, len(chunk), 100))


def slow(world):
    world.newer()
    world.source = Slow(world.publisher.place)
    world.clock = iter(range(10**9))


def nothing(*_):
    return None


def unread(*_):
    raise OSError("nothing is remembered")


ATTACKS = {  # name of the refusal -> what is done, and the check that stands against it
    "rollback": (rollback, Updater, "_load_local_metadata", unread),
    "freeze": (freeze, Timestamp, "is_expired", nothing),
    "mix-and-match": (mix_and_match, MetaFile, "verify_length_and_hashes", nothing),
    "wrong-key": (wrong_key, Root, "verify_delegate", nothing),
    "truncated": (truncated, download, "check_whole", nothing),
    "endless": (endless, download, "check_end", nothing),
    "slow": (slow, source, "check_pace", nothing),
}


def outcome(world, attack, monkeypatch):
    """Attack, pull, and return how it ended."""
    attack(world)
    if hasattr(world, "clock"):
        monkeypatch.setattr(source, "seconds", lambda: float(next(world.clock)))
    world.before = Shelf(world.home).current()
    try:
        world.pull()
    except Refused as error:
        return error.name if error.hint else "no hint"
    return "taken"


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_named_and_the_old_release_is_in_use(name, world, monkeypatch):
    assert outcome(world, ATTACKS[name][0], monkeypatch) == name
    shelf = Shelf(world.home)
    kept = shelf.current()
    assert kept == world.before
    assert digest_of(shelf.place(kept)) == kept.digest
    assert shelf.default() == (shelf.place(kept), "nano")


@pytest.mark.parametrize("name", ATTACKS)
def test_without_its_check_an_attack_is_not_seen(name, world, monkeypatch):
    attack, owner, check, instead = ATTACKS[name]
    monkeypatch.setattr(owner, check, instead)
    assert outcome(world, attack, monkeypatch) != name


def test_who_sends_without_end_is_not_listened_to(world, monkeypatch):
    assert outcome(world, endless, monkeypatch) == "endless"
    assert world.source.taken == 1


def test_a_broken_download_goes_on_where_it_was(world, monkeypatch):
    assert outcome(world, truncated, monkeypatch) == "truncated"
    (served,) = world.publisher.place.glob(f"targets/*.{POPULATION}")
    served.write_bytes(world.files[POPULATION])
    world.source = Asked(world.publisher.place)
    world.pull()
    assert Shelf(world.home).current().version == 2
    starts = {n.partition(".")[2]: at for n, at in world.source.asked if "/" in n}
    assert starts[POPULATION] == len(world.files[POPULATION]) - 9


class Asked(Folder):
    """Remembers from where on each file was asked for."""

    def __init__(self, folder):
        super().__init__(folder)
        self.asked = []

    def chunks(self, name, start=0):
        self.asked.append((name, start))
        return super().chunks(name, start)
