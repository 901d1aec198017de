"""The three federated parts, as one side adds them up and the other serves them.

population   A_p and B_p of stage 1
(grouping)   which groups there are, before they are trained: see grouping.py
group        experts, routers, the sum S of the constraint loss
lora_router  W_l, the warm start of the LoRA-aware router

In a round the coordinator sends an `Order`, each client of the cohort answers with one
vector, and only the sum of the vectors reaches `Part.apply`. Everything here is
linear in the vectors, so the sum may be a masked or a noised one.

LoRA factors alternate: in one round all hold the same A and train B, in the next the
other way round, B first. Then mean(B_u) A = mean(B_u A): the mean of the products is
exact. Experts are averaged by use: a client sends p_ui * delta_ui and p_ui for each
layer and expert i, and the sums are divided, so that who never asks an expert does not
dilute it.

No torch, no network, no clock, no randomness.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from proper_shared.method.config import Recipe, cosine
from proper_shared.packing import Arrays, Layout, Shapes, Vector

Stage = Literal["population", "grouping", "group", "lora_router"]
TrainedStage = Literal["population", "group", "lora_router"]
Factor = Literal["a", "b"]
FACTORS: tuple[Factor, Factor] = ("b", "a")
FLOOR = 0.05  # an expert is left alone below this share of its even use
SURE = 3.0  # deviations: what is less may be noise alone


class Schedule(BaseModel):
    """How one federated part is trained."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rounds: int = Field(ge=1, description="rounds of the part")
    recipe: Recipe = Field(description="what a client does in a round")
    server_rate: float = Field(
        default=1.0, gt=0, description="step along the mean update"
    )
    momentum: float = Field(
        default=0.0, ge=0, lt=1, description="kept on the coordinator"
    )
    warmup: float = Field(
        default=0.05, ge=0, lt=1, description="share of rounds that rise"
    )
    alternate: bool = Field(
        default=True, description="one LoRA factor a round; else both, averaged apart"
    )
    constraint_weight: float = Field(
        default=0.0, ge=0, description="of the constraint loss"
    )
    damping: float = Field(
        default=0.1, gt=0, le=1, description="share of a new round in the sum S"
    )


@dataclass(frozen=True)
class Order:
    """What the coordinator asks of a client in one round.

    Attributes:
        stage: the part that is trained.
        factor: the LoRA factor that is trained, None for both.
        round: from 0.
        schedule: of the part; the recipe's rates are those of this round.
        parameters: (P,) all that the client needs, in the layout of the part.
    """

    stage: Stage
    factor: Factor | None
    round: int
    schedule: Schedule
    parameters: Vector


def factor_of(stage: Stage, schedule: Schedule, round_: int) -> Factor | None:
    """Return the LoRA factor that a round of a part trains; None for both."""
    if stage == "lora_router" or not schedule.alternate:
        return None
    return FACTORS[round_ % 2]


@dataclass(frozen=True)
class Shape:
    """What a part is made of, on one backbone.

    Attributes:
        frozen: tensors of earlier parts, name -> shape; sent, never trained.
        trained: tensors of this part, name -> shape.
        layers: L, adapted layers that hold experts; 0 outside of the group part.
        experts: E.
    """

    frozen: Shapes
    trained: Shapes
    layers: int = 0
    experts: int = 0

    def outgoing(self) -> Layout:
        """The layout of `Order.parameters`."""
        extra: dict[str, tuple[int, ...]] = {}
        if self.layers:
            extra = {"S": (self.layers, self.experts), "S.count": (1,), "S.folds": (1,)}
        return Layout({**self.frozen, **self.trained, **extra})

    def incoming(self, factor: Factor | None) -> Layout:
        """The layout of a client's vector."""
        shapes: dict[str, tuple[int, ...]] = {
            name: shape
            for name, shape in self.trained.items()
            if factor is None or name[-2:] not in {".a", ".b"} or name[-1] == factor
        }
        if self.layers:
            shapes["use"] = (self.layers, self.experts)
            shapes["direction"] = (self.layers, self.experts)
        return Layout({**shapes, "loss": (1,)})


