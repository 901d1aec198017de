"""The release under the canaries: a short federation on the rewriting world.

Labels cannot hold a secret, so canaries need a task whose answers are text. Population
and groups are trained as `proper-sim run --world rewriting --quick` trains them, with a
fifth of the rounds and without masks, which change no digit but by rounding.
"""

from pathlib import Path

from proper_coordinator.plan import Plan
from proper_shared.backbone import public_name
from proper_shared.errors import ProtocolError
from proper_shared.finished import finished_release
from proper_shared.release import BackboneId, Header, digest_of, write_release
from proper_shared.rounds import Part
from proper_simulations.config import RunConfig
from proper_simulations.federation import Job, run_federation
from proper_simulations.pieces import Pieces
from proper_simulations.site import RunSite

WORLD = "rewriting"


def release_for(folder: Path, identity: str, backbone: str, seed: int) -> Path:
    """Return the release in `folder`; train it, or go on training it, if need be.

    Args:
        folder: of this federation alone.
        identity: all that the federation depends on, in short.
        backbone: that is adapted.
        seed: of the world and of everything in the training.

    Raises:
        ConfigError: the folder holds another federation.
        ProtocolError: a round failed, so that too little is trained.
    """
    release = folder / "release"
    config = RunConfig(world=WORLD, backbone=backbone, seed=seed, quick=True)
    kept = Pieces(folder, identity)
    kept.get("trained", lambda: _train(RunSite(config), folder, identity, release))
    return release


def _train(site: RunSite, folder: Path, identity: str, release: Path) -> str:
    """Train all parts and write the release; return the hash of its manifest."""
    size, seed = site.settings.cohort_size, site.config.seed
    job = Job(
        nodes=len(site.members()),
        folder=folder / "rounds",
        identity=identity,
        plan=Plan(cohort_size=size, seed=seed, masked=False),
    )
    outcome = run_federation(site.parts(), site, job)
    failed = [r.failed for own in outcome.rounds.values() for r in own if r.failed]
    if failed:
        raise ProtocolError(f"{len(failed)} rounds failed, the last by: {failed[-1]}")
    trained = {part.stage: part for part in outcome.parts if isinstance(part, Part)}
    trainer = site.trainer()
    header = Header(
        task=site.data.task.name,
        method=site.settings.method,
        personal=site.settings.personal.model_dump(),
        backbone=BackboneId(
            name=public_name(site.config.backbone), fingerprint=trainer.fingerprint
        ),
        seed=seed,
        privacy=outcome.budget.spelt,
    )
    group, last = trained["group"], trained["lora_router"]
    write_release(release, finished_release(header, group, last))
    return digest_of(release)
