"""Make a release of a deployment that has trained to its end.

Covered: a training that is not finished (unless that is wished: noise that is spent
ends it early) or is going on; settings that were changed under it (the store refuses);
the record of what noise was spent, or that there was none.
Not covered: whether the release is any good: look with a client before it is published.
"""

from pathlib import Path

from proper_coordinator.deployment import CHECKPOINTS, Deployment
from proper_coordinator.lead import Ground, ground_of, identity_of
from proper_coordinator.store import Store
from proper_shared.errors import ConfigError
from proper_shared.release import (
    STARTER,
    BackboneId,
    Header,
    read_manifest,
    write_release,
)
from proper_shared.rounds import FederatedPart, Part


def write_release_of(
    deployment: Deployment, out: Path, *, merged: bool = False, unfinished: bool = False
) -> list[str]:
    """Write the release of a deployment as a folder; return lines to show.

    Args:
        deployment: trained to its end.
        out: the folder; a release there is replaced.
        merged: with the backbone that has the population merged.
        unfinished: parts that lack rounds are taken as they stand.

    Raises:
        ConfigError: training is not finished, is going on, or something that is no
            release stands at `out`.
        FormatError: a checkpoint is damaged.
        ModelError: the backbone is not there or does not fit.
    """
    from proper_shared.backbone import public_name  # noqa: PLC0415  torch is slow
    from proper_shared.finished import finished_release  # noqa: PLC0415
    from proper_shared.stock import merge_release  # noqa: PLC0415

    settings, ground = deployment.settings, ground_of(deployment)
    with deployment.alone("run"):
        room = deployment.room(CHECKPOINTS)
        store = Store(room, identity_of(deployment, ground.facts))
        parts = trained_parts(deployment, ground, store, unfinished=unfinished)
        ledger = store.ledger()
    header = Header(
        task=settings.task,
        method=settings.method,
        personal=read_manifest(STARTER).personal,
        backbone=BackboneId(
            name=public_name(settings.backbone), fingerprint=ground.backbone.fingerprint
        ),
        seed=settings.seed,
        privacy=ledger.budget(settings.delta).spelt
        if ledger is not None
        else "no differential privacy",
    )
    group, last = (_trained(parts[stage]) for stage in ("group", "lora_router"))
    release = finished_release(header, group, last)

    def merge(empty: Path) -> None:
        merge_release(empty, ground.backbone, ground.adapted, release)

    write_release(out, release, merge if merged else None)
    return [f"wrote {out}", f"privacy       {header.protection}"]


def trained_parts(
    deployment: Deployment, ground: Ground, store: Store, *, unfinished: bool = False
) -> dict[str, FederatedPart]:
    """Return all parts as training left them, by stage.

    Raises:
        ConfigError: one of them lacks rounds, and that is not wished.
    """
    parts: dict[str, FederatedPart] = {}
    for part in ground.blueprint.parts(deployment.settings):
        checkpoint = store.load(part.stage)
        done = 0 if checkpoint is None else len(checkpoint.rounds)
        if done < part.schedule.rounds and not unfinished:
            raise ConfigError(
                f"{part.stage} has {done} of {part.schedule.rounds} rounds",
                hint="go on with `proper-coordinator resume`; where noise is spent and "
                "nothing more comes, take it as it stands with --unfinished",
            )
        if checkpoint is not None:
            part.restore(checkpoint.state)
        parts[part.stage] = part
    return parts


def _trained(part: FederatedPart) -> Part:
    if not isinstance(part, Part):
        raise TypeError(f"{part.stage} is no part that is trained")
    return part