def expert_axis(
    name: str, array: NDArray[np.floating], experts: int
) -> NDArray[np.floating]:
    """View an expert tensor with the experts first: (E, r, d_in) or (E, d_out, r).

    Args:
        name: ends in ".a", (E*r, d_in), or ".b", (d_out, E*r).
        array: that tensor.
        experts: E.
    """
    if name.endswith(".a"):
        return array.reshape(experts, -1, array.shape[-1])
    return array.reshape(array.shape[0], experts, -1).transpose(1, 0, 2)


@dataclass(frozen=True)
class Outline:
    """What a part will ask for, known before anything is trained.

    Attributes:
        stage: which part.
        layouts: of a client's vector, one for each round.
    """

    stage: Stage
    layouts: tuple[Layout, ...]


class FederatedPart(Protocol):
    """What a coordinator needs of a part, whatever is learnt in it."""

    @property
    def stage(self) -> Stage:
        """Which part it is."""
        ...

    @property
    def schedule(self) -> Schedule:
        """How many rounds, and what a client does in one."""
        ...

    def order(self, round_: int) -> Order:
        """Return the order of a round."""
        ...

    def layout(self, round_: int) -> Layout:
        """Return what lies where in a client's vector of a round."""
        ...

    def apply(self, round_: int, total: NDArray[np.float64], count: int) -> float:
        """Take up the sum of a round; return the mean loss, 0 where there is none."""
        ...

    def state(self) -> Arrays:
        """Return all arrays that a checkpoint needs, by name."""
        ...

    def restore(self, state: Mapping[str, NDArray[np.floating]]) -> None:
        """Take up the arrays of a checkpoint."""
        ...


