"""From nothing to a release in use: whose keys count, and how one goes back."""

from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from published import Publisher, cached, fetch, starter, with_seed

from proper_client.cli import main
from proper_client.releases import ground
from proper_client.releases.refusal import Refused
from proper_client.releases.shelf import Shelf
from proper_shared.errors import ConfigError
from proper_shared.method.config import Method


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(ground, "Ground", cached)


@pytest.fixture
def publisher(tmp_path):
    made = Publisher(tmp_path / "published")
    made.publish(starter())
    return made


def test_nobody_is_trusted_at_first(publisher, tmp_path):
    with pytest.raises(ConfigError, match="not known yet who may sign") as caught:
        fetch(publisher.place, tmp_path / "home")
    assert "--fingerprint" in caught.value.hint


def test_another_root_than_the_one_a_person_was_told_is_refused(publisher, tmp_path):
    with pytest.raises(Refused) as caught:
        fetch(publisher.place, tmp_path / "home", fingerprint="ab" * 32)
    assert caught.value.name == "wrong-root"
    assert Shelf(tmp_path / "home").pinned() is None


def test_a_root_file_or_an_invitation_say_it_too_and_once_is_enough(
    publisher, tmp_path
):
    (tmp_path / "root.json").write_bytes(publisher.root)
    fetch(publisher.place, tmp_path / "one", root=tmp_path / "root.json")
    asked = SimpleNamespace(
        releases=publisher.fingerprint, backbone="nano", task="tagging", method=Method()
    )
    fetch(publisher.place, tmp_path / "two", invitation=asked)
    fetch(publisher.place, tmp_path / "two")
    assert Shelf(tmp_path / "two").current() == Shelf(tmp_path / "one").current()


def test_a_root_that_is_pinned_stays(publisher, tmp_path):
    home = tmp_path / "home"
    fetch(publisher.place, home, fingerprint=publisher.fingerprint)
    other = Publisher(tmp_path / "other")
    other.publish(starter())
    with pytest.raises(ConfigError, match="another root is pinned"):
        fetch(other.place, home, fingerprint=other.fingerprint)


def test_the_backbone_that_a_release_names_is_loaded_from_nowhere(publisher, tmp_path):
    files = starter()
    name = "release.json"
    files[name] = files[name].replace(b'"name": "nano"', b'"name": "evil/model"')
    publisher.publish(files)
    with pytest.raises(ConfigError, match="over the backbone evil/model") as caught:
        fetch(publisher.place, tmp_path / "home", fingerprint=publisher.fingerprint)
    assert "--backbone" in caught.value.hint


def test_without_texts_it_is_said_that_there_was_no_canary(publisher, tmp_path):
    files = starter()
    name = "release.json"
    files[name] = files[name].replace(b'"task": "tagging"', b'"task": "LaMP_5"')
    publisher.publish(files)
    lines = fetch(publisher.place, tmp_path / "home", fingerprint=publisher.fingerprint)
    assert any("no public texts for LaMP_5; --texts" in line for line in lines)


def test_the_commands_fetch_and_go_back(publisher, tmp_path):
    def call(*words):
        done = CliRunner().invoke(main, [*words, "--home", str(tmp_path / "home")])
        return done.exit_code, done.output

    source = str(publisher.place)
    code, said = call("pull", source, "--fingerprint", publisher.fingerprint)
    assert code == 0, said
    assert "version 1" in said
    assert call("use", "--previous")[0] == 2
    publisher.publish(with_seed(starter(), 3))
    assert call("pull", source)[0] == 0
    code, said = call("use", "--previous")
    assert (code, "(version 1)" in said) == (0, True)
    shelf = Shelf(tmp_path / "home")
    assert shelf.default() == (shelf.place(shelf.current()), "nano")


class Judged:
    """The device's own backbone, on which the canary finds what it is told to."""

    def __init__(self, own, found):
        self._own, self._found = own, found

    def __getattr__(self, name):
        return getattr(self._own, name)

    def canary(self, _):
        return self._found


@pytest.mark.parametrize(
    ("found", "is_said"),
    [((2.5, 2.5), True), ((4.4, 2.5), True), ((2.4, 2.5), False)],
)
def test_a_release_that_is_no_better_than_its_backbone_is_taken_and_it_is_said(
    publisher, tmp_path, monkeypatch, found, is_said
):
    monkeypatch.setattr(ground, "Ground", lambda *a: Judged(cached(*a), found))
    home = tmp_path / "home"
    lines = fetch(publisher.place, home, fingerprint=publisher.fingerprint)
    assert Shelf(home).current() is not None
    said = [line for line in lines if "over the bare backbone" in line]
    assert bool(said) == is_said
    if is_said:
        assert "{:.3f} nats a token, {:.3f} over".format(*found) in said[0]


def test_a_download_says_its_unit(publisher, tmp_path):
    call = ["pull", str(publisher.place), "--fingerprint", publisher.fingerprint]
    done = CliRunner().invoke(main, [*call, "--home", str(tmp_path / "home")])
    assert done.exit_code == 0
    shown = [x for x in done.stderr.splitlines() if "population.safe" in x]
    nbytes = len(starter()["population.safetensors"])
    assert f"/{-(-nbytes // 1000)} kB" in shown[-1]
    assert all("/s" not in line or " kB/s" in line for line in shown)
