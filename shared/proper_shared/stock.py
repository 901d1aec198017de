"""What others can read: stock PEFT LoRA folders and stock model folders.

Population, experts and user LoRA are plain LoRAs, so each can be written as a folder
that `peft.PeftModel.from_pretrained` loads without knowing anything of this project.
Routers have no place there: an expert is written alone, without its weight, and a user
LoRA with the population below it but without the groups.
"""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from proper_shared.backbone import Backbone
from proper_shared.errors import FormatError
from proper_shared.kernel_advice import without_kernel_advice
from proper_shared.method.config import Lora
from proper_shared.method.stages import AdaptedModel
from proper_shared.release import Release

with without_kernel_advice():
    from peft import LoraConfig

ADAPTER = "adapter_model.safetensors"
PREFIX = "base_model.model."
FACTORS = {"a": "lora_A", "b": "lora_B"}


def write_lora(folder: Path, tensors: Mapping[str, Tensor], lora: Lora) -> None:
    """Write one LoRA as a stock PEFT folder.

    Args:
        folder: made if it is not there.
        tensors: `<layer>.<part>.a` (r, d_in) and `<layer>.<part>.b` (d_out, r).
        lora: its shape.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # PEFT takes any number
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
        task_type="CAUSAL_LM",
        inference_mode=True,
    )
    config.save_pretrained(str(folder))
    stock = {_stock_name(name): t.contiguous() for name, t in tensors.items()}
    save_file(stock, folder / ADAPTER, metadata={"format": "pt"})


def write_factors(
    folder: Path, factors: Mapping[str, tuple[Tensor, Tensor]], base: str | None
) -> None:
    """Write LoRAs of several ranks, each scaled by one, as a stock PEFT folder.

    Args:
        folder: made if it is not there.
        factors: layer -> A (R, d_in) and B (d_out, R), R the same for layers whose
            names end alike.
        base: what the folder says that it belongs to, such as a hub id.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ranks = {name.rpartition(".")[2]: len(a) for name, (a, _) in factors.items()}
    largest = max(ranks.values())
    others = {leaf: rank for leaf, rank in ranks.items() if rank != largest}
    config = LoraConfig(
        r=largest,
        lora_alpha=largest,
        rank_pattern=others,
        alpha_pattern=others,
        target_modules=sorted(ranks),
        task_type="CAUSAL_LM",
        base_model_name_or_path=base,
        inference_mode=True,
    )
    config.save_pretrained(str(folder))
    stock = {
        f"{PREFIX}{name}.{FACTORS[kind]}.weight": tensor.float().cpu().contiguous()
        for name, pair in factors.items()
        for kind, tensor in zip(("a", "b"), pair, strict=True)
    }
    save_file(stock, folder / ADAPTER, metadata={"format": "pt"})


def read_lora(folder: Path, part: str) -> dict[str, Tensor]:
    """Read a stock PEFT folder that holds one LoRA.

    Args:
        folder: with `adapter_model.safetensors`.
        part: under which the tensors are named: `<layer>.<part>.a`.

    Raises:
        FormatError: the folder holds something else than a plain LoRA.
    """
    path = folder / ADAPTER
    if not path.is_file():
        raise FormatError(f"{folder} has no {ADAPTER}", hint="name a PEFT LoRA folder")
    own = {stock: factor for factor, stock in FACTORS.items()}
    tensors = {}
    for name, tensor in load_file(path).items():
        layer, _, kind = name.removesuffix(".weight").rpartition(".")
        if kind not in own or not layer.startswith(PREFIX):
            raise FormatError(f"{path.name} holds {name}, expected LoRA factors alone")
        tensors[f"{layer.removeprefix(PREFIX)}.{part}.{own[kind]}"] = tensor
    return tensors


def one_expert(
    tensors: Mapping[str, Tensor], expert: int, rank: int
) -> dict[str, Tensor]:
    """Cut one expert out of the stacked ones.

    Args:
        tensors: `<layer>.group.a` (E*r, d_in) and `<layer>.group.b` (d_out, E*r);
            routers may be among them and are left out.
        expert: from 0.
        rank: r.
    """
    rows = slice(expert * rank, (expert + 1) * rank)
    cut = {}
    for name, tensor in tensors.items():
        if name.endswith(".group.a"):
            cut[name] = tensor[rows]
        elif name.endswith(".group.b"):
            cut[name] = tensor[:, rows]
    return cut


def stack_experts(experts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Put experts on top of each other again; the inverse of `one_expert`."""
    return {
        name: torch.cat(
            [expert[name] for expert in experts], dim=0 if name.endswith(".a") else 1
        )
        for name in experts[0]
    }


def write_merged(folder: Path, adapted: AdaptedModel, dtype: str | None = None) -> None:
    """Write the backbone, with the population merged, as a stock model folder.

    Args:
        folder: is there.
        adapted: what stands beside the weights (experts, user LoRA) is left out.
        dtype: of the weights in the files; None for the one that they have.
    """
    model = adapted.model
    config = deepcopy(model.config)
    short: torch.dtype | None = None if dtype is None else getattr(torch, dtype)
    if short is not None:
        config.dtype = short
    config.save_pretrained(folder)
    if model.generation_config is not None:
        model.generation_config.save_pretrained(folder)
    ours = {
        name
        for part in ("population", "group", "user")
        for name in adapted.tensors(part)
    }
    ours.add("users.embedding")
    tied = model.config.tie_word_embeddings
    weights = {
        name.replace(".base.", "."): tensor.to(dtype=short).contiguous()
        for name, tensor in model.state_dict().items()
        if name not in ours and not (tied and name.startswith("lm_head."))
    }
    path = folder / "model.safetensors"
    save_file(weights, path, metadata={"format": "pt"})
    path.chmod(0o644)  # a release is for everybody


def merge_release(
    folder: Path, backbone: Backbone, adapted: AdaptedModel, release: Release
) -> None:
    """Write a backbone with the population of a release merged, and its tokenizer.

    Args:
        folder: is there.
        backbone: the one that the release was made for.
        adapted: its model, with a population beside it, which is replaced and merged.
        release: of which only the population is taken.
    """
    own = release.population.items()
    adapted.load({name: torch.from_numpy(array)[None] for name, array in own})
    adapted.merge_population()
    write_merged(folder, adapted)
    backbone.tokenizer.save_pretrained(folder)


def _stock_name(name: str) -> str:
    layer, factor = name.rpartition(".")[0].rpartition(".")[0], name.rpartition(".")[2]
    return f"{PREFIX}{layer}.{FACTORS[factor]}.weight"
