"""Keep the processes of a deployment running, and start anew the ones that die.

    superlink   Flower's, on 127.0.0.1, with a database on disk
    door        the way in for clients (see `door`)

Covered: a process that is killed or ends by itself starts anew, after a pause that
grows while it keeps dying; Ctrl-C and SIGTERM end all, by force after some seconds.
Not covered: this process being killed; the others end with it (see `child`), and
whoever started it starts it again.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from proper_coordinator.deployment import Deployment
from proper_shared.environment import QUIET

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
STEADY_S = 60.0  # who ran for so long starts anew at once
GRACE_S = 5.0
CHILD = (sys.executable, "-m", "proper_coordinator.child")

Say = Callable[[str], None]


@dataclass
class Child:
    """One process that is to run.

    Attributes:
        name: of its log, too.
        command: what to start.
        log: where its words go, added to what is there.
        environment: of the process.
    """

    name: str
    command: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    pause_s: float = FIRST_PAUSE_S
    again_at: float = 0.0

    def start(self, now: float) -> None:
        """Start the process; it leads a group of its own, so that Ctrl-C is ours."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603  our own commands
                self.command,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started = now

    def look(self, now: float, say: Say) -> None:
        """Start the process anew if it ended and its pause is over."""
        if self.process is None:
            if now >= self.again_at:
                self.start(now)
            return
        code = self.process.poll()
        if code is None:
            return
        steady = now - self.started > STEADY_S
        self.pause_s = FIRST_PAUSE_S if steady else self.pause_s
        say(f"{self.name} ended ({code}), starting it anew in {self.pause_s:g} s")
        self.process, self.again_at = None, now + self.pause_s
        self.pause_s = min(LONGEST_PAUSE_S, 2 * self.pause_s)


@dataclass
class Supervisor:
    """Runs children until it is told to stop.

    Attributes:
        children: in the order of their start.
        say: told what happens.
        stop: ends all.
    """

    children: Sequence[Child]
    say: Say = lambda _: None
    stop: threading.Event = field(default_factory=threading.Event)
    clock: Callable[[], float] = time.monotonic
    look_s: float = 0.2

    def run(self) -> None:
        """Keep the children running until `stop`; then end them."""
        try:
            while not self.stop.is_set():
                for child in self.children:
                    child.look(self.clock(), self.say)
                self.stop.wait(self.look_s)
        finally:
            self._end()

    def _end(self) -> None:
        running = [c.process for c in self.children if c.process is not None]
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # the database survives it
                process.wait()


def children_of(deployment: Deployment, environment: Mapping[str, str]) -> list[Child]:
    """Return what runs for a deployment."""
    logs = deployment.room("logs")
    database = deployment.room("superlink") / "flower.db"
    quiet = {**environment, **QUIET, "FLWR_HOME": str(deployment.room("superlink"))}
    superlink = [
        *(*CHILD, "superlink", "--host", "127.0.0.1"),
        *("--port", str(deployment.settings.inner_port)),
        *("--ssl-ca-certfile", str(deployment.path("ca.pem"))),
        *("--ssl-certfile", str(deployment.path("server.pem"))),
        *("--ssl-keyfile", str(deployment.path("server-key.pem"))),
        *("--isolation", "process", "--database", str(database)),
        *("--superexec-auth-secret-file", str(deployment.path("runtime.secret"))),
        "--enable-supernode-auth",
    ]
    door = [*CHILD, "door", str(deployment.folder)]
    return [
        Child("superlink", superlink, logs / "superlink.log", quiet),
        Child("door", door, logs / "door.log", quiet),
    ]
