"""Personal adapters by stock PEFT, one user after the other.

Two loops that people write: a bare one over a single PEFT model, whose adapter is
reset for each user, and the Trainer of transformers, made anew for each user. Both
have what is fastest for them: fused AdamW, no logging, no files. Learning rate,
schedule, clipping, dropout and order of magnitude of the work are those of a cohort.
"""

import tempfile
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from transformers import LlamaForCausalLM

from proper_shared.encoding import IGNORED, Example, collate
from proper_shared.kernel_advice import without_kernel_advice
from proper_shared.method.config import Lora, Recipe
from proper_shared.method.job import shuffled
from proper_simulations.bench.scene import PADDING

with without_kernel_advice():
    from peft import LoraConfig, PeftModel, get_peft_model
    from peft.tuners.lora import LoraLayer
    from transformers import PrinterCallback, Trainer, TrainingArguments

ADAPTER = "user"
Loop = Callable[[PeftModel, Sequence[Example], Recipe, torch.Generator], float]


def personal_model(backbone: LlamaForCausalLM, lora: Lora) -> PeftModel:
    """Return a backbone with one stock LoRA, to be reset for each user."""
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=round(lora.alpha),
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
    )
    return get_peft_model(backbone, config, adapter_name=ADAPTER)


def reset(model: PeftModel) -> list[torch.nn.Parameter]:
    """Make the adapter fresh for the next user; return its parameters."""
    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.reset_lora_parameters(ADAPTER, True)  # type: ignore[no-untyped-call]  # noqa: FBT003
    return [p for p in model.parameters() if p.requires_grad]


def train_bare(
    model: PeftModel,
    examples: Sequence[Example],
    recipe: Recipe,
    generator: torch.Generator,
) -> float:
    """Train one user's adapter in a bare loop.

    Args:
        model: of `personal_model`.
        examples: of this user.
        recipe: rate, steps, batch and clipping.
        generator: of the order.

    Returns:
        Mean loss over the steps, in nats for each target token.
    """
    trained = reset(model)
    model.train()
    optimiser = torch.optim.AdamW(
        trained, recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    schedule = LambdaLR(optimiser, recipe.share)
    stream = shuffled(examples, recipe.batch, generator)
    total = torch.zeros(())
    for _ in range(recipe.steps):
        loss = _loss(model, next(stream))
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(trained, recipe.clip_norm)
        optimiser.step()
        schedule.step()
        optimiser.zero_grad()
        total += loss.detach()
    return float(total) / recipe.steps


def _loss(model: PeftModel, examples: Sequence[Example]) -> Tensor:
    batch = collate([examples], PADDING)
    logits = model(
        input_ids=batch.ids,
        attention_mask=batch.mask,
        position_ids=batch.positions,
        logits_to_keep=batch.targets.shape[1] + 1,
        use_cache=False,
    ).logits[:, :-1]
    return F.cross_entropy(
        logits.flatten(0, 1), batch.targets.flatten(), ignore_index=IGNORED
    )


def train_with_trainer(
    model: PeftModel,
    examples: Sequence[Example],
    recipe: Recipe,
    generator: torch.Generator,
) -> float:
    """Train one user's adapter with the Trainer; examples are of one length.

    Args:
        model: of `personal_model`.
        examples: of this user.
        recipe: rate, steps, batch and clipping.
        generator: gives the seed of the Trainer's own.

    Returns:
        Mean loss over the steps, in nats for each target token.
    """
    reset(model)
    rows = [
        {
            "input_ids": [*x.prompt, *x.target],
            "labels": [IGNORED] * len(x.prompt) + [*x.target],
        }
        for x in examples
    ]
    with tempfile.TemporaryDirectory() as folder:
        settings = _arguments(recipe, folder, generator.initial_seed() % 2**32)
        trainer = Trainer(model=model, args=settings, train_dataset=rows)
        trainer.remove_callback(PrinterCallback)  # standard output is for results
        done = trainer.train()
    return float(done.training_loss)


def _arguments(recipe: Recipe, folder: str, seed: int) -> TrainingArguments:
    """Return the Trainer's settings: the recipe, and no logs and no files."""
    return TrainingArguments(
        output_dir=folder,
        max_steps=recipe.steps,
        per_device_train_batch_size=recipe.batch,
        learning_rate=recipe.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=recipe.warmup,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.clip_norm,
        logging_strategy="no",
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=False,
        use_cpu=True,
        seed=seed,
    )
