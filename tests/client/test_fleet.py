"""The calls of a device, over real TLS, to a SuperLink that says what it likes."""

import hashlib
import json
import socket
from collections import Counter

import pytest
from answering import PAPERS, answering
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import Message, RecordDict
from flwr.proto.message_pb2 import ObjectTree, PullObjectResponse
from flwr.supercore.error import ApiErrorCode
from flwr.supercore.task_identity import TaskIdentity

from proper_client.ledger_entry import read_ledger
from proper_client.resident import (
    AwayError,
    Fleet,
    GoneError,
    Letter,
    Seat,
    UnknownHereError,
)
from proper_shared.secagg.checks import Refusal

NODE = 7


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with answering(tmp_path_factory.mktemp("papers")) as made:
        yield made


def fleet_of(port, door):
    key = ec.generate_private_key(ec.SECP256R1())
    seat = Seat(f"localhost:{port}", PAPERS.ca_certificate.decode(), key, 2**20)
    return Fleet(seat, door, NODE)


@pytest.fixture
def fleet(server, door):
    made = fleet_of(server.server_port, door)
    yield made
    server.answer = (200, b"")
    made.leave()


def letter_of(content):
    """A letter whose one object is that, under its right name."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
    tree = ObjectTree(object_id=hashlib.sha256(content).hexdigest())
    return Letter(Message(RecordDict(), 1, "train"), tree)


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_call_of_no_run_is_waited_out_whatever_the_answer(server, fleet, status):
    server.answer = (status, b"no")
    for call in (fleet.beat, fleet.look, fleet.arrive):
        with pytest.raises(AwayError, match=f"answered {status}: no"):
            call()
    with pytest.raises(GoneError):
        fleet.check_run(3)


def test_an_answer_about_versions_does_not_end_the_program(server, fleet):
    code = int(ApiErrorCode.RUNTIME_VERSION_INCOMPATIBLE)
    said = json.dumps({"code": code, "detail": "end yourself"}).encode()
    server.answer = (412, said)
    with pytest.raises(UnknownHereError, match="answered 412") as caught:
        fleet.look()
    assert "seat was taken back" in caught.value.hint
    server.answer = (403, said)
    with pytest.raises(AwayError, match="answered 403"):
        fleet.look()


@pytest.mark.parametrize("content", [b"", b"no head", b"a b c d\0", b"\xff  0\0"])
def test_an_object_without_a_head_is_refused_and_ends_nothing(server, fleet, content):
    found = PullObjectResponse(
        object_found=True, object_available=True, object_content=content
    )
    server.answer = (200, found.SerializeToString())
    with pytest.raises(Refusal) as caught:
        fleet.open(letter_of(content))
    assert caught.value.name == "odd-objects"


def test_an_answer_that_is_none_is_refused(server, fleet):
    server.answer = (200, b"\xff" * 40)
    for call in (fleet.beat, fleet.look):
        with pytest.raises(Refusal) as caught:
            call()
        assert caught.value.name == "odd-answer"


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def test_where_nobody_listens_nothing_is_counted_and_lines_do_not_pile_up(vault, door):
    away = fleet_of(free_port(), door)
    for call in (away.beat, away.look, lambda: away.check_run(3)):
        for _ in range(4):
            with pytest.raises(AwayError, match="cannot reach"):
                call()
    away.leave()
    door.settle()
    entries = list(read_ledger(vault))
    assert sum(entry.nbytes for entry in entries) == 0
    assert sum(entry.messages for entry in entries) == 0
    names = Counter(entry.name for entry in entries)
    # two of routine; a question about a run and the farewell, whatever was tried
    assert names == {"reserved": 2, "settled": 2, None: 2, "unsent": 2}
