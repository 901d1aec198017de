"""A device loads first and speaks afterwards; two of one home never speak at once."""

import pytest
from click.testing import CliRunner
from invited import written

from proper_client import device
from proper_client.cli import main
from proper_client.device import Device
from proper_client.enrolment import enroll
from proper_client.ledger import Ledger
from proper_client.ledger_entry import read_ledger
from proper_client.vault import Vault
from proper_shared.errors import ConfigError, ModelError
from proper_shared.history import Entry, User


class Scene:
    """People, trainer and fleet at once; writes down what happens, in its order."""

    base = "0" * 64

    def __init__(self):
        self.seen, self.device = [], None

    def user(self, _):
        return User("ann", (Entry("0", "t", "x"),))

    def trainer(self):
        self.seen.append("load")
        return self

    def arrive(self):
        self.seen.append("arrive")
        self.device.stop.set()
        return 5

    def leave(self):
        self.seen.append("leave")


@pytest.fixture
def vault(tmp_path):
    made = Vault(tmp_path / "home")
    enroll(written(tmp_path), tmp_path / "answer.json", made)
    return made


@pytest.fixture
def scene(vault, monkeypatch):
    made = Scene()
    made.device = Device(vault, made)
    monkeypatch.setattr(device, "Fleet", lambda *_: made)
    monkeypatch.setattr(device, "site_of", lambda *_: made)
    return made


def test_a_device_is_ready_before_it_says_so_and_before_it_is_seen(scene):
    assert scene.device.participate(tell=scene.seen.append) == 0
    loading, load, ready, *rest = scene.seen
    assert (load, rest) == ("load", ["arrive", "leave"])
    assert loading == "loading the backbone ..."
    assert ready == "taking part; Ctrl-C ends it"


def test_a_backbone_that_is_not_there_is_said_before_anybody_is_told(scene, vault):
    def gone():
        raise ModelError("there is no backbone")

    scene.trainer = gone
    with pytest.raises(ModelError, match="no backbone"):
        scene.device.participate(tell=scene.seen.append)
    assert scene.seen == ["loading the backbone ..."]
    assert list(read_ledger(vault)) == []


def test_a_second_process_in_a_home_errs_before_it_says_anything(scene, vault):
    with Ledger(vault), pytest.raises(ConfigError, match="another process"):
        scene.device.participate(tell=scene.seen.append)
    assert scene.seen == []
    with Ledger(vault):
        done = CliRunner().invoke(main, ["participate", "--home", str(vault.home)])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "end the other `proper-client participate`" in done.stderr


def test_requests_are_counted_by_their_name(scene, vault, monkeypatch):
    for count, said in ((1, "answered 1 request of"), (2, "answered 2 requests of")):
        monkeypatch.setattr(Device, "participate", lambda *_, n=count, **__: n)
        done = CliRunner().invoke(main, ["participate", "--home", str(vault.home)])
        assert said in done.stdout
    assert scene.seen == []
