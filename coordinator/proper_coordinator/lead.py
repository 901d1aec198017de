"""Lead the federation of a deployment.

Training stands in checkpoints on this disk and nowhere else: whoever leads goes on from
the last complete round, whether the leader, Flower or the whole machine was killed.

Covered: a run that Flower took away (another one is begun), settings that were changed
under a run (refused by the store).
Not covered: two coordinators in two copies of one folder.
"""

import hashlib
import json
import logging
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from proper_coordinator.attendance import Seated
from proper_coordinator.checks import Gauge
from proper_coordinator.deployment import CHECKPOINTS, SECRET, Deployment
from proper_coordinator.flower import NO_BASE, Coordinator, Progress
from proper_coordinator.members import read_members, strike
from proper_coordinator.names import Names
from proper_coordinator.plan import Plan, Privacy
from proper_coordinator.public_texts import PublicTexts, read_public_texts
from proper_coordinator.settings import Settings
from proper_coordinator.store import Store, expect_settings, has_blocks
from proper_coordinator.superlink import PATIENCE_S, LostRunError, SuperLink
from proper_shared.durable import write_file
from proper_shared.errors import ConfigError
from proper_shared.offers import base_hash
from proper_shared.rounds import FederatedPart, Outline
from proper_shared.secagg.quorum import quorum
from proper_shared.tasks import get_task

if TYPE_CHECKING:
    from proper_shared.backbone import Backbone
    from proper_shared.method.stages import AdaptedModel
    from proper_shared.parts import Blueprint

RUN = "run.number"
MAX_LOST = 20  # runs in a row that Flower may take away without a round between

_log = logging.getLogger(__name__)

Parts = Callable[[], Iterable[FederatedPart]]


@dataclass
class Leader:
    """Leads one deployment.

    Attributes:
        deployment: whose.
        parts: makes all parts anew, as they are before the first round.
        watch: called after each complete round.
        facts: all that the result depends on besides the settings.
        base: what is adapted and how; see `offers.base_hash`.
        outline: what all parts will ask for; only noise needs it.
        say: told what an operator should know: of the noise, and who is waited for.
        gauge: judges each round by public texts; None where there are none.
    """

    deployment: Deployment
    parts: Parts
    watch: Callable[[Progress], None] = lambda _: None
    facts: tuple[str, ...] = ()
    base: str = NO_BASE
    outline: tuple[Outline, ...] = ()
    say: Callable[[str], None] = _log.info
    gauge: Gauge | None = None
    _rounds: int = field(default=0, init=False)

    def run(self) -> None:
        """Train all parts to their end, from wherever they stand.

        Raises:
            ConfigError: another process leads, or the settings were changed.
            AwayError: the SuperLink does not answer.
            ProtocolError: see `Coordinator.run`.
        """
        with self.deployment.alone("run"):
            link = link_of(self.deployment, self.say)
            reach(self.deployment, link)
            self._begin()
            lost = 0
            while True:
                before = self._rounds
                try:
                    with link.lead() as grid:
                        self._coordinator().run(grid, self.parts())
                except LostRunError as error:
                    lost = 1 if self._rounds > before else lost + 1
                    if lost > MAX_LOST:
                        raise
                    _log.warning("%s; beginning another run", error)
                else:
                    return

    def _begin(self) -> None:
        """Before the members are divided, let the log say who is left."""
        if not has_blocks(self.deployment.folder / CHECKPOINTS):
            with self.deployment.alone("invite"):
                strike(self.deployment, datetime.now(UTC).date())

    def _coordinator(self) -> Coordinator:
        deployment = self.deployment
        room, counted = deployment.room(CHECKPOINTS), counted_settings(deployment)
        return Coordinator(
            plan_of(deployment),
            Store(room, identity_of(deployment, self.facts), counted),
            self._note,
            names=Names(deployment.federation, run_number(room)),
            base=self.base,
            log=deployment.log.dump(),
            seats=seats_of(deployment),
            outline=self.outline,
            say=self.say,
            gauge=self.gauge,
        )

    def _note(self, progress: Progress) -> None:
        self._rounds += 1
        self.watch(progress)


def identity_of(deployment: Deployment, facts: tuple[str, ...] = ()) -> str:
    """Return a hash of all that the result of a deployment depends on.

    Args:
        deployment: its settings count, but for network and waiting.
        facts: what it depends on besides; see `Ground.facts`.
    """
    settings = deployment.settings
    chosen = settings.model_dump_json(exclude=_unheard(settings))
    everything = (deployment.federation, chosen, *facts)
    return hashlib.sha256(repr(everything).encode()).hexdigest()


def counted_settings(deployment: Deployment) -> dict[str, str]:
    """Return the settings that the result of a deployment depends on, as text."""
    settings = deployment.settings
    found = settings.model_dump(mode="json", exclude=_unheard(settings))
    return {name: json.dumps(value, sort_keys=True) for name, value in found.items()}


def _unheard(settings: Settings) -> set[str]:
    """Return the settings on which the result of a deployment does not depend."""
    network = {"address", "listen", "inner_port", "max_upload_mib"}
    waiting = {
        "join_timeout_s",
        "round_timeout_s",
        "phase_timeout_s",
        "poll_s",
        "min_clients",
    }
    noise = set() if settings.epsilon else {"epsilon", "delta", "bounds"}
    texts = {"public_texts"}  # what they say is a fact, not where they lie
    told = {"releases"}
    return network | waiting | noise | texts | told


