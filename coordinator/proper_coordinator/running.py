"""What `up`, `run` and `resume` do.

Covered: devices that are admitted while the SuperLink runs, or while it is away, or
taken back; a SuperLink whose database was lost (at the next `up` it learns all of them
again); ports that another program has.
"""

import socket
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from proper_coordinator.authority import fingerprint
from proper_coordinator.deployment import Deployment, open_deployment
from proper_coordinator.members import read_members
from proper_coordinator.progress import has_begun, loss_of, note_of
from proper_coordinator.settings import FILE
from proper_coordinator.supervisor import Supervisor, children_of
from proper_shared.environment import quiet
from proper_shared.errors import ConfigError, ProperError

if TYPE_CHECKING:
    from proper_coordinator.flower import Progress

TELL_S = 1.0
FREE_S = 5.0  # for what a killed `up` started to end

Say = Callable[[str], None]


class Show(Protocol):
    """Shows how far a task is; see `proper_shared.progress`."""

    def __call__(
        self,
        step: str,
        done: int,
        total: int,
        loss: float | None = None,
        note: str = "",
    ) -> None:
        """Say that `done` of `total` parts of a step are done."""
        ...


def keep_up(
    folder: Path, environment: Mapping[str, str], stop: threading.Event, say: Say
) -> None:
    """Run the SuperLink and the door until `stop`.

    Raises:
        ConfigError: there is no deployment, it is up already, or another program has
            one of its ports.
    """
    deployment = open_deployment(folder)
    with deployment.alone("up"):
        settings = deployment.settings
        _expect_free(settings.listen, settings.port, "address", stop)
        _expect_free("127.0.0.1", settings.inner_port, "inner_port", stop)
        say(f"clients connect to {deployment.settings.address}")
        say(f"authority {fingerprint(deployment.ca_certificate)}")
        say(f"what the processes say: {deployment.room('logs')}")
        teller = threading.Thread(target=_tell, args=(deployment, stop, say))
        teller.start()
        try:
            Supervisor(children_of(deployment, environment), say, stop).run()
        finally:
            stop.set()
            teller.join()


def _expect_free(host: str, port: int, key: str, stop: threading.Event) -> None:
    """Refuse a port that is not ours to have.

    What a killed `up` started needs a moment to end, so it is tried for a while.

    Raises:
        ConfigError: it cannot be had.
    """
    end = time.monotonic() + FREE_S
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    while True:
        try:
            with socket.socket(kind) as found:
                found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                found.bind((host, port))
        except OSError as error:
            if time.monotonic() > end or stop.wait(TELL_S / 4):
                raise ConfigError(
                    f"cannot listen on {host}:{port}: {str(error.strerror).lower()}",
                    hint=f"end what listens there, or change {key} in {FILE}",
                ) from None
        else:
            return


def _tell(deployment: Deployment, stop: threading.Event, say: Say) -> None:
    """Tell the SuperLink of members, whenever one came or left for good."""
    from proper_coordinator.lead import link_of  # noqa: PLC0415  Flower is slow
    from proper_coordinator.superlink import AwayError  # noqa: PLC0415

    link, was_up = link_of(deployment), False
    told, left = set[str](), set[str]()
    while not stop.wait(TELL_S):
        members = [m for m in read_members(deployment) if m.node_key]
        keys = {m.node_key for m in members if m.node_key and not m.gone}
        gone = {m.node_key for m in members if m.node_key and m.gone}
        if was_up and keys <= told and gone <= left:
            continue
        try:
            link.admit(sorted(keys - told))
            if gone - left:
                link.expel(gone - left)
        except AwayError:
            continue
        except ProperError as error:
            say(f"a device was not admitted: {error}")
            continue
        if not was_up and not _answers(deployment):
            continue
        if not was_up:
            say("up")
        told, left, was_up = keys, gone, True


def _answers(deployment: Deployment) -> bool:
    """Tell whether the door is open for clients."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  all of them, so one too
    listen = deployment.settings.listen
    place = host.get(listen, listen), deployment.settings.port
    try:
        socket.create_connection(place, TELL_S).close()
    except OSError:
        return False
    return True


def go_on(
    folder: Path,
    environment: MutableMapping[str, str],
    show: Show,
    say: Say,
    *,
    begun: bool,
) -> None:
    """Lead the federation to its end.

    Args:
        folder: of the deployment.
        environment: of this process; Flower reads it when it is imported.
        show: told of each round.
        say: told what noise costs, and where it ends.
        begun: whether there should be a round to go on from.

    Raises:
        ConfigError: there is such a round and should not be, or the other way round.
    """
    deployment = open_deployment(folder)
    if begun and not has_begun(deployment):
        raise ConfigError(
            "there is no complete round to go on from", hint="proper-coordinator run"
        )
    if not begun and has_begun(deployment):
        raise ConfigError(
            "this federation has begun already", hint="proper-coordinator resume"
        )
    quiet(environment)
    from proper_coordinator.lead import lead  # noqa: PLC0415  after the environment

    noisy = deployment.settings.epsilon > 0

    def watch(at: "Progress") -> None:
        loss = loss_of(at.stage, at.outcome, noisy=noisy)
        show(at.stage, at.round + 1, at.rounds, loss, note_of(at.outcome))

    lead(deployment, watch, say)
