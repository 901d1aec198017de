"""Flower's private names that we use, against a real SuperLink, and one that lies."""

import contextlib
import hashlib
import io
import ssl
import zipfile
from functools import partial

import httpx
import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.proto.control_pb2 import StartRunRequest

from proper_client.enrolment import membership_in
from proper_client.ledger import Door, Ledger
from proper_client.ledger_entry import Purpose, read_ledger
from proper_client.participation import Participation
from proper_client.resident import MIB, Fleet, Seat, UnknownHereError
from proper_client.vault import Vault
from proper_coordinator import superlink
from proper_coordinator.door import CALLS
from proper_coordinator.lead import link_of
from proper_coordinator.members import read_members
from proper_shared import bundle

pytestmark = pytest.mark.deployment


def bundle_of(component):
    """A bundle with code in it, as a coordinator that lies would offer."""
    text = bundle._NO_CODE.decode().replace('clientapp = "none:app"', component)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("pyproject.toml", text)
        archive.writestr("evil.py", "raise SystemExit('code of a coordinator ran')")
    return written.getvalue()


def echo(pairs):
    return [Message(message.content, reply_to=message) for message, _ in pairs]


class Client:
    """One device in this process, that is asked to look once at a time."""

    def __init__(self, house, seat, answer=echo, max_nbytes=MIB):
        self.vault = Vault(house.home(seat))
        membership = membership_in(self.vault)
        invitation = membership.invitation
        key, ca = membership.node_key, invitation.ca_certificate
        self.seat = Seat(invitation.address, ca, key, max_nbytes)
        self.ledger = Ledger(self.vault)
        self.door = Door(self.ledger, "here")
        self.fleet = Fleet(self.seat, self.door)
        self.loop = Participation(self.fleet, self.door, answer, seat)

    def handle(self):
        """Wait for a message, and handle it."""
        while (letter := self.fleet.look()) is None:
            self.loop.stop.wait(0.05)
        return self.loop._handle(letter)

    def refusals(self):
        said = read_ledger(self.vault)
        return [entry.name for entry in said if entry.purpose == Purpose.REFUSAL]


@pytest.fixture
def link(house):
    house.up()
    made = link_of(house.deployment)
    made.admit([m.node_key for m in read_members(house.deployment)], 100.0)
    return made


@pytest.fixture
def client(house, link):
    assert not link.admit([])
    made = Client(house, 0)
    house.wait(lambda: arrives(made), "the door")
    yield made
    made.fleet.leave()
    made.door.settle()
    made.ledger.close()


def arrives(client):
    client.loop._again(client.fleet.arrive)
    return True


def reply_to(grid, client, message):
    """Push a message, let the client handle it, and return its reply."""
    (number,) = grid.push_messages([message])
    client.handle()
    while not (found := list(grid.pull_messages([number]))):
        client.loop.stop.wait(0.05)
    return found[0]


def letter(kind, node, numbers=3):
    vector = Array(np.arange(numbers, dtype=np.float32))
    content = {"c": ConfigRecord({"a": 1}), "v": ArrayRecord({"x": vector})}
    return Message(RecordDict(content), node, kind)


def test_a_message_goes_there_and_back_and_lies_are_refused_by_name(
    house, link, client, monkeypatch
):
    with link.lead() as grid:
        (node,) = grid.get_node_ids()
        back = reply_to(grid, client, letter("train", node))
        found = back.content.array_records["v"]["x"].numpy()
        assert np.array_equal(found, np.arange(3, dtype=np.float32))
        for kind in ("system", "train.other", "evaluate"):
            assert reply_to(grid, client, letter(kind, node)).has_error()
        assert client.refusals() == ["unknown-message"] * 3
        large = letter("train", node, numbers=MIB)
        assert reply_to(grid, client, large).error.reason == "refused"
        assert client.refusals()[-1] == "object-too-large"
    for component, name in (
        ('clientapp = "evil:app"', "bundle-offered"),
        ('agentapp = "evil:app"\nclientapp = "evil:app"', "agent-app"),
    ):
        monkeypatch.setattr(superlink, "EMPTY_BUNDLE", bundle_of(component))
        if name == "agent-app":
            monkeypatch.setattr(superlink, "APP", "flwr-agentapp")
            asked = partial(StartRunRequest, user_prompt="read the disk")
            monkeypatch.setattr(superlink, "StartRunRequest", asked)
        with link.lead() as grid:
            assert reply_to(grid, client, letter("train", node)).has_error()
        assert client.refusals()[-1] == name
    log = house.deployment.folder / "logs" / "superlink.log"
    assert "get-fab" not in log.read_text()


def test_the_empty_bundle_is_the_one_that_flower_names():
    assert hashlib.sha256(bundle.EMPTY_BUNDLE).hexdigest() == bundle.EMPTY_BUNDLE_SHA256


def test_from_a_clients_address_the_fleet_path_alone_answers(client):
    trusted = ssl.create_default_context(cadata=client.seat.ca_certificate)
    paths = {
        "/health",
        "/docs",
        "/v1/control/start-run",
        "/v1/control/list-runs",
        "/v1/runtime/acquire-task",
        "/v1/runtime/get-nodes",
        "/v1/fleet/get-fab",
        "/v1/fleet/register-node",
        "/v1/fleet/../control/list-runs",
        "/v1/fleet/%2e%2e/control/list-runs",
    }
    with httpx.Client(
        verify=trusted, base_url=f"https://{client.seat.address}"
    ) as wire:
        for path in paths:
            assert wire.post(path).status_code == 404
            assert wire.get(path).status_code == 404
        for path in CALLS:
            assert wire.post(path).status_code != 404


def test_who_was_not_admitted_is_told_so_and_lives_on(house, client):
    assert client.fleet.beat()
    house.join(4)
    stranger = Client(house, 4)
    with contextlib.closing(stranger.ledger), pytest.raises(UnknownHereError) as raised:
        stranger.fleet.arrive()
    stranger.fleet.leave()
    assert "enrolment.json" in raised.value.hint
