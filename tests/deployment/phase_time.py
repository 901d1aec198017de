"""How long a phase takes: a message of 4 MB to four clients, and 4 MB back from each.

    .venv/bin/python tests/deployment/phase_time.py [repeats]

Prints a line for each phase, and the slowest at the end; ends with an error where a
reply is not whole. Every process is real, TLS and node authentication are on; the
clients give back what they got.
"""

import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Message, RecordDict
from house import House

from proper_client.device import Device
from proper_client.flower import Participant
from proper_client.vault import Vault
from proper_coordinator.flower import Line
from proper_coordinator.lead import link_of
from proper_shared.history import Entry, User

NUMBERS, CLIENTS = 10**6, 4  # 4 MB of float32
MOST = 5 * NUMBERS  # bytes of a reply


class Somebody:
    """A person with one entry, who trains nothing."""

    def user(self, number):
        return User(str(number), (Entry("1", "a text", "war"),))

    def trainer(self):
        """Have nothing to load."""


def mirror(home):
    """Take part, and give back whatever comes, in this process."""
    Participant.answer = lambda _, pairs: [
        Message(message.content, reply_to=message) for message, _ in pairs
    ]
    Device(Vault(Path(home)), Somebody()).participate()


def content():
    vector = np.arange(NUMBERS, dtype=np.float32)
    return RecordDict({"v": ArrayRecord({"x": Array(vector)})})


def measure(house, repeats):
    with link_of(house.deployment).lead() as grid:
        while len(found := list(grid.get_node_ids())) < CLIENTS:
            time.sleep(0.2)
        line = Line(grid, house.settings.poll_s, threading.Event())
        slowest = 0.0
        for number in range(repeats):
            start = time.monotonic()
            letters = {node: content() for node in found}
            replies = line.ask("train", letters, start + 60, MOST)
            seconds = time.monotonic() - start
            lost = [reply for reply in replies.values() if isinstance(reply, str)]
            if lost:
                raise SystemExit(f"phase {number}: {lost}")
            sys.stdout.write(f"phase {number}: {seconds:.2f} s\n")
            slowest = max(slowest, seconds)
        sys.stdout.write(f"slowest of {repeats}: {slowest:.2f} s\n")


def main():
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder), CLIENTS, poll_s=0.25)  # as by default
        try:
            house.up()
            for seat in range(CLIENTS):
                house.start(f"client-{seat}", __file__, "mirror", house.home(seat))
            measure(house, repeats)
        finally:
            house.end()


if __name__ == "__main__":
    if sys.argv[1:2] == ["mirror"]:
        mirror(sys.argv[2])
    else:
        main()
