"""What differential privacy costs in quality: `proper-sim bench privacy`.

Stage 1 is trained on the tagging world by cohorts, with few parameters (one factor of
a LoRA of rank 1), for several numbers of users and several epsilons, and is asked the
queries of people who were in no cohort. Each user makes one optimiser step in a round,
the update is clipped and rounded to a grid, and the sum is noised.

Noise is added **to the plain sum**, once, with the variance that the shares of all
clients have together: masking hundreds of vectors in each of hundreds of rounds would
be too slow here, and masks change no digit of a sum. Nobody is lost, so the noise is
that of all n clients, sqrt(n / (n//3 + 1)) times what epsilon counts. Noise is drawn
from the seed, so that the curve can be drawn again; a device never does that.

epsilon is against the coordinator and a third of a cohort, for the most that one user
takes part; beside it stands what it is against the other two adversaries. Rates and
layers were chosen on the world of seed 7, which the curve is not drawn on.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from proper_shared.privacy.accounting import ADVERSARIES, epsilon_after
from proper_shared.privacy.calibration import Limit, Query, calibrate
from proper_shared.privacy.gaussian import draw, keystream
from proper_simulations.bench.measure import circumstances
from proper_simulations.bench.noised_stage import Numbers, Stage, Step
from proper_simulations.pieces import Pieces, code_fingerprint
from proper_simulations.report.terminal import aligned
from proper_simulations.statistics import interval
from proper_simulations.worlds import make_world

if TYPE_CHECKING:
    from proper_shared.history import User

GRID = 1024  # units of the grid in the clip norm
NOTE = "noise is added to the plain sum; masks, which change no digit, are left out"
Show = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is trained and asked.

    Attributes:
        users: how many people there are to train on, for each curve.
        epsilons: wanted, for each point; None is without noise.
        rounds: of each training.
        cohort: users in a round, at most.
        tested: people who are asked, none of them among the users.
        delta: of (epsilon, delta).
        step: how a round is trained.
    """

    users: tuple[int, ...] = (100, 1_000, 10_000)
    epsilons: tuple[float | None, ...] = (1.0, 2.0, 4.0, 8.0, 16.0, None)
    rounds: int = 20
    cohort: int = 300
    tested: int = 50
    delta: float = 1e-5
    step: Step = field(default_factory=Step)


QUICK = Plan(
    users=(60, 200), epsilons=(8.0, None), rounds=3, cohort=60, tested=10
)  # fmt: skip


def privacy(
    plan: Plan, folder: Path, *, seed: int = 0, show: Show = lambda _: None
) -> dict[str, object]:
    """Draw the curve; finished points are kept in `folder` and not made again.

    Args:
        plan: what is trained.
        folder: of this benchmark with this plan and seed alone.
        seed: of people, adapters, cohorts and noise.
        show: told of each point before it is made.

    Returns:
        Circumstances, and in `rows` one entry for each point.

    Raises:
        ConfigError: the folder holds points of another plan, seed or program.
    """
    settings = json.dumps([asdict(plan), seed], sort_keys=True)
    own = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    pieces = Pieces(
        folder,
        hashlib.sha256(f"{settings}{own}{code_fingerprint()}".encode()).hexdigest(),
    )
    scene = Scene(plan, seed)
    rows = [pieces.get("untrained", scene.untrained)]
    for users in plan.users:
        for epsilon in plan.epsilons:
            name = f"{users}-users-epsilon-{epsilon or 'none'}"
            show(name)
            rows.append(
                pieces.get(name, lambda u=users, e=epsilon: scene.point(u, e))  # type: ignore[misc]
            )
    quick = " --quick" if plan == QUICK else ""
    return {
        "command": f"proper-sim bench privacy{quick} --json --seed {seed}",
        **circumstances(seed),
        "note": NOTE,
        "plan": asdict(plan),
        "parameters": scene.stage.size,
        "rows": rows,
    }


