"""Run a whole federation in this machine, with one of two engines.

memory  all nodes in this process; a cohort trains in one pass
ray     Flower's own simulation; each node by itself, in processes that Ray keeps

Both run the same ServerApp and ClientApp and leave the same folder, from which either
goes on where a run was interrupted. Results differ by float rounding alone.

Importing this module imports neither Flower nor Ray, which read their settings from
the environment when they are imported.
"""

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from proper_coordinator.plan import Plan
from proper_shared.privacy.budget import Budget, without_privacy

if TYPE_CHECKING:
    from proper_client.member import State
    from proper_client.site import Site
    from proper_coordinator.flower import Progress
    from proper_coordinator.store import Round
    from proper_shared.rounds import FederatedPart, Outline

Engine = Literal["memory", "ray"]

# No telemetry, no look for updates, no installer; one thread for each Ray process,
# since they share the cores among them.
ENVIRONMENT = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """What to run, besides the parts and the people.

    Attributes:
        nodes: How many nodes there are; node i is the person at seat i.
        folder: Where checkpoints go, and where a run goes on from.
        identity: All that the result depends on, in short (a hash).
        plan: Cohorts and time-outs; it waits for all nodes, whatever it says.
        engine: Which of the two.
        actors: Processes of the ray engine; each loads the backbone once.
        canary: Loss of a part on public texts; None where there are none.
        outline: What all parts will ask for; only noise needs it.
        say: Told what noise costs, and where it ends.
    """

    nodes: int
    folder: Path
    identity: str
    plan: Plan = field(default_factory=Plan)
    engine: Engine = "memory"
    actors: int = 2
    canary: Callable[["FederatedPart"], float | None] | None = None
    outline: Sequence["Outline"] = ()
    say: Callable[[str], None] = _log.info


@dataclass(frozen=True)
class Outcome:
    """What a federation left behind, interruptions and all.

    Attributes:
        parts: The finished parts, in their order.
        rounds: The log of each part's rounds, by stage.
        members: What each device keeps, by seat; for the simulation's eyes only.
        budget: What a release says of its privacy.
    """

    parts: tuple["FederatedPart", ...]
    rounds: dict[str, tuple["Round", ...]]
    members: dict[int, "State"]
    budget: Budget = field(default_factory=without_privacy)

    @property
    def seconds(self) -> float:
        """Time spent in complete rounds."""
        return sum(round_.seconds for round_ in self._all())

    @property
    def bytes_down(self) -> int:
        """Bytes sent to nodes in complete rounds."""
        return sum(round_.bytes_down for round_ in self._all())

    @property
    def bytes_up(self) -> int:
        """Bytes sent by nodes in complete rounds."""
        return sum(round_.bytes_up for round_ in self._all())

    def _all(self) -> Sequence["Round"]:
        return [round_ for rounds in self.rounds.values() for round_ in rounds]


def run_federation(
    parts: Iterable["FederatedPart"],
    site: "Site",
    job: Job,
    watch: Callable[["Progress"], None] = lambda _: None,
) -> Outcome:
    """Train the parts in their order; go on from `job.folder` if it holds this run.

    Args:
        parts: Taken one at a time, after the one before is finished, so that a
            generator can build each from the result of the last.
        site: People and trainer; the ray engine pickles it, so it should hold names
            and settings and load in `trainer()`.
        job: Size, place and engine.
        watch: Called after each complete round.

    Raises:
        ConfigError: the folder holds another run.
        KeyboardInterrupt: Ctrl-C; the same call goes on after the last complete round.
        ProtocolError: no node could answer a round.
    """
    quiet_environment()
    from proper_simulations.engines import run_memory, run_ray  # noqa: PLC0415

    run = run_ray if job.engine == "ray" else run_memory
    return run(parts, site, job, watch)


def quiet_environment() -> None:
    """Tell Flower and Ray to keep to themselves; call it before they are imported."""
    os.environ.update(ENVIRONMENT)
