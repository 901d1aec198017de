"""What a release says of its privacy: a budget, or plainly that it has none.

Covered: unknown, missing or mistyped fields; a record that claims and denies at once.
Not covered: whether it is true, which whoever signs the release vouches for.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from proper_shared.errors import FormatError
from proper_shared.privacy.accounting import Spent, epsilon_after
from proper_shared.strict_json import parse_object

NONE = "no differential privacy"
SOME = "differential privacy at user level"
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Epsilon = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Epsilons(BaseModel):
    """Epsilon of the client that lost most, by who reads the sums.

    Attributes:
        everybody: everybody else colludes.
        third: the coordinator and a third of each cohort collude.
        readers: who reads the release alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    everybody: _Epsilon
    third: _Epsilon
    readers: _Epsilon


class Losses(BaseModel):
    """The numbers behind a claim.

    Attributes:
        participations: attempts of the client that was asked most, dropped ones too.
        bounds: largest L2 norm of each block of a vector, by stage and block.
        multiplier: z, the counted noise of a sum over the bound of one vector.
        delta: of (epsilon, delta).
        epsilon: against three adversaries.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    participations: int = Field(ge=0)
    bounds: dict[str, _Positive]
    multiplier: _Positive
    delta: float = Field(gt=0, lt=1, allow_inf_nan=False)
    epsilon: Epsilons


class Budget(BaseModel):
    """The record that a release carries.

    Attributes:
        statement: in plain words.
        losses: None where there is no differential privacy.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    statement: Literal["no differential privacy", "differential privacy at user level"]
    losses: Losses | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        """Refuse a claim without numbers, and numbers without a claim."""
        if (self.statement == SOME) != (self.losses is not None):
            raise ValueError("statement and losses contradict each other")
        return self

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Return the record that `data` spells.

        Raises:
            FormatError: it is malformed.
        """
        parse_object(data, "budget")  # no key twice, no NaN
        try:
            return cls.model_validate_json(data)
        except ValidationError as error:
            places = ", ".join(str(item["loc"]) for item in error.errors())[:200]
            raise FormatError(f"got a budget that is wrong in {places}") from None

    def dump(self) -> bytes:
        """Return the one form of this record: JSON, keys sorted, no spaces."""
        plain = self.model_dump(mode="json")
        return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()

    @property
    def spelt(self) -> "Budget | Literal['no differential privacy']":
        """The record as a release spells it: plain words where there is none."""
        return "no differential privacy" if self.losses is None else self

    def summary(self) -> str:
        """Return the record in one line."""
        if self.losses is None:
            return NONE
        lost, epsilon = self.losses, self.losses.epsilon
        return (
            f"epsilon {epsilon.third:.3g} at delta {lost.delta:.0e} against the "
            f"coordinator and a third ({epsilon.everybody:.3g} if everybody else "
            f"colludes, {epsilon.readers:.3g} for readers), after at most "
            f"{lost.participations} participations, noise multiplier "
            f"{lost.multiplier:.3g}"
        )


def without_privacy() -> Budget:
    """Return the record of a run without noise."""
    return Budget(statement="no differential privacy")


def budget_of(
    clients: Sequence[Sequence[Spent]],
    bounds: Mapping[str, float],
    multiplier: float,
    delta: float,
) -> Budget:
    """Return the record of a run, from what each client's vectors left in.

    Args:
        clients: the attempts of each client, dropped ones included, over all stages.
        bounds: largest L2 norm of each block, by stage and block.
        multiplier: z; the least, where stages differ.
        delta: of (epsilon, delta).

    Raises:
        ConfigError: delta is not between 0 and 1.
        ValidationError: a bound or the multiplier is not above 0.
    """
    alike = {tuple(sorted(events, key=repr)) for events in clients}
    each = [
        Epsilons(
            everybody=epsilon_after(events, delta, "everybody"),
            third=epsilon_after(events, delta, "third"),
            readers=epsilon_after(events, delta, "readers"),
        )
        for events in alike
    ] or [Epsilons(everybody=0.0, third=0.0, readers=0.0)]
    losses = Losses(
        participations=max(map(len, clients), default=0),
        bounds=dict(bounds),
        multiplier=multiplier,
        delta=delta,
        epsilon=Epsilons(
            everybody=max(one.everybody for one in each),
            third=max(one.third for one in each),
            readers=max(one.readers for one in each),
        ),
    )
    return Budget(statement="differential privacy at user level", losses=losses)
