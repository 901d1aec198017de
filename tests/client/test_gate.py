"""What may leave a device, and what may come back, over a real TLS connection."""

from datetime import UTC, datetime

import httpx
import pytest
from answering import PAPERS, answering

from proper_client.gate import OVERHEAD, PURPOSES, SMALL, Gate
from proper_client.ledger import Door, Ledger
from proper_client.ledger_entry import NOWHERE, Purpose, read_ledger
from proper_coordinator.authority import new_papers
from proper_shared.secagg.checks import Refusal

TWO_GB = 2 * 10**9


@pytest.fixture
def server(tmp_path):
    with answering(tmp_path) as made:
        yield made


def send(server, vault, call, body=b"", **changes):
    left = changes.get("left", 0)
    trusted = changes.get("trusted", PAPERS.ca_certificate)
    url = f"https://localhost:{server.server_port}/v1/fleet/x"
    with Ledger(vault) as ledger, Door(ledger, "here") as door:
        gate = Gate(trusted.decode(), door)
        gate.left, gate.contents = left, (Purpose.UPDATE, NOWHERE)
        try:
            return gate.send(call, httpx.Request("POST", url, content=body))
        finally:
            gate.close()


def entries(vault):
    return list(read_ledger(vault))


@pytest.mark.parametrize("call", [*PURPOSES, "PushObject"])
def test_each_known_call_is_written_down_with_its_bytes(server, vault, call):
    assert send(server, vault, call, b"four").content == b"ok"
    assert server.came == [b"four"]
    found = entries(vault)
    expected = PURPOSES.get(call, Purpose.UPDATE)
    assert {entry.purpose for entry in found} == {expected}
    assert sum(entry.nbytes for entry in found) == 4


@pytest.mark.parametrize(
    "call", ["GetFab", "RegisterNode", "UnregisterNode", "StartRun", "", "getrun"]
)
def test_no_bundle_and_nothing_unknown_is_ever_asked_for(server, vault, call):
    with pytest.raises(Refusal, match="none of ours") as raised:
        send(server, vault, call, b"four")
    assert raised.value.name == "unknown-call"
    assert server.came == []
    assert entries(vault) == []


def test_an_object_of_two_gigabytes_is_refused_before_it_is_read(server, vault):
    server.answer = (200, {"content-length": str(TWO_GB)}, b"")
    with pytest.raises(Refusal, match="2000000000 bytes") as raised:
        send(server, vault, "PullObject", left=64 * 2**20)
    assert raised.value.name == "object-too-large"


def test_an_object_that_hides_its_length_is_refused_on_the_way(server, vault):
    server.answer = (200, {"connection": "close"}, b"x" * (OVERHEAD + 11))
    with pytest.raises(Refusal, match="more than"):
        send(server, vault, "PullObject", left=10)


def test_other_answers_are_small(server, vault):
    server.answer = (200, {"content-length": str(SMALL + 1)}, b"")
    with pytest.raises(Refusal, match="at most"):
        send(server, vault, "PullMessages", left=64 * 2**20)


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        ((307, {"location": "https://else.example"}, b""), "redirection"),
        ((200, {"content-encoding": "gzip", "content-length": "0"}, b""), "compressed"),
    ],
)
def test_answers_that_lead_elsewhere_are_refused(server, vault, answer, name):
    server.answer = answer
    with pytest.raises(Refusal) as raised:
        send(server, vault, "PullMessages")
    assert raised.value.name == name


def test_nothing_is_sent_to_a_server_of_another_authority(server, vault):
    other = new_papers(["localhost"], datetime.now(UTC)).ca_certificate
    with pytest.raises(httpx.ConnectError, match="certificate"):
        send(server, vault, "PushObject", b"four", trusted=other)
    assert server.came == []


def test_no_proxy_of_the_environment_is_used(server, vault, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    assert send(server, vault, "PullMessages").content == b"ok"
