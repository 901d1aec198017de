"""Attempts that were counted, as they lie on the disk of a device or a coordinator.

Covered: unknown, missing or mistyped fields; numbers come back to the last bit.
Not covered: see whoever keeps the file.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from proper_shared.privacy.accounting import Spent


class Loss(BaseModel):
    """An event of the accounting, and how often it happened; see `Spent`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    bound: float
    variance: float
    cohort_size: int
    dimension: int
    survivors: int
    count: int = Field(ge=1)

    @classmethod
    def of(cls, spent: Spent, count: int) -> Self:
        """Return the event `spent`, which happened `count` times."""
        return cls(**asdict(spent), count=count)

    def spent(self) -> Spent:
        """Return the event without its count."""
        return Spent(**self.model_dump(exclude={"count"}))


def losses_of(counts: Mapping[Spent, int]) -> tuple[Loss, ...]:
    """Return what `counts` says, one record for each kind of event."""
    return tuple(Loss.of(spent, count) for spent, count in counts.items())