class Part:
    """The coordinator's side of one federated part.

    Args:
        stage: which part.
        shape: of its tensors.
        schedule: how it is trained.
        values: the tensors of `shape.frozen` and `shape.trained`, as at the start.

    Attributes:
        noise: deviation of the noise on one number of each block of the next sum;
            empty where there is none.
    """

    def __init__(
        self,
        stage: TrainedStage,
        shape: Shape,
        schedule: Schedule,
        values: Mapping[str, NDArray[np.floating]],
    ) -> None:
        self.stage, self.shape, self.schedule = stage, shape, schedule
        self.noise: Mapping[str, float] = {}
        self.values: Arrays = {
            name: np.array(values[name], np.float32)
            for name in (*shape.frozen, *shape.trained)
        }
        self.velocity: Arrays = {
            name: np.zeros(size, np.float32) for name, size in shape.trained.items()
        }
        self.extra: Arrays = {}
        if shape.layers:
            table = np.zeros((shape.layers, shape.experts), np.float32)
            self.extra = {
                "S": table,
                "S.count": np.zeros(1, np.float32),
                "S.folds": np.zeros(1, np.float32),  # rounds in it: failed ones are not
                "use": table.copy(),
            }

    def factor(self, round_: int) -> Factor | None:
        """Return the LoRA factor that a round trains; None for both."""
        return factor_of(self.stage, self.schedule, round_)

    def order(self, round_: int) -> Order:
        """Return the order of a round; rates follow a cosine over the rounds."""
        share = cosine(round_, self.schedule.rounds, self.schedule.warmup)
        recipe = self.schedule.recipe
        rates = {
            "learning_rate": recipe.learning_rate * share,
            "embedding_rate": recipe.embedding_rate * share,
        }
        schedule = self.schedule.model_copy(
            update={"recipe": recipe.model_copy(update=rates)}
        )
        layout = self.shape.outgoing()
        known = {**self.values, **self.extra}
        parameters = layout.pack({name: known[name] for name in layout.shapes})
        return Order(self.stage, self.factor(round_), round_, schedule, parameters)

    def layout(self, round_: int) -> Layout:
        """Return what lies where in a client's vector of a round."""
        return self.shape.incoming(self.factor(round_))

    def apply(self, round_: int, total: NDArray[np.float64], count: int) -> float:
        """Move the part by the sum of the clients' vectors of a round.

        Args:
            round_: whose sum it is.
            total: (Q,) sum of the vectors.
            count: how many vectors stand in it, 1 at least.

        Returns:
            Mean loss of the clients in the round, nats per target token.

        Raises:
            FormatError: the sum has another length; nothing is changed.
        """
        sums = self.shape.incoming(self.factor(round_)).unpack(total)
        if self.shape.layers:
            self._remember(self._heard(sums) if self.noise else sums, count)
        for name in self.shape.trained:
            if name in sums and self._of_experts(name):
                self._move_experts(name, sums, count)
            elif name in sums:
                self._move(name, sums[name] / count)
        return float(sums["loss"][0]) / count

    @property
    def mean_embedding(self) -> Vector:
        """Where a new user starts, (k,): the embedding that routes as all do in mean.

        The least squares solution of `W_u e = log(mean use)` over all layers, so that
        no embedding ever has to be sent, not even into a sum.
        """
        routers = [v for name, v in self.values.items() if name.endswith(".w_u")]
        use = np.maximum(self.extra["use"], 1e-9)  # (L, E)
        wanted = np.log(use / use.sum(1, keepdims=True))
        wanted -= wanted.mean(1, keepdims=True)
        found = np.linalg.lstsq(np.concatenate(routers), wanted.ravel(), rcond=None)
        embedding: Vector = found[0].astype(np.float32)
        return embedding

    def _of_experts(self, name: str) -> bool:
        return bool(self.shape.layers) and name[-2:] in {".a", ".b"}

    def _move_experts(
        self, name: str, sums: Mapping[str, NDArray[np.floating]], count: int
    ) -> None:
        """Move each expert by its update, weighted by use; who is not used stays."""
        use = sums["use"][self._layer(name)]  # (E,)
        least = SURE * self.noise.get("use", 0.0)
        idle = use <= max(FLOOR * count / self.shape.experts, least)
        mean = sums[name].copy()
        weight = 1 / np.where(idle, np.inf, use)
        self._experts(name, mean)[...] *= weight[:, None, None]
        before = self.values[name], self.velocity[name]
        self._move(name, mean)
        for old, new in zip(
            before, (self.values[name], self.velocity[name]), strict=True
        ):
            self._experts(name, new)[idle] = self._experts(name, old)[idle]

    def _experts(self, name: str, array: NDArray[np.floating]) -> NDArray[np.floating]:
        return expert_axis(name, array, self.shape.experts)

    def _layer(self, name: str) -> int:
        """Return the place of a tensor's layer among the layers with experts."""
        paths = [n[:-2] for n in self.shape.trained if n.endswith(".group.a")]
        return paths.index(name[:-2])

    def _move(self, name: str, mean: NDArray[np.floating]) -> None:
        velocity = self.schedule.momentum * self.velocity[name] + mean
        self.velocity[name] = velocity.astype(np.float32)
        step = self.schedule.server_rate * (1 - self.schedule.momentum)
        self.values[name] = (self.values[name] + step * velocity).astype(np.float32)

    def _heard(
        self, sums: Mapping[str, NDArray[np.floating]]
    ) -> dict[str, NDArray[np.floating]]:
        """Return sums whose use and direction say nothing that noise may have said."""
        use, direction = (SURE * self.noise[name] for name in ("use", "direction"))
        loud = np.abs(sums["direction"]) > direction
        return {
            **sums,
            "use": np.maximum(sums["use"], use),
            "direction": np.where(loud, sums["direction"], 0.0),
        }

    def _remember(self, sums: Mapping[str, NDArray[np.floating]], count: int) -> None:
        """Fold a round into the moving sums of directions and users."""
        new = self.schedule.damping
        fresh = {
            "S": sums["direction"],
            "S.count": np.array([count]),
            "use": sums["use"],
        }
        for name, value in fresh.items():
            old = self.extra[name]
            self.extra[name] = ((1 - new) * old + new * value).astype(np.float32)
        self.extra["S.folds"] = self.extra["S.folds"] + np.float32(1)

    def state(self) -> Arrays:
        """Return all arrays that a checkpoint needs, by name."""
        return {
            **{f"values/{name}": array for name, array in self.values.items()},
            **{f"velocity/{name}": array for name, array in self.velocity.items()},
            **{f"extra/{name}": array for name, array in self.extra.items()},
        }

    def restore(self, state: Mapping[str, NDArray[np.floating]]) -> None:
        """Take up the arrays of a checkpoint.

        Raises:
            FormatError: a name or a shape is not that of this part.
        """
        own = self.state()
        layout = Layout({name: array.shape for name, array in own.items()})
        fresh = layout.unpack(layout.pack(dict(state)))
        for key, array in fresh.items():
            group, _, name = key.partition("/")
            getattr(self, group)[name] = np.array(array, np.float32)
