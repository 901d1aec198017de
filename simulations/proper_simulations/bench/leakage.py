"""What a personal adapter tells about its history: `proper-sim bench leakage`.

Somebody has the whole personal model of a user: who stole the device's adapter, or was
given it. Two questions, asked of PROPER's adapters and of OPPU's on the same entries,
over the same release and with as many steps of the user LoRA:

    membership   was this entry in the history? Tagging, on the release that ships with
                 the package, people of its world who trained none of it
    canaries     which number stands in the history? Rewriting, on a release of a short
                 federation, since labels cannot hold a secret

OPPU has the user LoRA alone on stage 1; PROPER has the groups under it, an embedding
and a router. Histories are of a made-up world and short, the backbone is `nano`.

Not covered: who was in the federation, which is a matter of the release and of noise;
attacks on the numbers of an adapter; what somebody learns who may only ask questions.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from proper_shared.allocator import keep_freed_memory
from proper_shared.history import User
from proper_shared.release import STARTER
from proper_simulations.bench.leak_canaries import Canaries
from proper_simulations.bench.leak_ground import release_for
from proper_simulations.bench.leak_membership import Inference, Membership
from proper_simulations.bench.leak_models import METHODS, Models
from proper_simulations.bench.measure import circumstances
from proper_simulations.pieces import Pieces, code_fingerprint
from proper_simulations.report.terminal import aligned
from proper_simulations.worlds import make_world

Show = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How much is trained and attacked.

    Attributes:
        users: whose personal models are attacked.
        shadows: adapters of each user beside the one under attack.
        rates: of false alarms, at which true ones are counted.
        planted: how often a secret stands in the history.
        alternatives: how many numbers a secret can be.
        resamples: draws of users for an interval.
    """

    users: int = 100
    shadows: int = 32
    rates: tuple[float, ...] = (0.01, 0.001)
    planted: tuple[int, ...] = (1, 4, 16)
    alternatives: int = 10_000
    resamples: int = 1_000


QUICK = Plan(users=10, shadows=4, planted=(1, 16), alternatives=1_000, resamples=200)


@dataclass(frozen=True)
class Under:
    """What is under the personal models.

    Attributes:
        release: whose task has labels.
        backbone: of both releases.
    """

    release: Path = STARTER
    backbone: str = "nano"


def leakage(
    plan: Plan,
    folder: Path,
    *,
    seed: int = 0,
    under: Under | None = None,
    show: Show = lambda _: None,
) -> dict[str, object]:
    """Attack; finished trainings are kept in `folder` and not made again.

    Args:
        plan: how much is trained. With more shadows the same folder goes on.
        folder: of this benchmark with this seed alone.
        seed: of halves, secrets, trainings and the world of the canaries.
        under: what is under the personal models.
        show: told of each training before it.

    Returns:
        Circumstances, `membership` and `canaries`.

    Raises:
        ConfigError: the folder holds trainings of another plan, seed or program.
    """
    keep_freed_memory()
    under = under or Under()
    identity = _identity(plan, seed)
    models = Models(under.release, under.backbone)
    pieces = Pieces(folder / "membership", f"{identity}{models.digest}")
    halves = Membership(models, _people(models, plan), pieces, seed)
    wanted = Inference(plan.shadows, plan.rates, plan.resamples)
    membership = halves.measured(wanted, show)
    show("the federation under the canaries")
    ground = release_for(folder / "federation", identity, under.backbone, seed)
    models = Models(ground, under.backbone)
    pieces = Pieces(folder / "canaries", identity)
    people = _people(models, plan)
    canaries = Canaries(models, people, plan.alternatives, pieces, seed)
    quick = " --quick" if plan == QUICK else ""
    few = "" if quick else f" --shadows {plan.shadows}"
    return {
        "command": f"proper-sim bench leakage{quick}{few} --json --seed {seed}",
        **circumstances(seed),
        "plan": asdict(plan),
        "membership": membership,
        "canaries": canaries.measured(plan.planted, plan.resamples, show),
    }


def _people(models: Models, plan: Plan) -> Sequence[User]:
    """Return new people of the world that a release was trained on."""
    name = models.encoder.task.name
    return make_world(name, models.seed, others=0, users=plan.users).users


def _identity(plan: Plan, seed: int) -> str:
    """Return all that a training depends on, as a hash; not how many there are."""
    here = Path(__file__).parent
    own = [path.read_bytes() for path in sorted(here.glob("leak*.py"))]
    words = json.dumps([plan.users, plan.alternatives, seed]).encode()
    parts = [words, code_fingerprint().encode(), *own]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def as_text(result: Mapping[str, Any], *, as_json: bool) -> str:
    """Return what was found as tables, or as the JSON that a results file holds."""
    if as_json:
        return json.dumps(result, indent=1)
    parts = [
        _membership_text(result["membership"]),
        _canaries_text(result["canaries"]),
    ]
    return "\n\n".join(parts)


def _membership_text(found: Mapping[str, Any]) -> str:
    lines = [["membership", *METHODS, "difference"]]
    blind = _spelt(found["without_the_model"])
    lines.append(["auc without the model", blind, blind, ""])
    for attack, by in found["attacks"].items():
        for name in by["proper"]:
            cells = [_spelt(by[who][name]) for who in (*METHODS, "difference")]
            lines.append([f"{attack}, {name.replace('_', ' ')}", *cells])
    for name, by in found["auc_of_lira_by_length"].items():
        cells = [_spelt(by[who]) for who in METHODS]
        lines.append([f"lira, auc, {name.replace('_', ' ')} entries", *cells, ""])
    return aligned(lines)


def _canaries_text(found: Mapping[str, Any]) -> str:
    heads = ["planted", "exposure in bits (quartiles)", "found first", "control p"]
    lines = [["method", *heads]]
    for row in found["rows"]:
        for method in METHODS:
            own = row[method]
            low, middle, high = own["quartiles"]
            lines.append(
                [
                    method,
                    str(row["planted"]),
                    f"{middle:.1f} ({low:.1f} to {high:.1f})",
                    f"{100 * own['found_first']:.0f} %",
                    f"{own['control']['p']:.2f}",
                ]
            )
        mean = _spelt(row["mean_difference"])
        lines.append(["difference of means", str(row["planted"]), mean, "", ""])
    return aligned(lines)


def _spelt(figure: Mapping[str, float]) -> str:
    return f"{figure['value']:+.3f} ({figure['low']:+.3f} to {figure['high']:+.3f})"
