"""What `up`, `run` and `resume` do.

Covered: devices that are admitted while the SuperLink runs, or while it is away; a
SuperLink whose database was lost (at the next `up` it learns all of them again).
"""

import threading
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Protocol

from proper_coordinator.authority import fingerprint
from proper_coordinator.deployment import Deployment, open_deployment
from proper_coordinator.members import read_members
from proper_coordinator.progress import has_begun
from proper_coordinator.supervisor import Supervisor, children_of
from proper_shared.environment import quiet
from proper_shared.errors import ConfigError, ProperError

TELL_S = 1.0

Say = Callable[[str], None]


class Show(Protocol):
    """Shows how far a task is; see `proper_shared.progress`."""

    def __call__(
        self, step: str, done: int, total: int, loss: float | None = None
    ) -> None:
        """Say that `done` of `total` parts of a step are done."""
        ...


def keep_up(
    folder: Path, environment: Mapping[str, str], stop: threading.Event, say: Say
) -> None:
    """Run the SuperLink and the door until `stop`.

    Raises:
        ConfigError: there is no deployment, or it is up already.
    """
    deployment = open_deployment(folder)
    with deployment.alone("up"):
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


def _tell(deployment: Deployment, stop: threading.Event, say: Say) -> None:
    """Tell the SuperLink of members, whenever there are new ones."""
    from proper_coordinator.lead import link_of  # noqa: PLC0415  Flower is slow
    from proper_coordinator.superlink import AwayError  # noqa: PLC0415

    link, told, was_up = link_of(deployment), set[str](), False
    while not stop.wait(TELL_S):
        keys = {m.node_key for m in read_members(deployment) if m.node_key}
        if was_up and keys <= told:
            continue
        try:
            link.admit(sorted(keys - told))
        except AwayError:
            continue
        except ProperError as error:
            say(f"a device was not admitted: {error}")
            continue
        if not was_up:
            say("up")
        told, was_up = keys, True


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

    lead(
        deployment,
        lambda at: show(at.stage, at.round + 1, at.rounds, at.outcome.loss),
        say,
    )
