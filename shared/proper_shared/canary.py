"""What texts that anybody may see cost a part: an alarm for sums that do harm.

Under masks nobody can look at one update. What remains is the model that a sum makes:
if public texts suddenly cost it much more, the round was not an honest one.

Covered: the population, and the group level as a new user of no group in particular
would find it. Not covered: harm that these texts do not show, such as a back door; the
search for groups, which is no model; the router of stage 3, which answers only together
with a user's own LoRA.
"""

from collections.abc import Sequence

import torch

from proper_shared.encoding import Encoder, Example, collate
from proper_shared.history import Entry
from proper_shared.method.objective import text_loss
from proper_shared.method.stages import EMBEDDING, STAGES, AdaptedModel
from proper_shared.rounds import FederatedPart, Part

ROWS = 32  # examples in one pass


class Canary:
    """Public texts and a backbone of one's own to read them.

    Args:
        adapted: with fresh parts for population and group; what is loaded into it is
            the canary's affair.
        encoder: of the task.
        entries: public, with their answers.
    """

    def __init__(
        self, adapted: AdaptedModel, encoder: Encoder, entries: Sequence[Entry]
    ) -> None:
        self._adapted, self._padding = adapted, encoder.padding
        self._examples = [encoder.example(entry) for entry in entries]

    def measure(self, part: FederatedPart) -> float | None:
        """Return the mean loss of the texts under a part, nats a target token.

        None where the part is no model, or there are no texts.
        """
        if not isinstance(part, Part) or part.stage == "lora_router":
            return None
        own = {n: a for n, a in part.values.items() if not n.startswith("grouping.")}
        tensors = {name: torch.from_numpy(array)[None] for name, array in own.items()}
        if part.stage == "group":
            tensors[EMBEDDING] = torch.from_numpy(part.mean_embedding)[None]
        self._adapted.load(tensors)
        self._adapted.users.use(*STAGES[part.stage].uses)
        starts = range(0, len(self._examples), ROWS)
        batches = [self._examples[start : start + ROWS] for start in starts]
        losses = [self._loss(batch) * len(batch) for batch in batches]
        return sum(losses) / len(self._examples) if losses else None

    @torch.no_grad()
    def _loss(self, examples: Sequence[Example]) -> float:
        batch = collate([examples], self._padding)
        targets = batch.targets.to(self._adapted.device)
        return float(text_loss(self._adapted.logits(batch), targets, 1))
