"""What a federation's log says of a release, and what happens where it says another."""

from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest
from published import Publisher, cached, fetch, record, starter, with_seed

from proper_client.guard_members import LOG, load_log, see_log
from proper_client.releases import checks, ground
from proper_client.releases.refusal import Refused
from proper_client.releases.shelf import Shelf
from proper_client.vault import Vault
from proper_shared.errors import FormatError
from proper_shared.method.config import Method
from proper_shared.release import HEADER
from proper_shared.secagg.keys import HeldSigner
from proper_shared.secagg.membership import Log

COORDINATOR, DAY = HeldSigner(bytes([1]) * 32), date(2026, 11, 1)
FOUNDED = Log.found(COORDINATOR, None, DAY)
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def logged(*releases):
    """A log that names what was published, each with its version."""
    log = FOUNDED
    for version, files in releases:
        digest = bytes.fromhex(record(files[HEADER]).sha256)
        log = log.name_release(COORDINATOR, digest, version, DAY)
    return log


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(ground, "Ground", cached)


@pytest.fixture
def publisher(tmp_path):
    return Publisher(tmp_path / "published")


def pulled(publisher, home, log):
    invited = SimpleNamespace(
        releases=publisher.fingerprint, backbone="nano", task="tagging", method=Method()
    )
    return fetch(publisher.place, home, invitation=invited, log=log)


def test_the_release_that_the_log_names_is_taken(publisher, tmp_path):
    publisher.publish(starter())
    lines = pulled(publisher, tmp_path / "home", logged((1, starter())))
    assert checks.UNNAMED not in lines


def test_two_members_with_two_releases_are_found_by_the_log(publisher, tmp_path):
    """Ann and Bob saw one log; whoever signs shows Bob another release than Ann."""
    log = logged((1, starter()))
    honest, other = tmp_path / "honest", with_seed(starter(), 7)
    publisher.publish(starter())
    publisher.copy(honest)
    publisher.version = 0
    publisher.publish(other)  # by the same keys, as the same version
    ann, bob = tmp_path / "ann", tmp_path / "bob"
    invited = SimpleNamespace(
        releases=publisher.fingerprint, backbone="nano", task="tagging", method=Method()
    )
    fetch(honest, ann, invitation=invited, log=log)
    with pytest.raises(Refused, match="shown another release") as caught:
        pulled(publisher, bob, log)
    assert caught.value.name == "same-for-all"
    assert caught.value.hint
    assert Shelf(ann).current() is not None
    assert Shelf(bob).current() is None


def test_without_the_check_the_second_release_is_taken(
    publisher, tmp_path, monkeypatch
):
    publisher.publish(with_seed(starter(), 7))
    kept = tuple(c for c in checks.CHECKS if c is not checks.same_for_all)
    monkeypatch.setattr(checks, "CHECKS", kept)
    pulled(publisher, tmp_path / "bob", logged((1, starter())))
    assert Shelf(tmp_path / "bob").current() is not None


def test_a_version_that_was_left_out_of_the_log_is_refused(publisher, tmp_path):
    publisher.publish(starter())
    with pytest.raises(Refused, match="does not name, though") as caught:
        pulled(publisher, tmp_path / "home", logged((2, with_seed(starter(), 3))))
    assert caught.value.name == "same-for-all"


def test_a_version_that_is_newer_than_the_log_is_taken_and_it_is_said(
    publisher, tmp_path
):
    publisher.publish(starter())
    assert checks.UNNAMED in pulled(publisher, tmp_path / "one", FOUNDED)
    publisher.publish(with_seed(starter(), 3))
    lines = pulled(publisher, tmp_path / "two", logged((1, starter())))
    assert checks.UNNAMED in lines


def test_who_never_saw_the_log_is_told_nothing(publisher, tmp_path):
    publisher.publish(starter())
    assert checks.UNNAMED not in pulled(publisher, tmp_path / "home", None)


def test_the_log_that_was_seen_is_read_again_unless_it_is_not_the_newest(tmp_path):
    vault = Vault(tmp_path / "home")
    name = FOUNDED.federation
    assert load_log(vault, name) is None
    log = logged((1, starter()))
    see_log(vault, name, log.dump(), NOW)
    vault.write_state(LOG, FOUNDED.dump())  # a crash kept the pin and not the log
    assert load_log(vault, name) is None
    vault.write_state(LOG, log.dump())
    assert load_log(vault, name).releases == log.releases
    forged = log.dump().replace(b'"version":1', b'"version":2')
    vault.write_state(LOG, forged)
    with pytest.raises(FormatError, match="did not sign"):
        load_log(vault, name)
