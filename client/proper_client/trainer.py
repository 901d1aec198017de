"""What a device does in a federated round: train from the order, answer a vector.

The vector holds differences to what was received, and sums are all that the
coordinator needs of it. What stays in `Member.state`, on the device:

    embedding     (k,) the user's own vector
    own           (L, E) the user's own share of the moving sum S
    own.count     (1,) the weight of that share in S.count
    own.folds     (1,) S.folds when the two were last brought up to date
    <user LoRA>   by tensor name, once the warm start of the router needed it

One trainer serves any number of members; a cohort trains in one pass.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from proper_client.member import Member
from proper_client.reading import Reader
from proper_client.shares import constraint_of, keep_share
from proper_shared.backbone import Backbone
from proper_shared.encoding import Encoder, Example
from proper_shared.errors import DataError
from proper_shared.grouping import Features, answer, first_embedding
from proper_shared.method.cohort import Trained, train_cohort
from proper_shared.method.config import Method, Recipe
from proper_shared.method.job import Job, generator_for
from proper_shared.method.stages import EMBEDDING, AdaptedModel
from proper_shared.method.stages import STAGES as PLANS
from proper_shared.offers import base_hash
from proper_shared.packing import Arrays, Layout, Vector
from proper_shared.parts import Blueprint
from proper_shared.rounds import Order, Shape, Stage, expert_axis
from proper_shared.tasks import Task

if TYPE_CHECKING:
    from proper_shared.history import User


class Trainer:
    """Trains members of a federation on one machine.

    Args:
        backbone: it is wrapped in place and belongs to the trainer from now on.
        task: of all members.
        method: shapes of everything that is trained.
        personal: how a member's user LoRA is trained before the router's warm start.
        seed: of fresh adapters, order and dropout.

    Attributes:
        blueprint: what the parts are made of on this backbone.
    """

    def __init__(
        self,
        backbone: Backbone,
        task: Task,
        method: Method,
        personal: Recipe,
        seed: int,
    ) -> None:
        self.method, self.personal, self.seed = method, personal, seed
        words = backbone.fingerprint, task.name, method.model_dump_json(), seed
        self.base = base_hash(*words)
        self.fingerprint, self._tokenizer = backbone.fingerprint, backbone.tokenizer
        self.encoder = Encoder(backbone.tokenizer, task)
        self._padding = self.encoder.padding
        self.adapted = AdaptedModel(backbone.model, method, seed)
        for part in ("population", "group"):
            self.adapted.add(part)
        self.blueprint = Blueprint(self.adapted, seed)
        self._merged = ""
        self._features: dict[tuple[str, User], Features] = {}
        self._reader = Reader(self.adapted)
        self._examples: dict[User, list[Example]] = {}

    def layout(self, order: Order) -> Layout:
        """Return what lies where in an update for this order."""
        return self.blueprint.layout(order)

    def train(self, order: Order, members: Sequence[Member]) -> list[Vector]:
        """Train one round for each member; their states move on.

        Args:
            order: what to train, from which parameters.
            members: of one cohort, each with an entry at least.

        Returns:
            For each member one vector in the layout of `Shape.incoming`.

        Raises:
            DataError: a member has no entries; nobody's state has changed.
            FormatError: the order does not fit the backbone.
        """
        for member in members:
            if not member.user.profile:
                raise DataError(f"user {member.user.user_id} has no entries")
        if order.stage == "grouping":
            return self._answer_grouping(order, members)
        shape = self.blueprint.shape(order.stage)
        received = shape.outgoing().unpack(order.parameters)
        names = [n for n in (*shape.frozen, *shape.trained) if n[:9] != "grouping."]
        self._load(order.stage, {name: received[name] for name in names})
        if order.stage == "lora_router":
            self._personalise(order, received, members)
        embeddings = self._embeddings(order, received, members)
        job = self._job(order.stage, order.schedule.recipe, members, order.round)
        job = replace(job, only=order.factor)
        if order.stage == "group":
            job = replace(job, constraint=constraint_of(order, received, members))
        self.adapted.load({EMBEDDING: embeddings})
        self.adapted.users.use(*PLANS[order.stage].uses)
        trained = train_cohort(self.adapted, job)
        return self._answers(order, received, members, trained, shape)

    def open_release(self, tensors: Arrays, embedding: Vector) -> None:
        """Load finished parts, the population merged where the weights allow it.

        Args:
            tensors: of all parts, by name; those of the grouping are left out.
            embedding: (k,) where new users start.
        """
        own = {n: a for n, a in tensors.items() if not n.startswith("grouping.")}
        self._load("lora_router", own)
        self.adapted.load({EMBEDDING: torch.from_numpy(embedding)[None]})

    def write_merged(self, folder: Path) -> None:
        """Write the backbone with the population merged, as a stock model folder."""
        from proper_shared.stock import write_merged  # noqa: PLC0415 - PEFT is slow

        write_merged(folder, self.adapted)
        self._tokenizer.save_pretrained(folder)

    def _load(self, stage: Stage, arrays: Mapping[str, NDArray[np.floating]]) -> None:
        """Load tensors by name; from stage 2 on the population is merged."""
        tensors = {n: torch.from_numpy(np.array(a))[None] for n, a in arrays.items()}
        self.adapted.remove("user")
        if stage == "population":
            self._settle("")
        else:
            population = {n: arrays[n] for n in arrays if ".population." in n}
            merged = digest_of(population)
            if merged != self._merged:
                self._settle("")
                self.adapted.load({name: tensors[name] for name in population})
                self._settle(merged)
            if not self.adapted.tensors("population"):
                tensors = {n: t for n, t in tensors.items() if n not in population}
        self.adapted.load(tensors)

    def _settle(self, merged: str) -> None:
        """Merge the loaded population, named by its fingerprint, or take it out."""
        if merged:
            self.adapted.merge_population()
        elif self._merged:
            self.adapted.split_population()
        self._merged = merged

    def _examples_of(self, member: Member) -> list[Example]:
        key = member.user  # not the name alone: a history grows
        if key not in self._examples:
            self._examples[key] = [
                self.encoder.example(entry) for entry in member.user.profile
            ]
        return self._examples[key]

    def _job(
        self, stage: str, recipe: Recipe, members: Sequence[Member], round_: int
    ) -> Job:
        return Job(
            stage=stage,  # type: ignore[arg-type]
            examples=[self._examples_of(member) for member in members],
            generators=[
                generator_for(self.seed, stage, member.user.user_id, round_)
                for member in members
            ],
            recipe=recipe,
            padding=self._padding,
        )

    def _embeddings(
        self,
        order: Order,
        received: Mapping[str, NDArray[np.floating]],
        members: Sequence[Member],
    ) -> Tensor:
        """Return (U, k): each member's own; at first from where their entries lie."""
        if order.stage == "population":
            return torch.zeros(len(members), self.method.embedding_size)
        new = [member for member in members if "embedding" not in member.state]
        for member, features in zip(new, self._features_of(new), strict=True):
            size = self.method.embedding_size
            member.state["embedding"] = first_embedding(received, features, size)
        return torch.stack([torch.from_numpy(m.state["embedding"]) for m in members])

    def _answer_grouping(self, order: Order, members: Sequence[Member]) -> list[Vector]:
        """Answer a round of the grouping; no state is kept."""
        sizes = self.blueprint.sizes
        fresh = self.blueprint.fresh["population"]
        population = {name: array.shape for name, array in fresh.items()}
        values = sizes.outgoing(population).unpack(order.parameters)
        self._load("grouping", {name: values[name] for name in population})
        return [
            answer(order, sizes, values, features)
            for features in self._features_of(members)
        ]

    def _features_of(self, members: Sequence[Member]) -> list[Features]:
        """Return each member's features, read once under the population model."""
        for member in members:
            key = (self._merged, member.user)
            if key not in self._features:
                own = self._examples_of(member)
                self._features[key] = self._reader.read(own, self._padding)
        return [self._features[self._merged, member.user] for member in members]

    def _personalise(
        self,
        order: Order,
        received: Mapping[str, NDArray[np.floating]],
        members: Sequence[Member],
    ) -> None:
        """Give each member the user LoRA that the LoRA-aware router looks at."""
        self.adapted.add("user")
        new = [m for m in members if not any(".user." in name for name in m.state)]
        if new:
            self.adapted.load({EMBEDDING: self._embeddings(order, received, new)})
            self.adapted.users.use(*PLANS["user"].uses)
            train_cohort(self.adapted, self._job("user", self.personal, new, 0))
            for name, bank in self.adapted.tensors("user").items():
                for member, tensor in zip(new, bank.detach(), strict=True):
                    member.state[name] = tensor.cpu().numpy().copy()
        self.adapted.load(
            {
                name: torch.stack([torch.from_numpy(m.state[name]) for m in members])
                for name in self.adapted.tensors("user")
            }
        )

    def _answers(
        self,
        order: Order,
        received: Mapping[str, NDArray[np.floating]],
        members: Sequence[Member],
        trained: Trained,
        shape: Shape,
    ) -> list[Vector]:
        """Pack each member's differences, and let their states move on."""
        layout = shape.incoming(order.factor)
        known = {**self.adapted.tensors("population"), **self.adapted.tensors("group")}
        banks = {
            name: bank.detach().cpu().numpy()
            for name, bank in known.items()
            if name in shape.trained
        }
        embeddings = self.adapted.users.embedding.detach().cpu().numpy()
        vectors = []
        for seat, member in enumerate(members):
            answer: dict[str, NDArray[np.floating]] = {
                name: banks[name][seat] - received[name]
                for name in layout.shapes
                if name in banks
            }
            answer["loss"] = np.array([float(trained.loss[seat])])
            if order.stage == "group":
                answer |= self._group_terms(answer, trained, seat)
                keep_share(order, member.state, answer["direction"])
                member.state["embedding"] = embeddings[seat].copy()
            vectors.append(layout.pack(answer))
        return vectors

    def _group_terms(
        self, updates: Mapping[str, NDArray[np.floating]], trained: Trained, seat: int
    ) -> dict[str, NDArray[np.floating]]:
        """Weigh a member's expert updates by use, and add use and direction."""
        if trained.weight is None or trained.direction is None:
            raise ValueError("the routers were not recorded")
        use = trained.weight[seat].cpu().numpy()  # (L, E)
        direction = trained.direction[seat].cpu().numpy()
        terms: dict[str, NDArray[np.floating]] = {"use": use, "direction": direction}
        experts = [n for n, layer in self.adapted.layers.items() if layer.group]
        for name, update in updates.items():
            if name[-2:] in {".a", ".b"}:
                row = use[experts.index(name[: -len(".group.a")])]
                weighted = update.copy()
                expert_axis(name, weighted, len(row))[...] *= row[:, None, None]
                terms[name] = weighted
        return terms


def digest_of(arrays: Mapping[str, NDArray[np.floating]]) -> str:
    """Return the SHA-256 of named arrays, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()
