"""Where the adapted layers go in a model, and what each stage trains.

| stage | trains | uses |
|---|---|---|
| population | A_p, B_p | |
| group | A_i, B_i, W_x, W_u, e | experts |
| embedding | e of a new user | experts |
| user | A_u, B_u | experts, user LoRA |
| lora_router | W_l | experts, user LoRA, LoRA-aware router |

Everything else is frozen (PROPER, section 3: each stage starts from the frozen result
of the one before). Tensors are named `<path of the layer>.<part>.<tensor>`, such as
`model.layers.0.mlp.up_proj.group.a`.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from proper_shared.encoding import Batch
from proper_shared.errors import FormatError, ModelError
from proper_shared.method.config import Lora, Method
from proper_shared.method.layer import AdaptedLinear, Experts, LowRank
from proper_shared.method.users import Use, Users
from proper_shared.packing import Shapes

Part = Literal["population", "group", "user"]
Stage = Literal["population", "group", "embedding", "user", "lora_router"]
PARTS: tuple[Part, ...] = ("population", "group", "user")
EMBEDDING = "users.embedding"


@dataclass(frozen=True)
class Plan:
    """What one stage trains, and which parts it needs for that.

    Attributes:
        part: holds the trained tensors.
        tensors: their last names.
        embedding: the user embedding is trained too.
        uses: parts that take part in the forward pass.
    """

    part: Part | None
    tensors: tuple[str, ...]
    embedding: bool = False
    uses: tuple[Use, ...] = ()


STAGES: dict[Stage, Plan] = {
    "population": Plan("population", ("a", "b")),
    "group": Plan("group", ("a", "b", "w_x", "w_u"), embedding=True, uses=("group",)),
    "embedding": Plan(None, (), embedding=True, uses=("group",)),
    "user": Plan("user", ("a", "b"), uses=("group", "user")),
    "lora_router": Plan("group", ("w_l",), uses=("group", "user", "lora_router")),
}


def find_targets(model: nn.Module, targets: tuple[str, ...]) -> dict[str, nn.Module]:
    """Find the modules of a backbone that are to be adapted.

    Raises:
        ModelError: one of the targets is not there, or is no linear module.
    """
    found = {
        path: module
        for path, module in model.named_modules()
        if path.rpartition(".")[2] in targets and hasattr(module, "in_features")
    }
    missing = set(targets) - {path.rpartition(".")[2] for path in found}
    if missing:
        leaves = {
            p.rpartition(".")[2] for p, m in model.named_modules() if p and _leaf(m)
        }
        raise ModelError(
            f"the backbone has no linear modules {', '.join(sorted(missing))}; "
            f"found {', '.join(sorted(leaves - {'0', '1'}))}",
            hint="use a decoder with gate, up and down projections, such as Llama, "
            "Mistral, Qwen or Gemma",
        )
    return found


def _leaf(module: nn.Module) -> bool:
    return next(module.children(), None) is None


class AdaptedModel:
    """A frozen causal language model whose linear layers are adapted.

    Args:
        model: any Hugging Face decoder with the target modules. It is changed in
            place: its target modules are wrapped.
        method: shapes of everything that is trained.
        seed: of the fresh adapters.
    """

    def __init__(self, model: PreTrainedModel, method: Method, seed: int = 0) -> None:
        self.model, self.method = model, method
        self.users = Users(method.embedding_size).to(model.device)
        self.layers: dict[str, AdaptedLinear] = {}
        model.requires_grad_(requires_grad=False).train(mode=False)
        self.seed = seed
        self._plain: dict[str, Tensor] = {}
        everywhere = {*method.population.targets, *method.group.targets}
        everywhere |= {*method.user.targets}
        for path, base in find_targets(model, tuple(sorted(everywhere))).items():
            size = (int(base.in_features), int(base.out_features))  # type: ignore[arg-type]
            layer = AdaptedLinear(base, size, path, self.users)
            parent, _, leaf = path.rpartition(".")
            setattr(model.get_submodule(parent), leaf, layer)
            self.layers[path] = layer

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.model.device

    def move(self, device: str) -> None:
        """Compute elsewhere from now on: what stands beside the weights moves along."""
        self.users.to(device)
        self.model.to(device)  # type: ignore[arg-type]

    def _at(self, lora: Lora) -> Iterator[AdaptedLinear]:
        return (
            layer
            for path, layer in self.layers.items()
            if path.rpartition(".")[2] in lora.targets
        )

    def add(self, part: Part) -> None:
        """Put fresh adapters of one part into all of its layers; they change nothing.

        Their values depend on the seed of the model and the part alone.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(PARTS.index(part) + len(PARTS) * self.seed)
            for layer in self._at(getattr(self.method, part)):
                setattr(layer, part, self._fresh(layer, part).to(self.device))
        if part == "group":
            self._agree()
        self._freeze()

    def _fresh(self, layer: AdaptedLinear, part: Part) -> LowRank | Experts:
        if part == "group":
            return Experts(layer.size, self.method, self.users)
        return LowRank(layer.size, getattr(self.method, part), self.users)

    def shapes(self, part: Part) -> Shapes:
        """Return the shapes of a part's tensors by name; no memory is taken for them.

        What comes from elsewhere may ask for more than there is.
        """
        with torch.device("meta"):
            return {
                f"{layer.name}.{part}.{name}": tuple(tensor.shape[1:])
                for layer in self._at(getattr(self.method, part))
                for name, tensor in self._fresh(layer, part).named_parameters()
            }

    def _agree(self) -> None:
        """Let fresh user-aware routers of all layers read an embedding alike.

        With a W_u of its own in each layer a user would share experts with other
        people at every depth, and no groups could form.
        """
        routers = [t for n, t in self.tensors("group").items() if n.endswith(".w_u")]
        with torch.no_grad():
            for router in routers[1:]:
                router.copy_(routers[0])

    def remove(self, part: Part) -> None:
        """Take one part out of all layers."""
        for layer in self.layers.values():
            setattr(layer, part, None)

    def merge_population(self, *, keep: bool = True) -> None:
        """Add the population LoRA to the weights: `W_p = W + s B_p A_p`.

        Quantised weights cannot be added to: there the LoRA stays a branch beside them.

        Args:
            keep: the plain weights too, so that `split_population` can go back.
        """
        for layer in self._at(self.method.population):
            lora, weight = layer.population, layer.base.weight
            if lora is None or not isinstance(weight, Tensor):
                continue
            if not weight.is_floating_point():
                continue
            if keep:
                self._plain[layer.name] = weight.detach().clone()
            with torch.no_grad():
                delta = lora.b[0].double() @ lora.a[0].double() * lora.lora.scale
                weight.copy_((weight.double() + delta).to(weight.dtype))
            layer.population = None

    def split_population(self) -> None:
        """Take a merged population out again and put a fresh one beside the weights."""
        with torch.no_grad():
            for name, plain in self._plain.items():
                weight = self.layers[name].base.weight
                weight.copy_(plain)  # type: ignore[operator]
        self._plain.clear()
        self.add("population")

    def tensors(self, part: Part) -> dict[str, nn.Parameter]:
        """Return the tensors of one part by name, each (1 or U, ...)."""
        return {
            f"{layer.name}.{part}.{name}": tensor
            for layer in self.layers.values()
            if (module := getattr(layer, part)) is not None
            for name, tensor in module.named_parameters()
        }

    def stage_tensors(self, stage: Stage) -> dict[str, nn.Parameter]:
        """Return what a stage trains, by name; the embedding is `users.embedding`."""
        plan = STAGES[stage]
        chosen: dict[str, nn.Parameter] = {}
        if plan.part is not None:
            chosen = {
                name: tensor
                for name, tensor in self.tensors(plan.part).items()
                if name.rpartition(".")[2] in plan.tensors
            }
        if plan.embedding:
            chosen[EMBEDDING] = self.users.embedding
        return chosen

    def load(self, values: Mapping[str, Tensor]) -> None:
        """Replace tensors by name; each value is (1 or U, ...) and is copied.

        Raises:
            FormatError: a name is unknown, or a shape differs behind the first axis;
                nothing is replaced.
        """
        known = dict(self._named())
        for name, value in values.items():
            if name not in known:
                raise FormatError(f"unknown tensor {name}")
            _, key, old = known[name]
            if value.shape[1:] != old.shape[1:]:
                raise FormatError(
                    f"{name}: got shape {tuple(value.shape[1:])}, "
                    f"expected {tuple(old.shape[1:])}"
                )
        for name, value in values.items():
            module, key, old = known[name]
            fresh = value.detach().to(self.device, torch.float32, copy=True)
            setattr(module, key, nn.Parameter(fresh, old.requires_grad))

    def _named(self) -> Iterator[tuple[str, tuple[nn.Module, str, nn.Parameter]]]:
        yield EMBEDDING, (self.users, "embedding", self.users.embedding)
        for layer in self.layers.values():
            for part in PARTS:
                module = getattr(layer, part)
                if module is not None:
                    for key, old in module.named_parameters():
                        yield f"{layer.name}.{part}.{key}", (module, key, old)

    def seat(self, stage: Stage, users: int) -> dict[str, nn.Parameter]:
        """Give each of `users` seats a copy of what the stage trains, and train it.

        Tensors that already have `users` banks are kept. All else is frozen.

        Returns:
            The trained tensors by name, each (U, ...).
        """
        wanted = self.stage_tensors(stage)
        self.load(
            {
                name: value.detach().expand(users, *value.shape[1:])
                for name, value in wanted.items()
                if value.shape[0] != users
            }
        )
        if self.users.count != users:
            own = self.users.embedding.detach()[:1]
            self.load({EMBEDDING: own.expand(users, -1)})
        self._freeze()
        trained = self.stage_tensors(stage)
        for tensor in trained.values():
            tensor.requires_grad = True
        return trained

    @contextmanager
    def only(self, seats: Sequence[int]) -> Iterator[None]:
        """Let some of the U users sit alone for a while; then all sit as before.

        Tensors with one bank for all stay as they are.

        Args:
            seats: who stays, in this order.
        """
        users = self.users.count
        banks = [place for _, place in self._named() if 1 < len(place[2]) == users]
        try:
            for module, key, old in banks:
                part = old.detach()[list(seats)]
                setattr(module, key, nn.Parameter(part, requires_grad=False))
            yield
        finally:
            for module, key, old in banks:
                setattr(module, key, old)

    def _freeze(self) -> None:
        for _, (_, _, tensor) in self._named():
            tensor.requires_grad = False

    def logits(self, batch: Batch) -> Tensor:
        """Return (U*b, K, V): the prediction of each target column."""
        keep = batch.targets.shape[1] + 1
        out = self.model(
            input_ids=batch.ids.to(self.device),
            attention_mask=batch.mask.to(self.device),
            position_ids=batch.positions.to(self.device),
            logits_to_keep=keep,
            use_cache=False,
        )
        logits: Tensor = out.logits[:, :-1]
        return logits
