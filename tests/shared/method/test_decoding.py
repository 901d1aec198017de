"""Decoding for one user, against the layers as they are trained."""

import pytest
import tiny
import torch

from proper_shared.method import decoding as module
from proper_shared.method.decoding import Seat, decoding
from proper_shared.method.layer import AdaptedLinear

LEVELS = {"population": (), "group": ("group",), "user": ("group", "user")}
LEVELS["personal"] = ("group", "user", "lora_router")
STRENGTHS = (0, 0.2, 0.5, 0.7, 1)


def person(kind="llama", **changes):
    made = tiny.stir(tiny.adapted(kind, "group", "user", **changes), "group", "user")
    made.users.embedding.data = torch.randn(1, 6, generator=torch.manual_seed(2))
    return made


@torch.no_grad()
def decoded(made, count=12):
    """The logits of a prompt and of each token after it, through the cache."""
    ids = torch.arange(3, 8)[None]
    out = made.model(input_ids=ids, use_cache=True)
    rows = [out.logits[0, -1]]
    for token in range(20, 20 + count):
        cache = out.past_key_values
        out = made.model(
            input_ids=torch.tensor([[token]]), past_key_values=cache, use_cache=True
        )
        rows.append(out.logits[0, -1])
    return torch.stack(rows)


@torch.no_grad()
def at_once(made, count=12):
    """The same logits without a cache, in one pass."""
    ids = torch.tensor([[*range(3, 8), *range(20, 20 + count)]])
    return made.model(input_ids=ids, use_cache=False).logits[0, 4:]


@pytest.mark.parametrize("kind", tiny.CONFIGS)
@pytest.mark.parametrize("small", [0, 1 << 19])
@pytest.mark.parametrize("level", LEVELS)
def test_a_user_is_decoded_as_the_layers_would(kind, small, level, monkeypatch):
    monkeypatch.setattr(module, "SMALL", small)
    made = person(kind)
    made.users.use(*LEVELS[level])
    usual = decoded(made)
    with decoding(made):
        short = decoded(made)
    torch.testing.assert_close(short, usual, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("level", LEVELS)
def test_the_cache_changes_nothing_beside_routers(level):
    made = person()
    made.users.use(*LEVELS[level])
    whole = at_once(made)
    torch.testing.assert_close(decoded(made), whole, rtol=1e-4, atol=1e-4)
    with decoding(made):
        torch.testing.assert_close(decoded(made), whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("router", ["residual", "replace"])
@pytest.mark.parametrize("user_router", ["logit_sum", "probability_sum"])
@pytest.mark.parametrize("average", [True, False])
def test_every_strength_and_router_is_decoded_alike(
    strength, router, user_router, average
):
    made = person(lora_router=router, user_router=user_router, average_experts=average)
    made.users.dial(strength)
    usual = decoded(made, 4)
    with decoding(made):
        short = decoded(made, 4)
    torch.testing.assert_close(short, usual, rtol=1e-4, atol=1e-4)


def test_parts_that_lie_on_different_layers_are_decoded_too():
    attention = tiny.method().user.model_copy(
        update={"targets": ("q_proj", "v_proj", "up_proj", "down_proj")}
    )
    made = person(user=attention)
    made.users.use("group", "user", "lora_router")
    usual = decoded(made)
    with decoding(made):
        short = decoded(made)
    torch.testing.assert_close(short, usual, rtol=1e-4, atol=1e-4)


def test_one_product_reads_what_gate_and_up_read(monkeypatch):
    made = person()
    made.users.use("group", "user", "lora_router")
    products = []
    inner = torch.nn.functional.linear

    def counted(x, weight, bias=None):
        products.append(tuple(weight.shape))
        return inner(x, weight, bias)

    with decoding(made), torch.no_grad():
        out = made.model(torch.tensor([[3, 4]]), use_cache=True)
        monkeypatch.setattr(torch.nn.functional, "linear", counted)
        made.model(torch.tensor([[5]]), past_key_values=out.past_key_values)
    blocks = made.model.config.num_hidden_layers
    assert len(products) == 5 * blocks + 1  # q, k with v, o, gate with up, down; head


def test_layers_are_back_after_decoding_and_nothing_is_kept():
    made = tiny.stir(tiny.adapted("llama", *("group", "user")), "group", "user")
    made.users.use("group")
    before = tiny.copies(made)
    with decoding(made):
        assert any(isinstance(m, Seat) for m in made.model.modules())
    with pytest.raises(StopIteration), decoding(made):
        next(iter(()))
    assert not any(isinstance(m, Seat) for m in made.model.modules())
    found = [m for m in made.model.modules() if isinstance(m, AdaptedLinear)]
    assert found == list(made.layers.values())
    after = tiny.copies(made)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_population_that_stays_beside_the_weights_is_left_as_it_is():
    made = tiny.stir(
        tiny.adapted("llama", "population", "group"), "population", "group"
    )
    made.users.use("group")
    usual = decoded(made)
    with decoding(made):
        torch.testing.assert_close(decoded(made), usual, rtol=1e-4, atol=1e-4)


def test_users_who_sit_together_are_answered_the_usual_way():
    made = person()
    made.seat("user", 2)
    made.users.use("group", "user")
    with decoding(made):
        assert not any(isinstance(m, Seat) for m in made.model.modules())
