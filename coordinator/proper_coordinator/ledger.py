"""What each block of a run has spent of its privacy, as it lies on the disk.

A member stands in one block, which is asked as a whole, so a block's account is an
upper bound on that of each member: who was away spent less. An attempt is charged
before its offer leaves, and stays charged whatever becomes of it.
"""

from collections import Counter
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

from proper_shared.privacy.accounting import Spent, epsilon_of
from proper_shared.privacy.budget import Budget, budget_of
from proper_shared.privacy.calibration import Limit
from proper_shared.privacy.losses import Loss, losses_of


class Ledger(BaseModel):
    """The account of one run under noise.

    Attributes:
        multiplier: z, of all its rounds.
        participations: planned attempts of the block that is asked most.
        bounds: largest L2 norms that were offered, by "stage/block".
        spent: attempts of each block, in the order of the blocks.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    multiplier: float = Field(gt=0, allow_inf_nan=False)
    participations: int = Field(ge=1)
    bounds: dict[str, float] = {}
    spent: tuple[tuple[Loss, ...], ...]

    def counts(self, block: int) -> Counter[Spent]:
        """Return how often each event happened to a block."""
        return Counter({loss.spent(): loss.count for loss in self.spent[block]})

    def after(self, block: int, spent: Spent, bounds: Mapping[str, float]) -> "Ledger":
        """Return the ledger once an attempt is charged.

        Args:
            block: its number.
            spent: the attempt.
            bounds: that it was offered with, by "stage/block".
        """
        counts = self.counts(block) + Counter([spent])
        rows = list(self.spent)
        rows[block] = losses_of(counts)
        largest = {
            name: max(bound, self.bounds.get(name, 0.0))
            for name, bound in bounds.items()
        }
        changes = {"spent": tuple(rows), "bounds": {**self.bounds, **largest}}
        return self.model_copy(update=changes)

    def epsilon(self, limit: Limit) -> float:
        """Return epsilon of the block that lost most, against the limit's adversary."""
        each = [self.counts(block) for block in range(len(self.spent))]
        return max(
            (epsilon_of(counts, limit.delta, limit.adversary) for counts in each),
            default=0.0,
        )

    def standing(self, limit: Limit) -> str:
        """Return in a few words how much of a limit is spent."""
        return (
            f"epsilon {self.epsilon(limit):.3g} of {limit.epsilon:g} spent, "
            f"delta {limit.delta:.0e}"
        )

    def budget(self, delta: float) -> Budget:
        """Return the record that a release of the run carries."""
        clients = [
            list(self.counts(block).elements()) for block in range(len(self.spent))
        ]
        return budget_of(clients, self.bounds, self.multiplier, delta)
