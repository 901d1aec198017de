"""A release that taught nobody anything, but is whole: quick to make and to use."""

from pathlib import Path

import numpy as np
from transformers import (
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from proper_shared.backbone import NANO, load_backbone
from proper_shared.grouping import Sizes
from proper_shared.method.config import Method
from proper_shared.method.stages import EMBEDDING, AdaptedModel
from proper_shared.parts import widths_of
from proper_shared.release import (
    BackboneId,
    Header,
    Release,
    split_by_part,
    write_release,
)


def toy_release(folder, *, task="tagging", steps=2, rate=5e-3, merged=False):
    backbone, method = load_backbone("nano"), Method()
    adapted = AdaptedModel(backbone.model, method, seed=0)
    adapted.add("population")
    adapted.add("group")
    named = {**adapted.tensors("population"), **adapted.tensors("group")}
    named[EMBEDDING] = adapted.users.embedding
    arrays = {name: t.detach()[0].numpy().copy() for name, t in named.items()}
    rng = np.random.default_rng(0)
    sizes = Sizes(*widths_of(adapted.model), method.experts)
    for name, shape in sizes.reading().items():
        arrays[name] = rng.normal(size=shape).astype(np.float32)
    step = {"learning_rate": rate, "steps": steps}
    header = Header(
        task=task,
        method=method,
        personal={
            "embedding": {**step, "embedding_rate": 0.05},
            "user": step,
            "lora_router": step,
        },
        backbone=BackboneId(name="nano", fingerprint=backbone.fingerprint),
        seed=0,
    )
    save_merged = adapted.model.config.save_pretrained if merged else None
    write_release(folder, Release(header, **split_by_part(arrays)), save_merged)
    return folder


def another_llama(folder):
    """Save a random backbone that has nano's tokenizer and module names."""
    size = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    config = LlamaConfig(num_hidden_layers=1, vocab_size=vocabulary(), **size)
    return save(LlamaForCausalLM(config), folder)


def without_gates(folder):
    """Save a backbone that has no gate, up and down projections."""
    config = GPT2Config(vocab_size=vocabulary(), n_embd=16, n_layer=1, n_head=2)
    return save(GPT2LMHeadModel(config), folder)


def vocabulary():
    return len(AutoTokenizer.from_pretrained(NANO))


def save(model, folder):
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(NANO).save_pretrained(folder)
    return Path(folder)
