"""The ledger of a device against what left it, counted by others on its way.

What is counted: the contents of requests, which are what the ledger writes down, and
equal to the byte; and all bytes that came out of the client's socket, with a bound.
Between the two lie TLS (a handshake, 22 bytes a record), HTTP, and the headers that
Flower demands: public key, signature, time, its own version.
"""

import contextlib
import signal

import pytest
from house import House, free_port
from tap import Tap

from proper_client.ledger_entry import Entry, Purpose, read_ledger
from proper_client.vault import Vault

pytestmark = pytest.mark.deployment
# Around contents, at most: of a request, of a connection, and TLS records beyond these.
REQUEST_NBYTES, CONNECTION_NBYTES, RECORDS = 1_000, 4_000, 0.005
VECTORS = {Purpose.MASKED_UPDATE}
PHASES = {Purpose.JOIN, Purpose.SHARE, Purpose.AGREE, Purpose.OPEN} | VECTORS


@pytest.fixture
def tapped(tmp_path):
    port = free_port()
    made = House(tmp_path, by_way_of={0: f"localhost:{port}"})
    with contextlib.closing(Tap(made.deployment, port)) as tap:
        yield made, tap
        made.end()


def test_what_left_in_a_masked_run_is_what_the_ledger_says(tapped):
    house, tap = tapped
    house.up()
    for seat in range(4):
        house.client(seat)
    house.leader(1)
    house.wait_for_end("leader")
    assert not any(d.dropped for log in house.rounds().values() for d in log)
    client = house.running.pop("client-0")
    client.send_signal(signal.SIGTERM)
    assert client.wait(20) == 0  # asked in good manners, it ended in good manners
    entries = list(read_ledger(Vault(house.home(0))))
    assert all(isinstance(entry, Entry) for entry in entries)
    assert {entry.purpose for entry in entries} >= PHASES
    assert entries[-1].name == "settled"
    said = [entry.purpose for entry in entries if entry.name is None]
    assert said[-1] == Purpose.FAREWELL
    contents = [nbytes for _, nbytes in tap.contents]
    assert sum(entry.messages for entry in entries) == len(contents)
    assert sum(entry.nbytes for entry in entries) == sum(contents)
    most = REQUEST_NBYTES * len(contents) + CONNECTION_NBYTES * tap.meter.connections
    assert sum(contents) < tap.meter.nbytes
    assert tap.meter.nbytes <= sum(contents) * (1 + RECORDS) + most
