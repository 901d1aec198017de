"""Stages 1 and 2 with all entries in one place: what a federation is held against.

Training as one would do it who holds everybody's histories. Each round of the
federation is taken over with the same people and the very entries that their devices
would draw, so both see the same tokens. What is done with them differs:

    one step moves one model by the mean gradient of the whole cohort, where devices
        drift apart for a few steps and are averaged then
    one AdamW for the whole stage, where devices start anew each round and the server
        has momentum
    both LoRA factors at once, where a federation alternates
    the constraint loss is that of all pairs of the cohort at that step, where devices
        know an older sum
    nothing is clipped but the gradient, nothing is rounded

Embeddings are trained by an optimiser of their own, anew in each round, since they are
a person's own here as there. The search for groups is the same sums without rounding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from proper_client.reading import Reader
from proper_coordinator.plan import blocks, cohorts
from proper_shared.encoding import Batch, Encoder, Example, collate
from proper_shared.grouping import Features, Grouping, answer, first_embedding
from proper_shared.method.cohort import CohortAdam
from proper_shared.method.config import cosine
from proper_shared.method.job import generator_for, shuffled
from proper_shared.method.objective import own_constraint, stack_layers, text_loss
from proper_shared.method.stages import EMBEDDING, STAGES, AdaptedModel
from proper_shared.packing import Arrays
from proper_shared.parts import Blueprint
from proper_shared.rounds import Part, Schedule
from proper_simulations.site import RunSite

Level = Literal["population", "group"]
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Rates:
    """Peak rates of the one optimiser, looked at on the world of seed 7, not searched.

    Attributes:
        population: of stage 1.
        group: of stage 2.
    """

    population: float = 4e-3
    group: float = 4e-3


class InOnePlace:
    """Trains population and groups of a site's members as if all were one's own.

    Args:
        site: whose members, settings and cohorts these are.
        rates: of the two stages; all else is the recipe of the federation.

    Attributes:
        tokens: target tokens that were learnt, repetitions counted, by stage.
    """

    def __init__(self, site: RunSite, rates: Rates | None = None) -> None:
        self.settings, self.seed = site.settings, site.config.seed
        self.members, self.rates = site.members(), rates or Rates()
        self.tokens: dict[Level, int] = {"population": 0, "group": 0}
        backbone = site.backbone()
        self._encoder = Encoder(backbone.tokenizer, site.data.task)
        self._adapted = AdaptedModel(backbone.model, self.settings.method, self.seed)
        for part in ("population", "group"):
            self._adapted.add(part)
        self._blueprint = Blueprint(self._adapted, self.seed)
        self._reader = Reader(self._adapted)
        self._examples: dict[int, list[Example]] = {}
        self._features: dict[int, Features] = {}
        self._groups: Arrays = {}  # what tells where a person lies
        self._places: dict[int, Tensor] = {}

    def train(self) -> Part:
        """Train both stages; return the group part, which holds all tensors."""
        blueprint, settings = self._blueprint, self.settings
        population = blueprint.part("population", settings.population, {})
        self._train("population", settings.population, self.rates.population)
        population.values |= self._values("population")
        self._adapted.merge_population()
        grouping = blueprint.grouping(settings.grouping, dict(population.values))
        self._search(grouping)
        group = blueprint.group_part(settings.group, population, grouping)
        fresh = {name: group.values[name] for name in group.shape.trained}
        self._adapted.load({n: torch.from_numpy(a)[None] for n, a in fresh.items()})
        self._groups = grouping.found()
        self._train("group", settings.group, self.rates.group)
        group.values |= self._values("group")
        return group

    def _values(self, stage: Level) -> Arrays:
        return {
            name: tensor.detach()[0].cpu().numpy().copy()
            for name, tensor in self._adapted.stage_tensors(stage).items()
            if name != EMBEDDING
        }

    def _cohorts(self, number: int, rounds: int) -> Iterator[tuple[int, ...]]:
        """Yield who is asked in each round of a part of the federation."""
        size = self.settings.cohort_size
        divided = blocks(range(len(self.members)), size, self.seed)
        return islice(cohorts(divided, (self.seed, number)), rounds)

    def _search(self, grouping: Grouping) -> None:
        """Go through the search for groups with plain sums."""
        frozen = {
            name: array.shape
            for name, array in self._blueprint.fresh["population"].items()
        }
        sizes = self._blueprint.sizes
        outgoing = sizes.outgoing(frozen)
        for round_, seats in enumerate(self._cohorts(1, grouping.schedule.rounds)):
            order = grouping.order(round_)
            values = outgoing.unpack(order.parameters)
            vectors = [answer(order, sizes, values, self._read(s)) for s in seats]
            total: Numbers = np.sum(vectors, axis=0, dtype=np.float64)
            grouping.apply(round_, total, len(vectors))

    def _read(self, seat: int) -> Features:
        if seat not in self._features:
            own = self._examples_of(seat)
            self._features[seat] = self._reader.read(own, self._encoder.padding)
        return self._features[seat]

    def _examples_of(self, seat: int) -> list[Example]:
        if seat not in self._examples:
            entries = self.members[seat].profile
            self._examples[seat] = [self._encoder.example(e) for e in entries]
        return self._examples[seat]

    def _train(self, stage: Level, schedule: Schedule, rate: float) -> None:
        """Train one stage to its end."""
        tensors = self._adapted.stage_tensors(stage)
        shared = {n: t for n, t in tensors.items() if n != EMBEDDING}
        for tensor in shared.values():
            tensor.requires_grad = True
        recipe = schedule.recipe.model_copy(update={"learning_rate": rate})
        optimiser = CohortAdam(shared, recipe, [1])
        self._adapted.users.use(*STAGES[stage].uses)
        number = 0 if stage == "population" else 2  # of the part
        for round_, seats in enumerate(self._cohorts(number, schedule.rounds)):
            share = cosine(round_, schedule.rounds, schedule.warmup)
            cohort = _Cohort(stage, schedule, round_, seats)
            self._round(cohort, optimiser, share)
        for tensor in shared.values():
            tensor.requires_grad = False

    def _round(self, cohort: "_Cohort", optimiser: CohortAdam, share: float) -> None:
        """Make the steps of one round, all people in one batch."""
        recipe = cohort.schedule.recipe
        self._seat(cohort)
        own = {EMBEDDING: self._adapted.users.embedding}
        personal = CohortAdam(own, recipe, [1] * len(cohort.seats))
        generators = [
            generator_for(self.seed, cohort.stage, name, cohort.round)
            for name in (self.members[seat].user_id for seat in cohort.seats)
        ]
        streams = [
            shuffled(self._examples_of(seat), recipe.batch, generator)
            for seat, generator in zip(cohort.seats, generators, strict=True)
        ]
        for _ in range(recipe.steps):
            drawn = [next(stream) for stream in streams]
            count = sum(len(x.target) for rows in drawn for x in rows)
            self.tokens[cohort.stage] += count
            batch = collate(drawn, self._encoder.padding)
            self._backward(batch, generators, cohort)
            for tensor in optimiser.tensors:
                if tensor.grad is not None:
                    tensor.grad /= len(cohort.seats)
            optimiser.step(share)
            if cohort.stage == "group":
                personal.step(share)
        if cohort.stage == "group":
            self._places |= dict(
                zip(cohort.seats, own[EMBEDDING].detach(), strict=True)
            )

    def _seat(self, cohort: "_Cohort") -> None:
        """Seat the people of a cohort, at first where their entries lie."""
        size = self.settings.method.embedding_size
        places = [torch.zeros(size) for _ in cohort.seats]
        if cohort.stage == "group":
            places = [self._place(seat) for seat in cohort.seats]
        self._adapted.load({EMBEDDING: torch.stack(places)})
        embedding = self._adapted.users.embedding
        embedding.requires_grad = cohort.stage == "group"

    def _place(self, seat: int) -> Tensor:
        if seat not in self._places:
            size = self.settings.method.embedding_size
            place = first_embedding(self._groups, self._read(seat), size)
            self._places[seat] = torch.from_numpy(place)
        return self._places[seat]

    def _backward(
        self, batch: Batch, generators: Sequence[torch.Generator], cohort: "_Cohort"
    ) -> None:
        """Leave the gradient of the cohort's summed loss in the tensors."""
        adapted, users = self._adapted, self._adapted.users
        record = cohort.stage == "group"
        mask = batch.mask.to(adapted.device)
        users.open_pass(mask, batch.extents, generators, record=record)
        logits = adapted.logits(batch)
        loss = text_loss(logits, batch.targets.to(adapted.device), users.count).sum()
        if record:
            known = stack_layers(users.direction, adapted.layers)
            others = known.sum(0, keepdim=True) - known
            peers = torch.full((users.count,), float(users.count - 1))
            weight = cohort.schedule.constraint_weight
            loss = loss + weight * own_constraint(known, others, peers).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        users.close_pass()


@dataclass(frozen=True)
class _Cohort:
    """Who is asked in one round."""

    stage: Level
    schedule: Schedule
    round: int
    seats: Sequence[int]
