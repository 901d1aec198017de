"""Train a small Llama on blocks of tokens, at the pace of a laptop."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

WARM_UP_STEPS = 100
COOL_DOWN = 0.3  # of all steps: where the rate falls


@dataclass(frozen=True)
class Recipe:
    """How nano is made.

    The same recipe with `steps` given makes the same weights on the same machine and
    number of threads, also where `minutes` had led to that number of steps.

    Attributes:
        seed: Of the initial weights, the synthetic text and the order of blocks.
        minutes: How long to train, where `steps` is not given.
        steps: Number of optimiser steps.
        vocabulary: Tokens, special ones included.
        hidden: Width of the model.
        layers: Number of layers.
        heads: Number of attention heads.
        intermediate: Width of the gated layers.
        positions: Longest input in tokens.
        block_tokens: Length of a training example, T.
        batch_blocks: Training examples in a step, B.
        learning_rate: Highest rate, reached after the warm-up.
        synthetic_share: Part of each batch that is our own text.
    """

    seed: int = 0
    minutes: float = 20.0
    steps: int | None = None
    vocabulary: int = 4096
    hidden: int = 128
    layers: int = 3
    heads: int = 4
    intermediate: int = 352
    positions: int = 512
    block_tokens: int = 256
    batch_blocks: int = 8
    learning_rate: float = 3e-3
    synthetic_share: float = 0.5


@dataclass(frozen=True)
class Progress:
    """Where training stands.

    Attributes:
        step: Steps done.
        steps: Steps in all.
        loss: Mean over the last steps, in nats a token.
        tokens_per_s: Since the start.
        left_s: Time left at this pace.
    """

    step: int
    steps: int
    loss: float
    tokens_per_s: float
    left_s: float


Report = Callable[[Progress], None]


def build_model(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> LlamaForCausalLM:
    """Return an untrained model; its weights depend on the recipe's seed alone."""
    config = LlamaConfig(
        vocab_size=recipe.vocabulary,
        hidden_size=recipe.hidden,
        intermediate_size=recipe.intermediate,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=recipe.positions,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        return LlamaForCausalLM(config)


def pack(documents: Sequence[Sequence[int]], block_tokens: int) -> Tensor:
    """Lay documents end to end and cut them into blocks; the last bit is dropped.

    Returns:
        (N, T) token ids.
    """
    flat = torch.tensor([token for ids in documents for token in ids])
    blocks = len(flat) // block_tokens
    return flat[: blocks * block_tokens].view(blocks, block_tokens)


def pretrain(
    model: LlamaForCausalLM,
    streams: Mapping[str, Iterator[Tensor]],
    recipe: Recipe,
    report: Report = lambda _: None,
) -> int:
    """Train with Muon and AdamW, in bfloat16 where that is fast.

    The rate is warmed up, held, and falls along a cosine over the last 30 % of the
    steps. So the number of steps can be settled late, by the clock, and still be all
    that it takes to do the same again.

    Args:
        model: Changed in place.
        streams: Blocks (T,) without end, by name; `synthetic` has its own share.
        recipe: See there.
        report: Told about each step.

    Returns:
        The number of steps taken.
    """
    batches, optimizers = _batches(streams, recipe), _optimizers(model, recipe)
    model.train()
    plan = _Plan(recipe)
    step, recent = 0, 0.0
    while not plan.done(step):
        step += 1
        loss = _loss(model, next(batches))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = recipe.learning_rate * plan.rate(step)
            optimizer.step()
            optimizer.zero_grad()
        recent += (loss.item() - recent) / min(step, 20)
        report(plan.progress(step, recent))
    model.train(mode=False)
    return step


class _Plan:
    """Settles how many steps there are: at once, or when 70 % of the time is over."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe, self.steps = recipe, recipe.steps
        self.started = time.monotonic()

    def done(self, step: int) -> bool:
        hold_s = (1 - COOL_DOWN) * 60 * self.recipe.minutes
        if self.steps is None and time.monotonic() - self.started >= hold_s:
            self.steps = math.ceil((step + 1) / (1 - COOL_DOWN))
        return self.steps is not None and step >= self.steps

    def rate(self, step: int) -> float:
        """Return the factor on the highest learning rate, never zero."""
        if self.steps is None:
            return min(1.0, step / WARM_UP_STEPS)
        warm = max(1, min(WARM_UP_STEPS, self.steps // 5))
        cool = max(1, math.floor(COOL_DOWN * self.steps))
        done = max(0, step - (self.steps - cool)) / cool
        fall = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))
        return min(1.0, step / warm) * fall

    def progress(self, step: int, loss: float) -> Progress:
        """Return where training stands after `step`."""
        pace_s = (time.monotonic() - self.started) / step
        steps = self.steps or max(step, int(60 * self.recipe.minutes / pace_s))
        tokens = self.recipe.batch_blocks * self.recipe.block_tokens
        return Progress(step, steps, loss, tokens / pace_s, (steps - step) * pace_s)


@torch.no_grad()
def held_out_loss(model: LlamaForCausalLM, blocks: Tensor) -> float:
    """Return the mean loss over blocks (N, T), in nats a token."""
    model.train(mode=False)
    parts = torch.split(blocks, 16)
    total = sum((_loss(model, part).item() * len(part) for part in parts), 0.0)
    return total / len(blocks)


def _loss(model: LlamaForCausalLM, blocks: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(input_ids=blocks, use_cache=False).logits  # (B, T, V)
    return functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), blocks[:, 1:].flatten()
    )


def _optimizers(
    model: LlamaForCausalLM, recipe: Recipe
) -> tuple[torch.optim.Optimizer, ...]:
    """Return Muon for the matrices of the layers, AdamW for embeddings and norms.

    Muon (K. Jordan, 2024) makes all directions of an update equally long; a matrix
    that is looked up by row, and a norm's scale, have no such directions.
    """
    layers = [p for p in model.model.layers.parameters() if p.ndim > 1]
    inside = set(map(id, layers))
    others = [p for p in model.parameters() if id(p) not in inside]
    rate = recipe.learning_rate
    return (
        torch.optim.Muon(
            layers, lr=rate, weight_decay=0.1, adjust_lr_fn="match_rms_adamw"
        ),
        torch.optim.AdamW(
            others, lr=rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True
        ),
    )


def _batches(
    streams: Mapping[str, Iterator[Tensor]], recipe: Recipe
) -> Iterator[Tensor]:
    """Yield (B, T) blocks without end, each stream with its share of rows."""
    own = synthetic_rows(recipe, alone=len(streams) == 1)
    rows = dict.fromkeys(streams, recipe.batch_blocks - own) | {"synthetic": own}
    while True:
        yield torch.stack(
            [next(streams[name]) for name in streams for _ in range(rows[name])]
        )


def synthetic_rows(recipe: Recipe, *, alone: bool) -> int:
    """Return how many rows of a batch are our own text."""
    share = 1.0 if alone else recipe.synthetic_share
    return round(share * recipe.batch_blocks)


def forever(blocks: Tensor, seed: int) -> Iterator[Tensor]:
    """Yield the rows (T,) of blocks (N, T) without end, in a new order each time."""
    rng = torch.Generator().manual_seed(seed)
    while True:
        for index in torch.randperm(len(blocks), generator=rng):
            yield blocks[index]
