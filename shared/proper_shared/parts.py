"""The federated parts of one backbone, as they are before the first round.

A coordinator makes them to lead a federation, a device to know what to expect; both
come to the same numbers, since fresh tensors depend on shapes and seed alone.
"""

from collections.abc import Iterator, Mapping
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray
from torch import nn

from proper_shared.grouping import WIDTH, Grouping, Sizes, phase_of
from proper_shared.method.config import FEED_FORWARD
from proper_shared.method.stages import EMBEDDING, AdaptedModel
from proper_shared.packing import Arrays, Layout
from proper_shared.rounds import (
    Factor,
    FederatedPart,
    Order,
    Outline,
    Part,
    Schedule,
    Shape,
    Stage,
    TrainedStage,
    factor_of,
)

STAGES: tuple[TrainedStage, ...] = ("population", "group", "lora_router")


class Schedules(Protocol):
    """How each of the four parts is trained."""

    @property
    def population(self) -> Schedule:
        """Of part 1."""
        ...

    @property
    def grouping(self) -> Schedule:
        """Of the search for groups."""
        ...

    @property
    def group(self) -> Schedule:
        """Of part 2."""
        ...

    @property
    def lora_router(self) -> Schedule:
        """Of part 3."""
        ...


class Blueprint:
    """What the parts are made of on one backbone, and the values they start from.

    Args:
        adapted: with fresh parts for population and group. Its values are copied; what
            is loaded into it later changes nothing here.
        seed: of the search for groups.

    Attributes:
        fresh: by stage, tensors by name.
        sizes: of the arrays of the grouping.
    """

    def __init__(self, adapted: AdaptedModel, seed: int) -> None:
        self.method, self.seed = adapted.method, seed
        self.fresh: dict[TrainedStage, Arrays] = {
            stage: {
                name: tensor.detach()[0].cpu().numpy().copy()
                for name, tensor in adapted.stage_tensors(stage).items()
                if name != EMBEDDING
            }
            for stage in STAGES
        }
        self.sizes = Sizes(*widths_of(adapted.model), adapted.method.experts)

    def shape(self, stage: TrainedStage) -> Shape:
        """Return what a part is made of."""
        frozen: dict[str, tuple[int, ...]] = {}
        for earlier in STAGES[: STAGES.index(stage)]:
            frozen |= {n: array.shape for n, array in self.fresh[earlier].items()}
        if stage != "population":
            frozen |= self.sizes.reading()
        trained = {n: array.shape for n, array in self.fresh[stage].items()}
        if stage != "group":
            return Shape(frozen, trained)
        return Shape(
            frozen,
            trained,
            layers=sum(name.endswith(".group.a") for name in trained),
            experts=self.method.experts,
        )

    def layout(self, order: Order) -> Layout:
        """Return what lies where in a client's vector for an order."""
        return self._layout(order.stage, order.schedule, order.round, order.factor)

    def outline(self, schedules: Schedules) -> tuple[Outline, ...]:
        """Return what all parts will ask for, in their order."""
        return (
            self._outline("population", schedules.population),
            self._outline("grouping", schedules.grouping),
            self._outline("group", schedules.group),
            self._outline("lora_router", schedules.lora_router),
        )

    def _outline(self, stage: Stage, schedule: Schedule) -> Outline:
        layouts = (
            self._layout(stage, schedule, round_, factor_of(stage, schedule, round_))
            for round_ in range(schedule.rounds)
        )
        return Outline(stage, tuple(layouts))

    def _layout(
        self, stage: Stage, schedule: Schedule, round_: int, factor: Factor | None
    ) -> Layout:
        if stage == "grouping":
            return self.sizes.sums(phase_of(round_, schedule.rounds))
        return self.shape(stage).incoming(factor)

    def part(
        self,
        stage: TrainedStage,
        schedule: Schedule,
        earlier: Mapping[str, NDArray[np.floating]],
    ) -> Part:
        """Return a part with fresh tensors behind the tensors of earlier parts."""
        fresh = self.fresh[stage]
        return Part(stage, self.shape(stage), schedule, {**fresh, **earlier})

    def group_part(
        self, schedule: Schedule, population: Part, grouping: Grouping
    ) -> Part:
        """Return the group part, whose user-aware routers start at one group each."""
        values = {**self.fresh["group"], **population.values, **grouping.found()}
        routers = grouping.routers(self.method.embedding_size)
        values |= {name: routers for name in values if name.endswith(".w_u")}
        return Part("group", self.shape("group"), schedule, values)

    def grouping(self, schedule: Schedule, population: Arrays) -> Grouping:
        """Return the part that finds groups, over a finished population."""
        return Grouping(self.sizes, schedule, self.seed, population)

    def parts(self, schedules: Schedules) -> Iterator[FederatedPart]:
        """Yield the four parts; each is to be finished before the next is taken."""
        population = self.part("population", schedules.population, {})
        yield population
        grouping = self.grouping(schedules.grouping, dict(population.values))
        yield grouping
        group = self.group_part(schedules.group, population, grouping)
        yield group
        yield self.part("lora_router", schedules.lora_router, dict(group.values))


def last_product(model: nn.Module) -> nn.Module:
    """Return the last down projection of a decoder, bare or adapted."""
    leaf = f".{FEED_FORWARD[-1]}"
    found: list[nn.Module] = [m for n, m in model.named_modules() if n.endswith(leaf)]
    return found[-1]


def output_head(model: nn.Module) -> nn.Linear:
    """Return what makes logits of hidden states."""
    return cast("nn.Linear", model.get_output_embeddings())  # type: ignore[operator]


def widths_of(model: nn.Module) -> tuple[int, int]:
    """Return m and w of `grouping`: how wide inputs and gradients are when sent."""
    product = last_product(model)
    bare = cast("nn.Linear", getattr(product, "base", product))
    return min(bare.in_features, WIDTH), min(output_head(model).in_features, WIDTH)
