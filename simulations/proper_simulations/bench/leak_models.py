"""The models that are attacked: personal models of PROPER and of OPPU, many at once.

Attacked is all that a user has of their own, used as it is meant to be used: embedding,
user LoRA and LoRA-aware router at the level `personal`, whatever level would answer the
user best; of OPPU the user LoRA on stage 1.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F

from proper_client.answer import tables
from proper_client.assistant import recipe_of
from proper_client.opening import open_release
from proper_client.personal import LEVELS, Ground, Personaliser
from proper_shared.encoding import IGNORED, Example, collate
from proper_shared.history import User
from proper_shared.method.stages import AdaptedModel
from proper_simulations.bench.leak_curves import Floats
from proper_simulations.rivals import oppu_cohorts

Method = Literal["proper", "oppu"]
METHODS: tuple[Method, ...] = ("proper", "oppu")
ROWS = 512  # entries computed at once, at most

Scores = Callable[[Sequence[int]], Sequence[Floats]]  # of users who sit in the model


class Models:
    """Makes personal models over a release.

    Args:
        release: a release folder.
        backbone: `nano` or a folder; None for the one that the release names.
    """

    def __init__(self, release: Path, backbone: str | None = None) -> None:
        opened = open_release(release, backbone)
        self.adapted, self.encoder = opened.adapted, opened.encoder
        self.digest, self.seed = opened.digest, opened.header.seed
        self.recipe = recipe_of(opened.header)
        again = self.recipe.shortened().user.steps
        steps = {"steps": self.recipe.user.steps + again}
        self._rival = self.recipe.user.model_copy(update=steps)  # as many steps
        self._ground = Ground(opened.adapted, opened.encoder, opened.reading)

    def before(self, users: Sequence[User], score: Scores) -> "Each":
        """Score with stage 1, which everybody has who has the release.

        Args:
            users: who are seated.
            score: returns the scores of the users of these numbers.
        """
        personaliser = Personaliser(self._ground, self.recipe)
        personaliser.seat([personaliser.newcomer() for _ in users])
        self.adapted.users.use(*LEVELS["population"])
        return list(score(range(len(users))))

    def after(
        self, method: Method, users: Sequence[User], seed: int, score: Scores
    ) -> "Each":
        """Train a personal model for each user, and score with it.

        Args:
            method: whose.
            users: with an entry each.
            seed: of order and dropout; fresh adapters are the release's own.
            score: returns the scores of the users of these numbers.

        Returns:
            What `score` returned for each user, in their order.
        """
        found: Each = [np.zeros(0)] * len(users)
        for seats in self._seated(method, users, seed):
            for seat, own in zip(seats, score(seats), strict=True):
                found[seat] = own
        return found

    def _seated(
        self, method: Method, users: Sequence[User], seed: int
    ) -> Iterator[Sequence[int]]:
        """Train; yield the numbers of the users who sit in the model with theirs."""
        personaliser = Personaliser(self._ground, self.recipe, seed)
        if method == "oppu":
            yield from oppu_cohorts(personaliser, users, self._rival)
            return
        people = personaliser.fit(users)
        for start in range(0, len(users), personaliser.cohort_size):
            seats = range(len(users))[start : start + personaliser.cohort_size]
            personaliser.seat([people[seat] for seat in seats])
            self.adapted.users.use(*LEVELS["personal"])
            yield seats

    def losses(self, examples: Sequence[Sequence[Example]]) -> Scores:
        """Return what scores users by the loss of each of their examples.

        Args:
            examples: of each user.
        """
        padding = self.encoder.padding
        return lambda seats: losses(self.adapted, [examples[s] for s in seats], padding)


Each = list[Floats]


@torch.no_grad()
def losses(
    adapted: AdaptedModel, examples: Sequence[Sequence[Example]], padding: int
) -> Each:
    """Return for each user in the model the loss of each example, nats per token.

    Args:
        adapted: in which the users sit.
        examples: of each user, one at least.
        padding: token id that fills rows.
    """
    found: Each = [np.zeros(0)] * len(examples)
    for seats in tables([len(own) for own in examples]):
        asked = [examples[seat] for seat in seats]
        with adapted.only(seats):
            parts = list(_losses(adapted, asked, padding))
        for place, seat in enumerate(seats):
            found[seat] = np.concatenate([part[place] for part in parts])
    return found


def _losses(
    adapted: AdaptedModel, examples: Sequence[Sequence[Example]], padding: int
) -> Iterator[Each]:
    """Yield the losses of some examples of each user, then of the next."""
    height = max(1, ROWS // len(examples))
    for start in range(0, max(map(len, examples)), height):
        rows = [list(own[start : start + height]) for own in examples]
        batch = collate([own or [Example((padding,), ())] for own in rows], padding)
        logits = adapted.logits(batch).float()
        targets = batch.targets.to(logits.device)
        nats = F.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), reduction="none"
        ).reshape(targets.shape)  # (U*b, K)
        known = (targets != IGNORED).sum(1).clamp(min=1)
        means = (nats.sum(1) / known).reshape(len(rows), -1).cpu().double().numpy()
        yield [mean[: len(own)] for mean, own in zip(means, rows, strict=True)]