def run_number(room: Path) -> str:
    """Return the number of the run whose checkpoints lie here, drawn at its start."""
    path = room / RUN
    if not path.exists():
        write_file(path, secrets.token_hex(16).encode(), SECRET)
    return path.read_text(encoding="ascii")


def seats_of(deployment: Deployment) -> dict[int, Seated]:
    """Return who was given which seat."""
    return {
        m.number: Seated(m.identity, m.node_key if m.is_here else None, m.name)
        for m in read_members(deployment)
        if m.identity
    }


def reach(deployment: Deployment, link: SuperLink) -> None:
    """Wait for the SuperLink, and see that it knows all members.

    Raises:
        AwayError: it does not answer.
        ConfigError: fewer are members than are to be waited for.
    """
    keys = [m.node_key for m in read_members(deployment) if m.node_key and not m.gone]
    if len(keys) < (least := max(1, deployment.settings.min_clients)):
        raise ConfigError(
            f"{len(keys)} people are members, expected {least} at least",
            hint="proper-coordinator invite; or a smaller min_clients",
        )
    link.admit(keys, PATIENCE_S)


def link_of(
    deployment: Deployment, say: Callable[[str], None] = _log.info
) -> SuperLink:
    """Return the way to a deployment's SuperLink."""
    return SuperLink(
        deployment.inner_address,
        deployment.ca_certificate,
        deployment.runtime_secret,
        deployment.settings.max_upload_mib * 2**20,
        say,
    )


def plan_of(deployment: Deployment) -> Plan:
    """Return who takes part, and how long to wait."""
    settings = deployment.settings
    return Plan(
        cohort_size=settings.cohort_size,
        seed=settings.seed,
        privacy=privacy_of(settings),
        min_nodes=least_clients(deployment),
        join_timeout_s=settings.join_timeout_s,
        round_timeout_s=settings.round_timeout_s,
        phase_timeout_s=settings.phase_timeout_s,
        poll_s=settings.poll_s,
    )


def least_clients(deployment: Deployment) -> int:
    """Return how many clients to wait for at the start.

    Without a number of the operator's it is what makes a sum of all. A run that goes on
    has its blocks, each of which is waited for by itself.
    """
    if chosen := deployment.settings.min_clients:
        return chosen
    if has_blocks(deployment.folder / CHECKPOINTS):
        return 1
    here = sum(member.is_here for member in read_members(deployment))
    return quorum(max(1, here))


def privacy_of(settings: Settings) -> Privacy | None:
    """Return what a run may cost each member; None where it is without noise."""
    if not settings.epsilon:
        return None
    return Privacy(
        epsilon=settings.epsilon, delta=settings.delta, bounds=settings.bounds
    )


@dataclass(frozen=True)
class Ground:
    """What a deployment trains on.

    Attributes:
        blueprint: of the parts.
        backbone: its model is wrapped in `adapted`.
        adapted: the backbone, with fresh parts.
        texts: by which a part is judged; None where there are none.
        gauge: judges a part by them, likewise.
    """

    blueprint: "Blueprint"
    backbone: "Backbone"
    adapted: "AdaptedModel"
    texts: PublicTexts | None = None
    gauge: Gauge | None = None

    @property
    def facts(self) -> tuple[str, ...]:
        """All that the result depends on besides the settings."""
        texts = () if self.texts is None else (self.texts.digest,)
        return self.backbone.fingerprint, *texts


def ground_of(deployment: Deployment) -> Ground:
    """Load the deployment's backbone, and the public texts if it has some.

    Raises:
        ConfigError: there are no public texts where there should be.
        DataError: they are no histories.
        ModelError: the backbone is not there or does not fit.
    """
    from proper_shared.backbone import load_backbone  # noqa: PLC0415  torch is slow
    from proper_shared.canary import Canary  # noqa: PLC0415
    from proper_shared.encoding import Encoder  # noqa: PLC0415
    from proper_shared.method.stages import AdaptedModel  # noqa: PLC0415
    from proper_shared.parts import Blueprint  # noqa: PLC0415

    settings = deployment.settings
    texts = gauge = None
    if settings.public_texts:
        place = deployment.folder / settings.public_texts
        texts = read_public_texts(place, settings.task)
    backbone = load_backbone(settings.backbone)
    adapted = AdaptedModel(backbone.model, settings.method, settings.seed)
    adapted.add("population")
    adapted.add("group")
    blueprint = Blueprint(adapted, settings.seed)
    if texts is not None:
        encoder = Encoder(backbone.tokenizer, get_task(settings.task))
        gauge = Gauge(Canary(adapted, encoder, texts.people).measure)
    return Ground(blueprint, backbone, adapted, texts, gauge)


def lead(
    deployment: Deployment,
    watch: Callable[[Progress], None],
    say: Callable[[str], None] = _log.info,
) -> None:
    """Train what the settings say; see `Leader.run`."""
    settings = deployment.settings
    expect_settings(deployment.folder / CHECKPOINTS, counted_settings(deployment))
    if settings.public_texts:
        read_public_texts(deployment.folder / settings.public_texts, settings.task)
    reach(deployment, link_of(deployment, say))  # before a backbone is loaded
    say(f"loading {settings.backbone} ...")
    ground = ground_of(deployment)
    method = settings.method.model_dump_json()
    base = base_hash(ground.backbone.fingerprint, settings.task, method, settings.seed)
    parts = lambda: ground.blueprint.parts(settings)  # noqa: E731
    outline = ground.blueprint.outline(settings) if settings.epsilon else ()
    Leader(
        deployment,
        parts,
        watch,
        facts=ground.facts,
        base=base,
        outline=outline,
        say=say,
        gauge=ground.gauge,
    ).run()
