"""What a cohort is to learn: whose examples, in which order, how, in how much memory.

Order and dropout come from a generator of each user's own, which hangs on the seed and
the purpose alone, so a user's batches are those of training alone.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from proper_shared.encoding import Example
from proper_shared.method.config import Recipe
from proper_shared.method.stages import Stage


@dataclass(frozen=True)
class Constraint:
    """The constraint loss as one device sees it.

    Attributes:
        weight: in front of the mean cosine with the peers.
        others: (U, L, E) the sum S without the user's own term.
        peers: (U,) how many users stand in that sum.
    """

    weight: float
    others: Tensor
    peers: Tensor


@dataclass(frozen=True)
class Limits:
    """How much may be in memory at once.

    Attributes:
        rows: of each user, forward and backward; None for the whole batch.
        checkpointing: keep the input of each block alone, and compute it again.
    """

    rows: int | None = None
    checkpointing: bool = False


WHOLE = Limits()


def generator_for(seed: int, *purpose: str | int) -> torch.Generator:
    """Return a generator that depends on the seed and the purpose alone."""
    words = "\0".join(str(word) for word in (seed, *purpose))
    digest = hashlib.sha256(words.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def shuffled(
    examples: Sequence[Example], batch: int, generator: torch.Generator
) -> "Shuffled":
    """Return batches without end: all examples in a fresh order, then again."""
    return Shuffled(examples, batch, generator)


class Shuffled(Iterator[list[Example]]):
    """Batches without end; where it stands can be told and gone back to.

    Args:
        examples: one at least.
        batch: how many at once; the last batch of an order may have fewer.
        generator: draws each order.
    """

    def __init__(
        self, examples: Sequence[Example], batch: int, generator: torch.Generator
    ) -> None:
        self.examples, self.batch, self.generator = examples, batch, generator
        self.order, self.start = torch.empty(0, dtype=torch.int64), 0

    def __next__(self) -> list[Example]:
        """Return the next batch."""
        if self.start >= len(self.order):
            count = len(self.examples)
            self.order = torch.randperm(count, generator=self.generator)
            self.start = 0
        chosen = self.order[self.start : self.start + self.batch].tolist()
        self.start += self.batch
        return [self.examples[i] for i in chosen]


@dataclass(frozen=True)
class Job:
    """One stage of training for the users of a cohort.

    Attributes:
        stage: what is trained.
        examples: for each of the U users, their examples, one at least.
        generators: for each user, of order and dropout.
        recipe: how.
        padding: token id that fills rows.
        only: of the two LoRA factors train "a" or "b" alone; None trains both.
        constraint: keeps routers of different users apart, where experts are trained.
        later: for each user, what came after `examples`: half of each batch is of it,
            the rest repeats what came before. Empty where all is learnt alike.
        limits: of memory; they change the result by rounding alone.
    """

    stage: Stage
    examples: Sequence[Sequence[Example]]
    generators: Sequence[torch.Generator]
    recipe: Recipe
    padding: int
    only: Literal["a", "b"] | None = None
    constraint: Constraint | None = None
    later: Sequence[Sequence[Example]] = ()
    limits: Limits = WHOLE

    @property
    def entries(self) -> list[int]:
        """How many entries each user has."""
        before = list(map(len, self.examples))
        after = map(len, self.later or [[]] * len(before))
        return [a + b for a, b in zip(before, after, strict=True)]

    def streams(self) -> list[list[Shuffled]]:
        """Return for each user what their batches are put together from, in turn."""
        batch, after = self.recipe.batch, self.later or [()] * len(self.examples)
        new = -(-batch // 2)
        return [
            [shuffled(theirs, new, own), shuffled(old, max(1, batch - new), own)]
            if theirs
            else [shuffled(old, batch, own)]
            for old, theirs, own in zip(
                self.examples, after, self.generators, strict=True
            )
        ]
