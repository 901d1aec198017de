"""Who takes part in which round."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from proper_shared.privacy.accounting import Adversary
from proper_shared.privacy.calibration import Limit

DELTA = 1e-5

Bound = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Privacy(BaseModel):
    """What a run under noise may cost each member."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epsilon: float = Field(
        gt=0, allow_inf_nan=False, description="most that a member loses in the run"
    )
    delta: float = Field(default=DELTA, gt=0, lt=1, description="of (epsilon, delta)")
    adversary: Adversary = Field(default="third", description="against whom")
    bounds: dict[str, Bound] = Field(
        default={}, description='largest L2 norms, by "stage/block", where chosen'
    )

    @property
    def limit(self) -> Limit:
        """What must hold for each member at the end."""
        return Limit(self.epsilon, self.delta, self.adversary)


class Plan(BaseModel):
    """How a coordinator leads a federation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cohort_size: int = Field(
        default=30, ge=1, le=500, description="nodes in a block at least, if so many"
    )
    seed: int = Field(default=0, ge=0, description="of the choice of blocks")
    masked: bool = Field(
        default=True, description="only sums can be read; if not, each update can"
    )
    privacy: Privacy | None = Field(
        default=None, repr=False, description="None for rounds without noise"
    )
    min_nodes: int = Field(
        default=1, ge=1, description="nodes to wait for before round 0"
    )
    seats: frozenset[int] | None = Field(
        default=None, description="who may take part; None for everybody"
    )
    max_failures: int = Field(
        default=3, ge=1, description="dropped rounds in a row that end the run"
    )
    join_timeout_s: float = Field(
        default=120.0, gt=0, description="for min_nodes to be there"
    )
    round_timeout_s: float = Field(
        default=3600.0,
        gt=0,
        description="for the training of a round; who is late drops out",
    )
    phase_timeout_s: float = Field(
        default=120.0, gt=0, description="for each later phase of a round"
    )
    poll_s: float = Field(
        default=0.1, gt=0, description="between two looks for answers"
    )

    @model_validator(mode="after")
    def _hidden(self) -> Self:
        """Refuse noise where each update can be read anyway."""
        if self.privacy is not None and not self.masked:
            raise ValueError("noise is added under masks alone")
        return self


def blocks(seats: Sequence[int], size: int, seed: int) -> tuple[tuple[int, ...], ...]:
    """Divide the seats into blocks that always take part as a whole.

    Sums over cohorts that are drawn anew each round differ by single members, and many
    of them give single updates away (So et al. 2023, "Securing secure aggregation",
    arXiv 2106.03328). A member of a fixed block is always added to the same others.

    Args:
        seats: Who may take part.
        size: Seats in a block at least; those that are left over join the blocks.
        seed: Of the division.

    Returns:
        Blocks in ascending order of seats, none if there are no seats.
    """
    shuffled = np.random.default_rng([seed, 0]).permutation(sorted(seats))
    count = max(1, len(shuffled) // max(1, size))
    divided = [sorted(block.tolist()) for block in np.array_split(shuffled, count)]
    return tuple(tuple(block) for block in divided if block)


def cohorts(
    divided: Sequence[tuple[int, ...]], seed: Sequence[int]
) -> Iterator[tuple[int, ...]]:
    """Yield block after block for as long as one asks, in a new order each time round.

    Args:
        divided: The blocks.
        seed: Of the orders; numbers that tell runs and stages apart.
    """
    rng = np.random.default_rng(list(seed))
    while divided:
        for place in rng.permutation(len(divided)).tolist():
            yield divided[place]
