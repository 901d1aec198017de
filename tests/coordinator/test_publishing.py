"""What is published is what a device sees, and only its keys can change it."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Root, Targets

from proper_client.releases.refusal import Refused
from proper_client.releases.source import Folder
from proper_client.releases.trust import Trust, first_root
from proper_coordinator import signing
from proper_coordinator.key_pairs import OFFLINE, Pair, key_files, read_pair
from proper_coordinator.publishing import make_keys, publish, refresh, rotate
from proper_shared.errors import ConfigError, FormatError
from proper_shared.release import HEADER, STARTER, digest_of
from proper_shared.roles import check_roles, fingerprint_of

NOW, DAY = datetime.now(UTC), timedelta(days=1)
WORDS = "five words by pure chance"


def ask():
    return WORDS


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    (folder / "shown").write_text("\n".join(make_keys(folder / "keys", WORDS, NOW)))
    publish(STARTER, folder / "out", folder / "keys", ask, NOW)
    return folder


@pytest.fixture
def house(made, tmp_path):
    """Keys, and what they published; a test may change both."""
    return shutil.copytree(made, tmp_path / "house")


def device(house, name="device"):
    seen = house / name
    seen.mkdir(exist_ok=True)
    return Trust(seen, (house / "keys" / "1.root.json").read_bytes())


def listing(house, name="device"):
    return device(house, name).refresh(Folder(house / "out"))


def refused(house, match):
    with pytest.raises(Refused) as caught:
        listing(house)
    assert caught.value.name == match


def test_a_device_sees_exactly_the_release(house):
    found = listing(house)
    assert found.version == 1
    assert found.files[HEADER].sha256 == digest_of(STARTER)
    for name, record in found.files.items():
        served = house / "out" / "targets" / f"{record.sha256}.{name}"
        assert served.read_bytes() == (STARTER / name).read_bytes()
    check_roles(found.root)


def test_keys_lie_closed_and_only_online_is_open(house):
    keys = house / "keys"
    assert keys.stat().st_mode & 0o777 == 0o700
    files = key_files(keys, 1)
    assert set(files) == {*OFFLINE, "online"}
    assert {path.stat().st_mode & 0o777 for path in files.values()} == {0o600}
    for name in OFFLINE:
        assert '"seed"' not in files[name].read_text()
        with pytest.raises(ConfigError, match="got no passphrase"):
            read_pair(files[name], None)
    read_pair(files["online"], None)
    root = (keys / "1.root.json").read_bytes()
    assert fingerprint_of(root) in (house / "shown").read_text()
    assert first_root(Folder(house / "out"), fingerprint_of(root)) == root
    with pytest.raises(ConfigError, match="no key is overwritten"):
        make_keys(keys, WORDS, NOW)


def test_old_content_comes_back_under_a_new_version(house):
    publish(STARTER, house / "out", house / "keys", ask, NOW)
    assert listing(house).version == 2


def test_a_refresh_says_that_all_is_still_so(house):
    assert listing(house).version == 1
    later = NOW + 3 * DAY
    refresh(house / "out", house / "keys" / "online.1.key", later)
    assert listing(house).version == 1
    stamp = Metadata.from_file(str(house / "out" / "metadata" / "timestamp.json"))
    assert stamp.signed.version == 2
    assert stamp.signed.expires.date() == (later + 7 * DAY).date()


def test_the_online_key_cannot_sign_a_release(house):
    folder = house / "out" / "metadata"
    online = read_pair(house / "keys" / "online.1.key", None)
    evil = signing.targets_of({}, 2, online, NOW)
    (folder / "2.targets.json").write_bytes(evil)
    shot = signing.snapshot_of(evil, 2, online, NOW)
    (folder / "2.snapshot.json").write_bytes(shot)
    stamp = signing.timestamp_of(shot, 2, online, NOW)
    (folder / "timestamp.json").write_bytes(stamp)
    refused(house, "wrong-key")


@pytest.mark.parametrize("kind", [0, 1], ids=["Ed25519 alone", "ML-DSA-65 alone"])
def test_one_kind_of_key_is_not_enough(house, kind):
    folder = house / "out" / "metadata"
    online = read_pair(house / "keys" / "online.1.key", None)
    whole = Metadata[Targets].from_file(str(folder / "1.targets.json"))
    keyid = list(whole.signatures)[kind]
    whole.signatures = {keyid: whole.signatures[keyid]}
    data = whole.to_bytes()
    (folder / "1.targets.json").write_bytes(data)
    shot = signing.snapshot_of(data, 2, online, NOW)
    (folder / "2.snapshot.json").write_bytes(shot)
    stamp = signing.timestamp_of(shot, 2, online, NOW)
    (folder / "timestamp.json").write_bytes(stamp)
    refused(house, "wrong-key")


def test_devices_follow_a_rotation_and_the_old_key_is_worth_nothing(house):
    listing(house)
    old = shutil.copytree(house / "keys", house / "old")
    rotate(house / "keys", "targets", ask, NOW)
    publish(STARTER, house / "out", house / "keys", ask, NOW)
    assert listing(house).version == 2
    publish(STARTER, house / "out", old, ask, NOW)
    refused(house, "wrong-key")


@pytest.mark.parametrize("name", ["online", "root-2"])
def test_every_pair_can_be_rotated_even_where_its_file_is_lost(house, name):
    listing(house)
    (house / "keys" / f"{name}.1.key").unlink()
    rotate(house / "keys", name, ask, NOW)
    publish(STARTER, house / "out", house / "keys", ask, NOW)
    found = listing(house)
    assert found.version == 2
    assert found.root.version == 2
    check_roles(found.root)
    with pytest.raises(ConfigError, match="is not the key of the root file"):
        refresh(house / "out", _stranger(house), NOW)


def _stranger(house):
    path = house / "keys" / "stranger.key"
    path.write_text('{"format": "proper release key 1", "seed": "%s"}' % ("ab" * 64))
    return path


def test_one_root_holder_alone_changes_nothing(house):
    for name in ("root-1", "root-3"):
        (house / "keys" / f"{name}.1.key").unlink()
    with pytest.raises(ConfigError, match="got 1 of the root keys, expected 2"):
        rotate(house / "keys", "targets", ask, NOW)
    assert not list((house / "keys").glob("*.2.key"))


def test_a_wrong_passphrase_publishes_nothing(house):
    before = sorted(house.rglob("*"))
    with pytest.raises(ConfigError, match="passphrase of targets is wrong"):
        publish(STARTER, house / "out", house / "keys", lambda: "no, not that", NOW)
    assert sorted(house.rglob("*")) == before


def test_a_damaged_release_is_not_published(house):
    release = shutil.copytree(STARTER, house / "release")
    (release / "experts.safetensors").write_bytes(b"")
    with pytest.raises(FormatError, match=r"experts\.safetensors has 0 bytes"):
        publish(release, house / "out", house / "keys", ask, NOW)
    assert listing(house).version == 1


def test_what_somebody_else_published_is_not_written_over(house, tmp_path):
    other = tmp_path / "other"
    make_keys(other, WORDS, NOW)
    with pytest.raises(FormatError, match="is not signed by these keys"):
        publish(STARTER, house / "out", other, ask, NOW)
    assert listing(house).version == 1


@pytest.mark.parametrize("at", range(1, 12, 2))
def test_a_kill_at_any_write_leaves_the_old_state_or_the_new(house, monkeypatch, at):
    real, calls = Path.replace, []

    def struck(path, target):
        calls.append(path)
        if len(calls) == at:
            raise KeyboardInterrupt
        return real(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", struck)
        try:
            publish(STARTER, house / "out", house / "keys", ask, NOW)
        except KeyboardInterrupt:
            assert len(calls) >= at
    assert listing(house, f"device-{at}").version in {1, 2}
    publish(STARTER, house / "out", house / "keys", ask, NOW)
    assert listing(house, f"device-{at}").version in {2, 3}


def test_a_role_that_less_could_sign_for_is_refused(house):
    whole = Metadata[Root].from_file(str(house / "keys" / "1.root.json")).signed
    whole.roles["targets"].threshold = 1
    with pytest.raises(FormatError, match="targets needs 1 signatures, expected 2"):
        check_roles(whole)
    whole.roles["targets"].threshold = 2
    whole.roles["root"].keyids.pop()
    with pytest.raises(FormatError, match="root has keys"):
        check_roles(whole)
    whole.roles["root"].keyids = [s.public_key.keyid for s in Pair.make().signers]
    with pytest.raises(KeyError):
        check_roles(whole)
