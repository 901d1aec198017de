"""Membership inference: was this entry among those that an adapter was trained on?

Of each user a random half of the entries, each text once, is in and the other half is
out. Such halves are drawn once more than there are shadows, an adapter is trained on
each, and each is attacked in turn with all others as its shadows.

The attacker has the release, the whole adapter and all entries of its owner, and wants
to know which were in the half; for `lira` besides how adapters are trained and the
halves of the shadows, but neither order nor dropout of the one under attack. That is
more than a thief has. White-box attacks, which look at the numbers of the adapter and
not at what it answers, are not covered.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from proper_shared.history import User
from proper_simulations.bench.leak_attacks import attacks
from proper_simulations.bench.leak_blind import features, suspected
from proper_simulations.bench.leak_curves import (
    Counts,
    Floats,
    Pool,
    draws,
    figures,
    in_pairs,
    summed_up,
)
from proper_simulations.bench.leak_models import METHODS, Each, Method, Models
from proper_simulations.bench.leak_people import Halves
from proper_simulations.pieces import Pieces

if TYPE_CHECKING:
    from pydantic import JsonValue

BLIND = 4  # drawings that a classifier without the model is tried on
Show = Callable[[str], None]


@dataclass(frozen=True)
class Inference:
    """How much is attacked.

    Attributes:
        shadows: adapters of each user beside the one under attack.
        rates: of false alarms, at which true ones are counted.
        resamples: draws of users for an interval.
    """

    shadows: int
    rates: tuple[float, ...]
    resamples: int


class Membership:
    """Trains on halves and attacks.

    Args:
        models: made over a release.
        users: whose histories are halved.
        pieces: where the losses of each drawing are kept.
        seed: of halves, training and draws.
    """

    def __init__(
        self, models: Models, users: Sequence[User], pieces: Pieces, seed: int
    ) -> None:
        self.models, self.pieces, self.seed = models, pieces, seed
        self.halves = Halves(users, seed)
        self._score = models.losses(
            [[models.encoder.example(e) for e in u.profile] for u in self.halves.users]
        )

    def measured(self, wanted: Inference, show: Show) -> dict[str, Any]:
        """Train what is missing, attack, and return what became of it.

        Args:
            wanted: how much is attacked.
            show: told of each drawing before it is trained.
        """
        halves, drawings = self.halves, range(wanted.shadows + 1)
        inside = np.stack([halves.inside(drawing) for drawing in drawings])
        pool = halves.pool(inside)
        drawn = draws(
            len(halves.users), wanted.resamples, np.random.default_rng(self.seed)
        )
        blind = self._blind(drawn)
        before = self._before()
        losses = {
            method: np.stack([self._after(method, d, show) for d in drawings])
            for method in METHODS
        }
        scores = {
            method: attacks(losses[method], before, inside, halves.owners)
            for method in METHODS
        }
        return {
            "task": self.models.encoder.task.name,
            "users": len(halves.users),
            "entries": len(halves.entries),
            "adapters_of_each_user": len(drawings),
            "others_in_pool": int((~pool.members).sum()),
            "without_the_model": blind,
            "mean_loss": {
                "stage1": float(before.mean()),
                **{
                    method: {
                        "members": float(losses[method][inside].mean()),
                        "others": float(losses[method][~inside].mean()),
                    }
                    for method in METHODS
                },
            },
            "attacks": compared(scores, pool, wanted.rates, drawn),
            "auc_of_lira_by_length": self._by_length(scores, pool, drawn),
        }

    def _before(self) -> Floats:
        """Return the loss of each entry (N,) under stage 1."""
        return self._kept(
            "before", lambda: self.models.before(self.halves.users, self._score)
        )

    def _after(self, method: Method, drawing: int, show: Show) -> Floats:
        """Return the loss of each entry (N,) under the adapters of one drawing."""
        name = f"{method}-{drawing}"
        show(name)
        seed = self.seed * 10_000 + drawing
        return self._kept(
            name,
            lambda: self.models.after(
                method, self.halves.halved(drawing), seed, self._score
            ),
        )

    def _kept(self, name: str, make: Callable[[], Each]) -> Floats:
        piece = self.pieces.get(
            name, lambda: cast("JsonValue", np.concatenate(make()).tolist())
        )
        return np.array(piece, dtype=np.float64)

    def _blind(self, drawn: Counts) -> dict[str, float]:
        """Return the area of a classifier that has no model."""
        known = features(self.halves.entries)
        inside = np.stack([self.halves.inside(drawing) for drawing in range(BLIND)])
        scores = [suspected(known, members, self.seed) for members in inside]
        pool = self.halves.pool(inside)
        return summed_up(figures(np.concatenate(scores), pool, (), drawn)["auc"])

    def _by_length(
        self, scores: dict[Method, dict[str, Floats]], pool: Pool, drawn: Counts
    ) -> dict[str, Any]:
        """Return how well LiRA does on users with few entries, and with many."""
        counts = np.bincount(self.halves.owners)
        middle = int(np.median(counts))
        few = (counts < middle)[pool.owners]
        found: dict[str, Any] = {}
        for name, some in ((f"under_{middle}", few), (f"from_{middle}", ~few)):
            if not some.any():
                continue
            part = Pool(pool.members[some], pool.owners[some])
            found[name] = {
                method: summed_up(
                    figures(scores[method]["lira"][some], part, (), drawn)["auc"]
                )
                for method in METHODS
            }
        return found


def compared(
    scores: dict[Method, dict[str, Floats]],
    pool: Pool,
    rates: Sequence[float],
    drawn: Counts,
) -> dict[str, Any]:
    """Return the figures of each attack on both methods, and ours less OPPU's.

    Args:
        scores: (N,) by method and attack.
        pool: of the entries.
        rates: of false alarms.
        drawn: (resamples, U), how often each user counts.
    """
    found: dict[str, Any] = {}
    for attack in scores["proper"]:
        values = {
            method: figures(scores[method][attack], pool, rates, drawn)
            for method in METHODS
        }
        found[attack] = {
            method: {name: summed_up(own) for name, own in values[method].items()}
            for method in METHODS
        }
        found[attack]["difference"] = in_pairs(values["proper"], values["oppu"])
    return found
