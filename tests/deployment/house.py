"""A whole deployment on this machine: every process real, every folder its own."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from proper_client.enrolment import enroll
from proper_client.vault import Vault
from proper_coordinator.deployment import make_deployment
from proper_coordinator.joining import take_in, write_invitation
from proper_coordinator.office import (
    SUFFIX,
    countersign_files,
    load_office,
    make_office,
)
from proper_coordinator.settings import Settings
from proper_coordinator.store import read_rounds
from proper_shared.environment import QUIET

TOYS = Path(__file__).with_name("toys.py")
LONGEST_S = 150.0
# Four people of one entry each, where the defaults ask for ten of ten. An office that
# is not the coordinator's vouches for each, and each demands that of all others.
POLICY = """
min_cohort = 4
min_vouched = 3
min_items = 1
only_plugged_in = false
"""
ENVIRONMENT = {
    **os.environ,
    **QUIET,
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(TOYS.parents[1]), *sys.path]),
}


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class House:
    """Starts processes, and ends all of them at the end of the test.

    Args:
        folder: of all that they keep.
        clients: how many enrol at once; each with a home of its own.
        by_way_of: addresses, by seat, of what stands between a client and the door.
        changes: of the settings.
    """

    def __init__(self, folder, clients=4, by_way_of=None, **changes):
        self.folder, self.clients = folder, clients
        self.by_way_of = by_way_of or {}
        chosen = {
            "address": f"localhost:{free_port()}",
            "inner_port": free_port(),
            "listen": "127.0.0.1",
            "min_clients": clients,
            "round_timeout_s": 20.0,
            "phase_timeout_s": 20.0,
            "poll_s": 0.05,
        }
        self.settings = Settings(**(chosen | changes))
        self.office = folder / "office.key"
        make_office(self.office)
        office = load_office(self.office).identity
        self.deployment = make_deployment(
            folder / "coordinator", self.settings, (), datetime.now(UTC), office
        )
        self.running = {}
        for seat in range(clients):
            self.join(seat)

    def home(self, seat):
        return self.folder / f"home-{seat}"

    def join(self, seat):
        invitation, answer = (
            self.folder / f"{seat}.{what}.json" for what in ("invitation", "enrolment")
        )
        write_invitation(self.deployment.folder, f"person {seat}", invitation)
        if seat in self.by_way_of:
            said = json.loads(invitation.read_bytes())
            said["address"] = self.by_way_of[seat]
            invitation.write_text(json.dumps(said))
        enroll(invitation, answer, Vault(self.home(seat)))
        (self.home(seat) / "policy.toml").write_text(POLICY)
        countersign_files(self.office, [answer])
        countersigned = answer.with_name(answer.stem + SUFFIX)
        take_in(self.deployment.folder, answer, countersigned)

    def start(self, name, *command):
        log = (self.folder / f"{name}.log").open("ab")
        self.running[name] = subprocess.Popen(  # noqa: S603
            [sys.executable, *command],
            stdout=log,
            stderr=log,
            env=ENVIRONMENT,
            start_new_session=True,
        )
        log.close()
        return self.running[name]

    def up(self):
        command = "from proper_coordinator.cli import main; main()"
        self.start("up", "-c", command, "up", "--dir", str(self.deployment.folder))

    def client(self, seat):
        return self.start(f"client-{seat}", TOYS, "client", self.home(seat), str(seat))

    def leader(self, rounds):
        folder = self.deployment.folder
        return self.start("leader", TOYS, "leader", folder, str(rounds))

    def kill(self, name):
        process = self.running.pop(name)
        process.kill()
        process.wait()

    def kill_child(self, what):
        """Kill the process of the supervisor whose command line names `what`."""
        asked = ["ps", "-ww", "-eo", "pid,args"]
        lines = subprocess.check_output(asked, text=True).splitlines()  # noqa: S603
        own = f"proper_coordinator.child {what}"
        place = str(self.deployment.folder)
        pids = [int(x.split()[0]) for x in lines if own in x and place in x]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        assert len(pids) == 1

    def rounds(self):
        return read_rounds(self.deployment.folder / "checkpoints")

    def wait(self, met, what):
        end = time.monotonic() + LONGEST_S
        while not met():
            ended = {n: p.poll() for n, p in self.running.items()}
            assert not any(ended.values()), f"{ended}\n{self.said()}"
            assert time.monotonic() < end, f"{what} did not come\n{self.said()}"
            time.sleep(0.05)

    def wait_for_rounds(self, count):
        def met():
            return sum(map(len, self.rounds().values())) >= count

        self.wait(met, f"round {count}")

    def wait_for_end(self, name):
        process = self.running[name]
        self.wait(lambda: process.poll() is not None, f"the end of {name}")
        assert process.returncode == 0, self.said()

    def said(self):
        logs = [*self.folder.glob("*.log"), *self.deployment.folder.glob("logs/*.log")]
        return "\n".join(f"== {log.name}\n{log.read_text()[-2000:]}" for log in logs)

    def end(self):
        for process in self.running.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for process in self.running.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
