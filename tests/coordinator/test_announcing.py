"""What was published is named in the log: by the coordinator, once, and verified."""

from datetime import UTC, date, datetime, timedelta

import pytest
from click.testing import CliRunner
from published import Publisher, record, starter, with_seed

from proper_coordinator.announcing import announce
from proper_coordinator.cli import main
from proper_coordinator.deployment import make_deployment
from proper_coordinator.settings import parse_settings
from proper_shared.errors import ConfigError, FormatError
from proper_shared.release import HEADER

NOW = datetime.now(UTC)
DAY = NOW.date()


@pytest.fixture
def publisher(tmp_path):
    made = Publisher(tmp_path / "published")
    made.publish(starter())
    return made


def founded(folder, releases):
    text = f'address = "localhost:9443"\nreleases = "{releases}"'
    return make_deployment(folder, parse_settings(text), ["localhost"], NOW)


@pytest.fixture
def deployment(publisher, tmp_path):
    return founded(tmp_path / "fed", publisher.fingerprint)


def digest(files):
    return record(files[HEADER]).sha256


def test_each_version_is_named_once(publisher, deployment):
    lines = announce(deployment.folder, publisher.place, DAY)
    assert deployment.log.releases == {1: digest(starter())}
    assert deployment.log.head.hex()[:16] in " ".join(lines)
    announce(deployment.folder, publisher.place, DAY)
    assert len(deployment.log.entries) == 2
    publisher.publish(with_seed(starter(), 3))
    announce(deployment.folder, publisher.place, DAY)
    assert deployment.log.releases.keys() == {1, 2}


def test_the_same_version_with_other_content_is_refused(publisher, deployment):
    announce(deployment.folder, publisher.place, DAY)
    before = deployment.log.dump()
    publisher.version = 0
    publisher.publish(with_seed(starter(), 3))
    with pytest.raises(ConfigError, match="as version 1, the log names"):
        announce(deployment.folder, publisher.place, DAY)
    assert deployment.log.dump() == before


def test_an_older_state_of_the_folder_is_refused(publisher, deployment, tmp_path):
    publisher.copy(tmp_path / "old")
    publisher.publish(with_seed(starter(), 3))
    announce(deployment.folder, publisher.place, DAY)
    with pytest.raises(ConfigError, match="the log names version 2"):
        announce(deployment.folder, tmp_path / "old", DAY)


def test_what_other_keys_signed_is_refused(deployment, tmp_path):
    other = Publisher(tmp_path / "other")
    other.publish(starter())
    with pytest.raises(FormatError, match="has the root"):
        announce(deployment.folder, other.place, DAY)
    assert deployment.log.releases == {}


def test_what_was_changed_or_is_out_of_date_is_refused(publisher, deployment):
    path = publisher.place / "metadata" / "1.targets.json"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"version":1', b'"version":9'))
    with pytest.raises(FormatError, match="does not hold"):
        announce(deployment.folder, publisher.place, DAY)
    path.write_bytes(whole)
    publisher.stamp(whole, NOW - timedelta(days=30))
    with pytest.raises(FormatError, match="does not hold"):
        announce(deployment.folder, publisher.place, DAY)
    assert deployment.log.releases == {}


def test_it_has_to_be_known_whose_keys_count(publisher, tmp_path):
    made = founded(tmp_path / "fed", "")
    with pytest.raises(ConfigError, match="who may sign") as caught:
        announce(made.folder, publisher.place, DAY)
    assert "releases" in caught.value.hint
    named = founded(tmp_path / "other", "ab" * 32)
    with pytest.raises(ConfigError, match="nothing is published"):
        announce(named.folder, tmp_path / "nowhere", DAY)


def test_the_command_names_it(publisher, deployment):
    words = ["announce", str(publisher.place), "--dir", str(deployment.folder)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert digest(starter()) in done.stdout
    assert deployment.log.entries[-1].date >= date(2026, 1, 1)
