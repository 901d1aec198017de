"""The dial from population to personal."""

import pytest
import tiny
import torch

from proper_shared.method.users import MIDDLE

IDS = torch.arange(3, 23).reshape(2, 10)
EXACT = {0.0: (), MIDDLE: ("group",), 1.0: ("group", "user", "lora_router")}


def person(**changes):
    made = tiny.stir(tiny.adapted("llama", "group", "user", **changes), "group", "user")
    made.users.embedding.data = torch.randn(1, 6, generator=torch.manual_seed(2))
    return made


@torch.no_grad()
def logits(made, strength):
    made.users.dial(strength)
    return made.model(IDS).logits


ROUTERS = [
    {"lora_router": lora, "user_router": user}
    for lora in ("residual", "replace")
    for user in ("logit_sum", "probability_sum")
]


@pytest.mark.parametrize("routers", ROUTERS)
@pytest.mark.parametrize("strength", EXACT)
def test_the_levels_lie_on_the_dial_bit_for_bit(routers, strength):
    made = person(**routers)
    found = logits(made, strength)
    made.users.use(*EXACT[strength])
    with torch.no_grad():
        assert torch.equal(found, made.model(IDS).logits)


@pytest.mark.parametrize("routers", ROUTERS)
def test_the_dial_never_jumps(routers):
    made = person(**routers)
    far = (logits(made, 1.0) - logits(made, 0.0)).abs().max()
    for place in (0.0, 0.25, MIDDLE, 0.75, 1.0 - 1e-4):
        step = (logits(made, place + 1e-4) - logits(made, place)).abs().max()
        assert 0 < step < far / 100


def test_choosing_a_level_turns_the_dial_back():
    made = person()
    made.users.use("group", "user", "lora_router")
    with torch.no_grad():
        before = made.model(IDS).logits
    logits(made, 0.3)
    logits(made, 0.8)
    made.users.use("group", "user", "lora_router")
    with torch.no_grad():
        assert torch.equal(made.model(IDS).logits, before)
