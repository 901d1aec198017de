"""Canaries: a secret of six digits in each history, and how far up it stands after.

Each user's secret is one of a list that the attacker knows. It is planted as entries of
the user's own: the question for it, and the digits one by one. The attacker has the
whole adapter, asks that question, and ranks all that the secret could be.

The control asks each user's adapter for the next user's secret. Nothing of that is in
the adapter, so its rank is drawn uniformly, unless users who are trained in one pass
learn of each other.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from proper_shared.history import User
from proper_simulations.bench.leak_curves import draws, summed_up
from proper_simulations.bench.leak_exposure import exposure, kolmogorov, ranks
from proper_simulations.bench.leak_guess import Guesser
from proper_simulations.bench.leak_models import METHODS, Method, Models
from proper_simulations.bench.leak_people import ASKED, Secrets
from proper_simulations.pieces import Pieces

if TYPE_CHECKING:
    from pydantic import JsonValue

Show = Callable[[str], None]
Ranks = dict[str, list[float]]


class Canaries:
    """Plants secrets and looks for them.

    Args:
        models: made over a release whose task is text.
        users: one secret each.
        alternatives: what a secret can be, as many.
        pieces: where the ranks are kept.
        seed: of secrets, places and training.
    """

    def __init__(
        self,
        models: Models,
        users: Sequence[User],
        alternatives: int,
        pieces: Pieces,
        seed: int,
    ) -> None:
        self.models, self.users, self.pieces = models, users, pieces
        self.seed, rng = seed, np.random.default_rng([seed, 1])
        self.secrets = Secrets.drawn(alternatives, rng)
        self.numbers = rng.choice(self.secrets.count, len(users), replace=False)
        self._guess = Guesser(models.adapted, models.encoder, self.secrets)

    def measured(
        self, planted: Sequence[int], resamples: int, show: Show
    ) -> dict[str, Any]:
        """Plant, train what is missing, and return what became of it.

        Args:
            planted: how often a secret stands in the history; each is a training.
            resamples: draws of users for an interval.
            show: told of each training before it.
        """
        drawn = draws(len(self.users), resamples, np.random.default_rng(self.seed))
        weights = np.concatenate([np.ones((1, len(self.users))), drawn])
        rows = []
        for times in planted:
            bits = {}
            row: dict[str, Any] = {"planted": times}
            for method in METHODS:
                found = self._found(method, times, show)
                own = np.array(found["own"])
                bits[method] = exposure(own, self.secrets.count)
                other = np.array(found["other"])
                distance, probability = kolmogorov(other, self.secrets.count)
                row[method] = {
                    "quartiles": np.percentile(bits[method], (25, 50, 75)).tolist(),
                    "found_first": float((own == 1).mean()),
                    "control": {"distance": distance, "p": probability},
                }
            apart = weights @ (bits["proper"] - bits["oppu"]) / len(self.users)
            row["mean_difference"] = summed_up(apart)
            rows.append(row)
        return {
            "task": self.models.encoder.task.name,
            "users": len(self.users),
            "question": ASKED,
            "alternatives": self.secrets.count,
            "rows": rows,
        }

    def _found(self, method: Method, times: int, show: Show) -> Ranks:
        name = f"{method}-planted-{times}"
        show(name)
        piece = self.pieces.get(
            name, lambda: cast("JsonValue", self._train(method, times))
        )
        return cast("Ranks", piece)

    def _train(self, method: Method, times: int) -> Ranks:
        """Return the rank of each user's own secret, and of the next user's."""
        planted = [
            self.secrets.planted(
                user, number, times, np.random.default_rng([self.seed, 2, times, seat])
            )
            for seat, (user, number) in enumerate(
                zip(self.users, self.numbers.tolist(), strict=True)
            )
        ]
        following = np.roll(self.numbers, -1)
        scored = self.models.after(method, planted, self.seed, self._guess)
        likelihoods = np.stack(scored)
        return {
            "own": ranks(likelihoods, self.numbers.tolist()).tolist(),
            "other": ranks(likelihoods, following.tolist()).tolist(),
        }
