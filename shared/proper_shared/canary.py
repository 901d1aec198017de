"""What texts that anybody may see cost a part: an alarm for sums that do harm.

Under masks nobody can look at one update. What remains is the model that a sum makes:
if public texts suddenly cost it much more, the round was not an honest one.

Covered: the population; and the group level, where each public person is taken to be
of the group that serves them best, since one of no group in particular fares worse the
more groups become themselves.
Not covered: harm that these texts do not show, such as a back door; the search for
groups, which is no model; the router of stage 3, which answers only together with a
user's own LoRA.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from proper_shared.encoding import Encoder, Example, collate
from proper_shared.grouping import REACH
from proper_shared.history import User
from proper_shared.method.objective import text_loss
from proper_shared.method.stages import EMBEDDING, STAGES, AdaptedModel
from proper_shared.packing import Arrays
from proper_shared.rounds import FederatedPart, Part, TrainedStage


class Canary:
    """Public people and a backbone of one's own to read them.

    Args:
        adapted: with fresh parts for population and group; what is loaded into it is
            the canary's affair.
        encoder: of the task.
        people: their entries are public; those without entries are left out.
    """

    def __init__(
        self, adapted: AdaptedModel, encoder: Encoder, people: Sequence[User]
    ) -> None:
        self._adapted, self._padding = adapted, encoder.padding
        self._examples: list[list[Example]] = [
            [encoder.example(entry) for entry in person.profile]
            for person in people
            if person.profile
        ]

    def measure(self, part: FederatedPart) -> float | None:
        """Return the mean loss of the people under a part, nats a target token.

        None where the part is no model, or there are no people.
        """
        if not isinstance(part, Part) or part.stage == "lora_router":
            return None
        if not self._examples:
            return None
        own = {n: a for n, a in part.values.items() if not n.startswith("grouping.")}
        kinds = part.shape.experts if part.stage == "group" else 1
        return self.loss(own, part.stage, kinds)

    def bare(self) -> float:
        """Return the mean loss of the people under the backbone alone."""
        self._adapted.users.use()
        return float(self._losses(0).mean())

    def loss(self, values: Arrays, stage: TrainedStage, kinds: int) -> float:
        """Return the mean loss of the people under tensors of population and group.

        Args:
            values: by name; those of the grouping are not among them.
            stage: up to which they are used.
            kinds: how many groups a person may be of.
        """
        self._adapted.load({n: torch.from_numpy(a)[None] for n, a in values.items()})
        self._adapted.users.use(*STAGES[stage].uses)
        losses = torch.stack([self._losses(kind) for kind in range(kinds)])  # (E, U)
        return float(losses.min(0).values.mean())

    @torch.no_grad()
    def _losses(self, group: int) -> Tensor:
        """Return the loss of each person (U,), if they were of one group alone."""
        users = len(self._examples)
        embedding = torch.zeros(users, self._adapted.method.embedding_size)
        embedding[:, group] = REACH
        self._adapted.load({EMBEDDING: embedding})
        batch = collate(self._examples, self._padding)
        targets = batch.targets.to(self._adapted.device)
        return text_loss(self._adapted.logits(batch), targets, users)
