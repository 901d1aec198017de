"""What an answer costs for each token, against the plain backbone.

    plain           the backbone alone
    population      its LoRA merged
    group           five experts with routers, as `proper-client chat` decodes
    personal        and a user LoRA with the LoRA-aware router
    personal_usual  the same by the layers that are trained, without `method.decoding`
    peft_rank_8     a stock PEFT LoRA of rank 8 on gate, up and down

One user, one row, one thread, a KV cache, tokens in turn after a prompt. What is timed
is the processor's time of this process: while others run, the clock stops. Shapes are
those of `nano` and of larger Llamas cut to few blocks, since each block costs the same;
the vocabulary is small, so that the head does not hide what the adapters cost.

Not covered: a GPU, backbones in 4 bits, the first token (a prompt goes the usual way).
"""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from proper_shared.kernel_advice import without_kernel_advice
from proper_shared.method.config import FEED_FORWARD, Method
from proper_shared.method.decoding import decoding
from proper_shared.method.stages import AdaptedModel, Part
from proper_shared.method.users import Use
from proper_simulations.bench.measure import Times, circumstances, compare, take_turns
from proper_simulations.bench.scene import random_llama

with without_kernel_advice():
    from peft import LoraConfig, get_peft_model

PROMPT = 32  # tokens in the cache before the first that is timed
TOKENS = 8  # decoded in one go, since one alone is too short to time
RANK = 8
SIZES = ((128, 3), (1024, 2), (2048, 1))  # (hidden, blocks); nano is the first
LEVELS: Mapping[str, tuple[Use, ...]] = {
    "population": (),
    "group": ("group",),
    "personal": ("group", "user", "lora_router"),
}


@dataclass(frozen=True)
class Shape:
    """Of the backbone.

    Attributes:
        hidden: d.
        blocks: how many.
        seed: of all weights.
    """

    hidden: int
    blocks: int
    seed: int


def decoding_cost(
    sizes: tuple[tuple[int, int], ...] = SIZES, *, rounds: int = 60, seed: int = 0
) -> dict[str, object]:
    """Compare the ways with the plain backbone, by size.

    Args:
        sizes: (hidden size, blocks) of each comparison.
        rounds: how many times each way is timed.
        seed: of weights, order and intervals.

    Returns:
        Circumstances, and in `rows` for each size and way the ratio of its time to the
        plain backbone's, with its interval.
    """
    rows: list[dict[str, object]] = []
    for hidden, blocks in sizes:
        rows += _compare_at(Shape(hidden, blocks, seed), rounds)
    return {
        "command": f"proper-sim bench decoding --json --seed {seed}",
        **circumstances(seed),
        "threads": 1,
        "clock": "processor time",
        "rounds": rounds,
        "prompt": PROMPT,
        "tokens": TOKENS,
        "rows": rows,
    }


@torch.no_grad()
def _compare_at(shape: Shape, rounds: int) -> list[dict[str, object]]:
    with ExitStack() as stack:
        models: dict[str, nn.Module] = {
            "plain": random_llama(shape.hidden, shape.blocks, shape.seed)
        }
        for level in LEVELS:
            adapted = personal(shape, level)
            stack.enter_context(decoding(adapted))
            models[level] = adapted.model
        models["personal_usual"] = personal(shape, "personal").model
        models["peft_rank_8"] = _peft(shape)
        calls = {name: answering(model) for name, model in models.items()}
        times = _timed(calls, rounds, shape.seed)
    rng = np.random.default_rng(shape.seed)
    return [
        {
            "hidden": shape.hidden,
            "blocks": shape.blocks,
            "way": name,
            "against": "plain",
            **compare(times[name] / TOKENS, times["plain"] / TOKENS, rng),
        }
        for name in calls
        if name != "plain"
    ]


def _timed(calls: Mapping[str, Callable[[], object]], rounds: int, seed: int) -> Times:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rng = np.random.default_rng(seed)
        return take_turns(calls, rounds, rng, clock=time.process_time)
    finally:
        torch.set_num_threads(threads)


def personal(shape: Shape, level: str) -> AdaptedModel:
    """Return random blocks with a population merged, groups and a user at a level."""
    model = cast(
        "PreTrainedModel", random_llama(shape.hidden, shape.blocks, shape.seed)
    )
    adapted = AdaptedModel(model, Method(), shape.seed)
    parts: tuple[Part, ...] = ("population", "group", "user")
    for part in parts:
        adapted.add(part)
        for tensor in adapted.tensors(part).values():
            tensor.data.normal_(std=0.02)
    adapted.merge_population()
    adapted.users.use(*LEVELS[level])
    return adapted


def _peft(shape: Shape) -> nn.Module:
    config = LoraConfig(
        r=RANK,
        lora_alpha=2 * RANK,
        target_modules=list(FEED_FORWARD),
        init_lora_weights=False,
    )
    model = random_llama(shape.hidden, shape.blocks, shape.seed)
    return get_peft_model(model, config).eval()


def answering(model: nn.Module) -> Callable[[], Tensor]:
    """Return the decoding of a few tokens as a function; it gives the last logits."""
    cache = DynamicCache()
    ids = torch.arange(1, PROMPT + TOKENS + 1)[None]
    with torch.no_grad():
        model(input_ids=ids[:, :PROMPT], past_key_values=cache, use_cache=True)

    @torch.no_grad()
    def decode() -> Tensor:
        for i in range(PROMPT, PROMPT + TOKENS):
            token = ids[:, i : i + 1]
            out = model(input_ids=token, past_key_values=cache, use_cache=True)
        cache.crop(-TOKENS)
        logits: Tensor = out.logits
        return logits

    return decode
