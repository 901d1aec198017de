"""The two apps of `simulations/flower_app`, for `flwr run`.

Flower starts them in processes of its own and tells them nothing but the run's
configuration, so each process makes its people and its trainer from that. It is the
federated half of `proper-sim run`: the same apps, the same parts, the same checkpoints.
"""

import functools
import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from proper_client.flower import Participant, client_app
from proper_coordinator.flower import Coordinator, Progress, server_app
from proper_coordinator.store import Store
from proper_shared.errors import ConfigError
from proper_simulations.config import RunConfig, check_noise
from proper_simulations.members import FolderKeeper
from proper_simulations.settings import plan_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proper_simulations.engines import NodeContext, NodeGrid
    from proper_simulations.site import RunSite

NODES = "nodes"  # the one option that is Flower's affair and not the run's
OPTIONS = (*RunConfig.model_fields, NODES)

_log = logging.getLogger(__name__)


def config_of(run_config: "Mapping[str, object]") -> RunConfig:
    """Return the run that `flwr run --run-config` describes; empty texts are defaults.

    Raises:
        ConfigError: an option is unknown or has a value that it cannot have.
    """
    given = {key: value for key, value in run_config.items() if value != ""}
    given.pop(NODES, None)
    try:
        config = check_noise(RunConfig.model_validate({**given, "engine": "ray"}))
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(
            f"run-config {first['loc'][0]}: {first['msg'].lower()}",
            hint=f"known: {', '.join(OPTIONS)}",
        ) from None
    if not config.out.is_absolute():
        raise ConfigError(
            f"run-config out is {str(config.out)!r}, expected an absolute path",
            hint="Flower works in a folder of its own: --run-config 'out=\"/...\"'",
        )
    return config


@functools.lru_cache(maxsize=1)
def _site(config: RunConfig) -> "RunSite":
    from proper_simulations.site import RunSite  # noqa: PLC0415  torch takes seconds

    return RunSite(config)


@functools.lru_cache(maxsize=1)
def _participant(config: RunConfig) -> Participant:
    keeper = FolderKeeper(_folder(config) / "members")
    return Participant(_site(config), keeper, portable=True)


def _folder(config: RunConfig) -> Path:
    return config.out / "federation"


def _open(context: "NodeContext") -> Participant:
    """Return this process's participant; Ray pickles this function by its name."""
    return _participant(config_of(context.run_config))


def _lead(grid: "NodeGrid", context: "NodeContext") -> None:
    """Train the three parts with the SuperNodes."""
    config = config_of(context.run_config)
    site = _site(config)
    nodes = context.run_config.get(NODES, len(site.members()))
    plan = plan_of(config, site.settings, min_nodes=int(str(nodes)))
    noise = {"epsilon", "delta"} if config.epsilon is None else set()
    chosen = config.model_dump_json(exclude={"out", *noise})
    facts = (chosen, site.data.fingerprint, plan)
    identity = hashlib.sha256(repr(facts).encode()).hexdigest()
    store = Store(_folder(config), identity)
    lead = Coordinator(
        plan,
        store,
        _say,
        base=site.trainer().base,
        outline=site.outline(),
        say=_log.warning,
    )
    lead.run(grid, site.parts())


def _say(progress: Progress) -> None:
    outcome = progress.outcome
    _log.warning(
        "%s %d/%d: loss %s, %d nodes, %.1f s",
        progress.stage,
        progress.round + 1,
        progress.rounds,
        outcome.loss,
        outcome.count,
        outcome.seconds,
    )


client = client_app(_open)
server = server_app(_lead)