class Scene:
    """People and a model, made when they are first needed.

    Args:
        plan: how many people.
        seed: of everything.
    """

    def __init__(self, plan: Plan, seed: int) -> None:
        self.plan, self.seed = plan, seed
        world = make_world("tagging", seed, others=max(plan.users), users=plan.tested)
        self.crowd, self.tested = world.others, world.users
        self.stage = Stage(world.task, plan.step, seed)

    def untrained(self) -> dict[str, Any]:
        """Ask the model as it is before any training."""
        return {"users": 0, "epsilon": None, **self._asked(np.zeros(self.stage.size))}

    def point(self, users: int, epsilon: float | None) -> dict[str, Any]:
        """Train on so many users at a wanted epsilon, and ask.

        Args:
            users: how many, the first of the crowd.
            epsilon: None for no noise.
        """
        plan, size = self.plan, min(self.plan.cohort, users)
        often = math.ceil(plan.rounds * size / users)
        query = Query(size, self.stage.size, GRID + math.sqrt(self.stage.size) / 2)
        z = epsilon and calibrate(Limit(epsilon, plan.delta), [(query, often)])
        values = self._trained(users, size, query, z)
        row = {"users": users, "epsilon": epsilon, "cohort": size}
        row |= {"participations": often, "multiplier": z}
        if z:
            events = [query.spent(z, size)] * often
            row |= {f"epsilon_{who}": epsilon_after(events, plan.delta, who)
                    for who in ADVERSARIES}  # fmt: skip
        return {**row, **self._asked(values)}

    def _trained(self, users: int, size: int, query: Query, z: float | None) -> Numbers:
        """Return the trained factor after all rounds; cohorts are dealt in turn."""
        rng = np.random.default_rng([self.seed, users])
        order = rng.permutation(users)
        key = hashlib.sha256(f"privacy curve {self.seed} {users} {z}".encode()).digest()
        stream = keystream(key)
        values = velocity = np.zeros(self.stage.size)
        for round_ in range(self.plan.rounds):
            seats = order[np.arange(round_ * size, (round_ + 1) * size) % users]
            cohort: list[User] = [self.crowd[seat] for seat in seats]
            total = self._sum(self.stage.updates(cohort, values, round_))
            if z:
                total += draw(size * query.variance(z), len(total), stream)
            mean = total * (self.plan.step.clip_norm / GRID / size)
            velocity = self.plan.step.momentum * velocity + mean
            values = values + self.plan.step.server_rate * velocity
        return values

    def _sum(self, updates: Numbers) -> Numbers:
        """Clip and round each update (n, d) to the grid; return their sum (d,)."""
        norms = np.linalg.norm(updates, axis=1, keepdims=True)
        clip = self.plan.step.clip_norm
        clipped = updates * np.minimum(1, clip / np.maximum(norms, 1e-30))
        return cast("Numbers", np.rint(clipped * (GRID / clip)).sum(0))

    def _asked(self, values: Numbers) -> dict[str, Any]:
        """Return mean loss and accuracy over the tested people's queries."""
        losses, right = self.stage.asked(values, self.tested)
        found = interval(right, np.random.default_rng(self.seed))
        return {
            "loss": float(np.mean(losses)),
            "accuracy": float(np.mean(list(right.values()))),
            "low": found.low,
            "high": found.high,
        }


def as_text(result: Mapping[str, Any], *, as_json: bool) -> str:
    """Return the curve as a table, or as the JSON that a results file holds."""
    if as_json:
        return json.dumps(result, indent=1)
    lines = [["users", "epsilon", "all others", "readers", "z", "rounds each", "loss",
              "accuracy", "95 % interval"]]  # fmt: skip
    lines += [_line(row) for row in cast("Sequence[Mapping[str, Any]]", result["rows"])]
    return f"{aligned(lines)}\n{result['note']}"


def _line(row: Mapping[str, Any]) -> list[str]:
    def number(name: str, form: str = ".1f") -> str:
        return "-" if row.get(name) is None else format(row[name], form)

    wanted = number("epsilon") if row["epsilon"] else "no noise"
    return [
        str(row["users"] or "untrained"),
        wanted if row["users"] else "-",
        number("epsilon_everybody"),
        number("epsilon_readers"),
        number("multiplier", ".2f"),
        number("participations", "d"),
        number("loss", ".4f"),
        f"{100 * row['accuracy']:.1f} %",
        f"{100 * row['low']:.1f} to {100 * row['high']:.1f}",
    ]
