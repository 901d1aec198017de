"""What can be chosen in the method; the defaults are the published values or better.

A release brings these values to a device, so each has an upper bound too.

Source: PROPER (arXiv 2503.01303), section 4 and appendix; where a default differs,
the measurement that decided stands in `docs/log.md`.
"""

import math
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Attention = Literal["q_proj", "k_proj", "v_proj", "o_proj"]
FeedForward = Literal["gate_proj", "up_proj", "down_proj"]
ATTENTION: tuple[Attention, ...] = get_args(Attention)
FEED_FORWARD: tuple[FeedForward, ...] = get_args(FeedForward)


class Lora(BaseModel):
    """Shape of one low-rank adapter, `scale * B A x`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(ge=1, le=512, description="r, rows of A and columns of B")
    alpha: float = Field(
        gt=0, le=4096, description="the adapter is scaled by alpha / rank"
    )
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="share of inputs dropped in training"
    )
    targets: tuple[Attention | FeedForward, ...] = Field(
        min_length=1, description="leaf names of the adapted modules"
    )

    @property
    def scale(self) -> float:
        """The factor `s = alpha / r` of the paper."""
        return self.alpha / self.rank


class Method(BaseModel):
    """The shape of everything that is trained, on any backbone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    population: Lora = Field(
        default=Lora(rank=8, alpha=16, targets=ATTENTION),
        description="stage 1, for all",
    )
    group: Lora = Field(
        default=Lora(rank=4, alpha=8, dropout=0.05, targets=FEED_FORWARD),
        description="stage 2, each expert",
    )
    user: Lora = Field(
        default=Lora(rank=4, alpha=8, dropout=0.05, targets=FEED_FORWARD),
        description="stage 3.1, each user",
    )
    experts: int = Field(
        default=5, ge=1, le=256, description="E, how many experts a layer holds"
    )
    embedding_size: int = Field(
        default=16, ge=1, le=4096, description="k, numbers in a user embedding"
    )
    user_router: Literal["logit_sum", "probability_sum"] = Field(
        default="logit_sum",
        description="softmax(Wx x + Wu e), or of the sum of two softmaxes as released",
    )
    lora_router: Literal["residual", "replace"] = Field(
        default="residual",
        description="Wl z added to the user-aware logits, or in their place",
    )
    average_experts: bool = Field(
        default=False, description="divide the sum over experts by E, as released"
    )

    @model_validator(mode="after")
    def _seats(self) -> "Method":
        """Refuse an embedding that cannot start as a share of each group."""
        if self.embedding_size < self.experts:
            raise ValueError(
                f"embedding_size is {self.embedding_size}, expected at least "
                f"{self.experts}, one number for each expert"
            )
        return self

    @model_validator(mode="after")
    def _meeting(self) -> "Method":
        """Refuse a LoRA-aware router that has no layer with both of what it joins."""
        if not {*self.user.targets} & {*self.group.targets}:
            raise ValueError(
                "user and group have no target in common, expected one at least, "
                "where the user LoRA can choose experts"
            )
        return self

    @property
    def expert_scale(self) -> float:
        """The factor in front of the sum over experts."""
        return self.group.scale / (self.experts if self.average_experts else 1)


class Recipe(BaseModel):
    """How a stage is trained on one device; AdamW throughout."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learning_rate: float = Field(gt=0, le=1, description="peak rate")
    embedding_rate: float = Field(
        default=0.0, ge=0, le=10, description="peak, of the user embedding"
    )
    steps: int = Field(
        ge=1, le=100_000, description="optimiser steps, the same for every user"
    )
    batch: int = Field(
        default=8, ge=1, le=4096, description="examples in a step, at most"
    )
    schedule: Literal["cosine", "linear", "constant"] = Field(
        default="cosine", description="how the rate falls after the warm-up"
    )
    warmup: float = Field(
        default=0.03, ge=0, lt=1, description="share of steps that rise"
    )
    caution: float = Field(
        default=0.0,
        ge=0,
        le=1e6,
        description="n entries are learnt at n / (n + caution) of the rates",
    )
    weight_decay: float = Field(
        default=0.0, ge=0, le=100, description="decoupled, per unit of rate"
    )
    clip_norm: float = Field(
        default=1.0, gt=0, le=1e6, description="of one user's whole gradient"
    )

    def share(self, step: int) -> float:
        """Return the share of the peak rate that step 0, 1, ... is taken at."""
        if self.schedule == "constant":
            return 1.0
        fall = linear if self.schedule == "linear" else cosine
        return fall(step, self.steps, self.warmup)


def cosine(step: int, steps: int, warmup: float) -> float:
    """Return the share of the peak at a step: linear warm-up, then half a cosine."""
    rising = _rising(steps, warmup)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def linear(step: int, steps: int, warmup: float) -> float:
    """Return the share of the peak at a step: linear warm-up, then a line to zero."""
    rising = _rising(steps, warmup)
    if step < rising:
        return (step + 1) / rising
    return 1 - (step - rising) / max(1, steps - rising)


def _rising(steps: int, warmup: float) -> int:
    return max(1, math.ceil(warmup * steps))
