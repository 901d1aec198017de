"""Weights in 4 bits (NF4) by bitsandbytes, over which gradients stay right.

Covered: on processors with AVX512-BF16 a forward without gradients would repack the
weights in place, and from then on the gradients of what lies below are silently wrong;
bitsandbytes is told that there is no such processor before a weight is quantised.
Not covered: other programs of this process that load such weights by themselves.
"""

from importlib.util import find_spec
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from proper_shared.errors import ModelError
from proper_shared.kernel_advice import without_kernel_advice

BLOCK = 64  # weights that share a scale of four bytes


def is_installed() -> bool:
    """Tell whether bitsandbytes is there; it is not imported for that."""
    return find_spec("bitsandbytes") is not None


def four_bits() -> object:
    """Return how transformers is to load linear layers in 4 bits.

    Raises:
        ModelError: bitsandbytes is not installed.
    """
    _guarded()
    from transformers import BitsAndBytesConfig  # noqa: PLC0415 - beside its backend

    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def quantise(model: PreTrainedModel, device: str) -> None:
    """Put a model that is in memory into 4 bits, as `four_bits` would have loaded it.

    Args:
        model: Its linear layers are replaced, all but the one that makes logits.
        device: Where it is moved.

    Raises:
        ModelError: bitsandbytes is not installed.
    """
    library = _guarded()
    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    plain = {
        path: module
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    }
    for path, module in plain.items():
        parent, _, leaf = path.rpartition(".")
        setattr(model.get_submodule(parent), leaf, _short(library, module, device))
    model.to(device)  # type: ignore[arg-type]


def _short(library: Any, module: nn.Linear, device: str) -> nn.Module:  # noqa: ANN401
    """Return a linear layer in 4 bits."""
    short = library.Linear4bit(
        module.in_features,
        module.out_features,
        bias=module.bias is not None,
        compute_dtype=torch.bfloat16,
        compress_statistics=False,
        quant_type="nf4",
        device="meta",
    )
    short.weight = library.Params4bit(
        module.weight.detach().to(torch.bfloat16),
        requires_grad=False,
        quant_type="nf4",
        compress_statistics=False,
        module=short,
    )
    if module.bias is not None:
        short.bias = nn.Parameter(module.bias.detach(), requires_grad=False)
    moved: nn.Module = short.to(device)
    return moved


def _guarded() -> Any:  # noqa: ANN401 - a library without types
    """Return the modules of bitsandbytes, which repack nothing."""
    try:
        with without_kernel_advice():
            import bitsandbytes.nn.modules as quantised  # noqa: PLC0415 - seconds
    except ImportError as error:
        raise ModelError(
            "4 bits need bitsandbytes, which is not installed",
            hint="pip install 'proper[quant]', or use 16 bits",
        ) from error
    quantised.has_avx512bf16 = lambda: False  # type: ignore[attr-defined]
    return quantised
