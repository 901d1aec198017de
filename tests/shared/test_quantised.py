"""Weights in 4 bits, put there after loading, against those that were loaded so."""

import pytest
import torch

from proper_shared.backbone import load_backbone
from proper_shared.method.config import Method
from proper_shared.method.stages import AdaptedModel
from proper_shared.quantised import is_installed, quantise

pytest.importorskip(
    "bitsandbytes", reason="4 bits need bitsandbytes", exc_type=ImportError
)
IDS = torch.arange(3, 40)[None]


def quantised():
    model = load_backbone(bits=16).model
    quantise(model, "cpu")
    return model


@torch.no_grad()
def logits(model):
    return model(input_ids=IDS).logits


def test_quantising_in_memory_is_loading_in_4_bits():
    model, loaded = quantised(), load_backbone(bits=4).model
    assert is_installed()
    assert torch.equal(logits(model), logits(loaded))
    kinds = [{type(m).__name__ for m in one.modules()} for one in (model, loaded)]
    assert kinds[0] == kinds[1]
    assert "Linear4bit" in kinds[0]


def test_gradients_over_quantised_weights_are_those_from_before_an_evaluation():
    adapted = AdaptedModel(load_backbone(bits=16).model, Method())
    adapted.add("user")
    quantise(adapted.model, "cpu")
    adapted.users.use("user")
    trained = adapted.seat("user", 1)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for tensor in trained.values():
            tensor.add_(torch.randn(tensor.shape, generator=generator), alpha=0.02)

    def gradients():
        loss = adapted.model(input_ids=IDS, labels=IDS).loss
        return torch.autograd.grad(loss, list(trained.values()))

    before = gradients()
    logits(adapted.model)
    after = gradients()
    assert all(tensor.abs().sum() > 0 for tensor in before)
    assert all(map(torch.equal, before, after))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_keeps_gradients_too():
    adapted = AdaptedModel(load_backbone(bits=4, device="cuda").model, Method())
    adapted.add("user")
    adapted.users.use("user")
    trained = list(adapted.seat("user", 1).values())
    ids = IDS.cuda()

    def gradients():
        loss = adapted.model(input_ids=ids, labels=ids).loss
        return torch.autograd.grad(loss, trained)

    before = gradients()
    with torch.no_grad():
        adapted.model(input_ids=ids)
    assert all(map(torch.allclose, before, gradients()))
