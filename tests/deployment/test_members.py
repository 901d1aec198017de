"""What a member can do to the others, and what is left once it is gone."""

import contextlib

import pytest
from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from test_contract import Client, arrives, letter

from proper_client.resident import UnknownHereError
from proper_coordinator.lead import link_of, seats_of
from proper_coordinator.line import raw
from proper_coordinator.members import read_members

pytestmark = pytest.mark.deployment


def broken(pairs):
    """Answer with a record whose body is no such thing."""
    real = ConfigRecord.deflate

    def deflate(self):
        head, mark, body = real(self).partition(b"\0")
        return head + mark + b"{" * len(body)

    (message, _), *_ = pairs
    odd = ConfigRecord({"a": 1})
    odd.deflate = deflate.__get__(odd)
    return [Message(RecordDict({"c": odd}), reply_to=message)]


def good(pairs):
    (message, _), *_ = pairs
    content = RecordDict({"answer": ArrayRecord({"bytes": raw(b"good")})})
    return [Message(content, reply_to=message)]


@contextlib.contextmanager
def at(house, seat, answer):
    made = Client(house, seat, answer)
    house.wait(lambda: arrives(made), "the door")
    yield made
    with contextlib.suppress(UnknownHereError):
        made.fleet.leave()
    made.door.settle()
    made.ledger.close()


def test_a_member_spoils_its_own_reply_alone_and_one_that_left_is_unknown(house):
    house.up()
    link = link_of(house.deployment)
    link.admit([m.node_key for m in read_members(house.deployment)], 100.0)
    with at(house, 0, broken) as odd, at(house, 1, good) as honest, link.lead() as grid:
        seats = seats_of(house.deployment)
        own = {seats[seat].node_key: seat for seat in seats}
        # The SuperLink knows by which key it knows a node: a seat cannot be claimed.
        here = {own[n.public_key.decode()]: n.node_id for n in grid.get_nodes()}
        assert here.keys() == {0, 1}
        pushed = grid.push_messages([letter("train", here[seat]) for seat in (0, 1)])
        numbers = dict(zip(pushed, (0, 1), strict=True))
        odd.handle()
        honest.handle()
        found = {}
        while len(found) < 2:
            for reply in grid.pull_messages([n for n in numbers if n not in found]):
                found[reply.metadata.reply_to_message_id] = reply
        by_seat = {numbers[name]: reply for name, reply in found.items()}
        assert "cannot be read: DecodeError" in by_seat[0].error.reason
        assert by_seat[1].content["answer"]["bytes"].data == b"good"
        link.expel([seats[0].node_key])
        assert [n.node_id for n in grid.get_nodes()] == [here[1]]
        assert not odd.fleet.beat()
        with pytest.raises(UnknownHereError):
            odd.fleet.arrive()
        link.expel([seats[0].node_key])  # it is gone already
