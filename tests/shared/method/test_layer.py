import io

import pytest
import tiny
import torch
from torch import nn

from proper_shared.method.cohort import train_cohort
from proper_shared.method.job import Job, generator_for
from proper_shared.method.layer import AdaptedLinear, Experts, LowRank
from proper_shared.method.objective import own_constraint, stack_layers
from proper_shared.method.stages import PARTS
from proper_shared.method.users import Users
from proper_shared.quantised import four_bits

USERS, TOKENS, IN, OUT = 3, 4, 10, 7
ALL = ("group", "user", "lora_router")


def stirred(tensor, banks):
    return nn.Parameter(torch.randn(banks, *tensor.shape[1:], dtype=torch.float64))


def layer_of(method, shared=("population", "group"), base=None):
    """A layer in float64 whose parts hold numbers, shared by all users or not."""
    torch.manual_seed(3)
    users = Users(method.embedding_size)
    users.embedding = stirred(users.embedding, USERS)
    base = base or nn.Linear(IN, OUT).double()
    layer = AdaptedLinear(base, (IN, OUT), "l", users)
    layer.population = LowRank((IN, OUT), method.population, users)
    layer.group = Experts((IN, OUT), method, users)
    layer.user = LowRank((IN, OUT), method.user, users)
    for part in PARTS:
        module = getattr(layer, part)
        for name, tensor in list(module.named_parameters()):
            banks = 1 if part in shared else USERS
            setattr(module, name, stirred(tensor, banks))
    return layer, users


def softmax(logits):
    powers = (logits - logits.max()).exp()
    return powers / powers.sum()


def written_out(layer, method, x, user):
    """The paper's sum for one token of one user, expert by expert."""

    def own(tensor):
        return tensor[user % tensor.shape[0]]

    uses, embedding = layer.users[0].uses, layer.users[0].embedding[user]
    y = layer.base(x)
    lora = layer.population
    y = y + method.population.alpha / method.population.rank * (
        own(lora.b) @ (own(lora.a) @ x)
    )
    z = (
        method.user.alpha
        / method.user.rank
        * (own(layer.user.b) @ (own(layer.user.a) @ x))
    )
    if "user" in uses:
        y = y + z
    if "group" not in uses:
        return y
    group, r = layer.group, method.group.rank
    by_token, by_user = own(group.w_x) @ x, own(group.w_u) @ embedding
    if method.user_router == "probability_sum":
        by_token, by_user = softmax(by_token), softmax(by_user)
    logits = by_token + by_user
    if "lora_router" in uses:
        by_lora = own(group.w_l) @ z
        logits = by_lora if method.lora_router == "replace" else logits + by_lora
    weights = softmax(logits)
    scale = method.group.alpha / r / (method.experts if method.average_experts else 1)
    for i in range(method.experts):
        a = own(group.a)[i * r : (i + 1) * r]
        b = own(group.b)[:, i * r : (i + 1) * r]
        y = y + scale * weights[i] * (b @ (a @ x))
    return y


@pytest.mark.parametrize("uses", [(), ("group",), ("user",), ("group", "user"), ALL])
@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize("user_router", ["logit_sum", "probability_sum"])
@pytest.mark.parametrize("lora_router", ["residual", "replace"])
def test_the_fused_layer_is_the_sum_of_the_paper(
    uses, average, user_router, lora_router
):
    method = tiny.method(
        average_experts=average, user_router=user_router, lora_router=lora_router
    )
    for shared in (("population", "group"), PARTS, ()):
        layer, users = layer_of(method, shared)
        users.use(*uses)
        x = torch.randn(USERS, TOKENS, IN, dtype=torch.float64)
        expected = torch.stack(
            [
                torch.stack([written_out(layer, method, t, u) for t in x[u]])
                for u in range(USERS)
            ]
        )
        torch.testing.assert_close(layer(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", tiny.CONFIGS)
def test_fresh_adapters_change_nothing(kind):
    plain, made = tiny.model(kind), tiny.adapted(kind, *PARTS)
    ids = torch.arange(3, 23).reshape(2, 10)
    with torch.no_grad():
        for uses in ((), ("group",), ("group", "user"), ALL):
            made.users.use(*uses)
            assert torch.equal(made.model(ids).logits, plain(ids).logits)


def test_the_released_router_can_never_commit_and_the_plain_one_can():
    extremes = torch.eye(5) * 1000
    for router, low, high in [
        ("probability_sum", 0.088, 0.649),
        ("logit_sum", 0.0, 1.0),
    ]:
        method = tiny.method(experts=5, user_router=router)
        users = Users(5)
        experts = Experts((IN, OUT), method, users)
        experts.w_u.data = torch.eye(5)[None]
        users.embedding = nn.Parameter(extremes)
        for logits in (extremes.expand(5, 5, 5), torch.randn(5, 200, 5) * 50):
            weights = experts.route(logits, None)
            assert weights.min() >= low - 5e-4
            assert weights.max() <= high + 5e-4
            torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:2]))
        best = experts.route(extremes.expand(5, 5, 5), None).detach()
        assert float(best.max()) == pytest.approx(high, abs=5e-4)
        assert float(best.min()) == pytest.approx(low, abs=5e-4)


def test_a_published_router_of_the_lora_is_blind_to_embedding_and_token():
    method = tiny.method(lora_router="replace")
    layer, users = layer_of(method)
    z = torch.randn(USERS, TOKENS, OUT, dtype=torch.float64)
    first, second = torch.randn(2, USERS, TOKENS, 3, dtype=torch.float64)
    before = layer.group.route(first, z)
    users.embedding = stirred(users.embedding, USERS)
    assert torch.equal(layer.group.route(second, z), before)


def test_what_is_dropped_from_the_experts_is_not_dropped_from_the_router():
    method = tiny.method()  # drops a tenth
    layer, users = layer_of(method)
    users.use("group")
    x = torch.randn(USERS, TOKENS, IN, dtype=torch.float64)
    seen = []
    for generators in ((), [generator_for(u, "drop") for u in range(USERS)]):
        mask, extents = torch.ones(USERS, TOKENS), [(1, TOKENS)] * USERS
        users.open_pass(mask, extents, generators, record=True)
        seen.append((layer(x), users.weight["l"]))
    (whole, sure), (dropped, drawn) = seen
    assert (whole - dropped).abs().max() > 0.1
    torch.testing.assert_close(drawn, sure, rtol=0, atol=0)


def test_nothing_in_a_layer_grows_with_the_users_it_has_served():
    def served(cohorts):
        made = tiny.adapted("llama", *PARTS)
        made.users.use("group", "user")
        for cohort in range(cohorts):
            job = Job(
                stage="user",
                examples=[tiny.examples(3)] * 2,
                generators=[generator_for(0, cohort, seat) for seat in range(2)],
                recipe=tiny.recipe(steps=1),
                padding=0,
            )
            train_cohort(made, job)
        stored = io.BytesIO()
        torch.save(list(made.layers.values()), stored)
        return len(stored.getvalue())

    assert served(4) == served(1)


def test_a_layer_over_four_bits_trains_the_same_before_and_after_an_evaluation(
    monkeypatch,
):
    bnb = pytest.importorskip(
        "bitsandbytes", reason="4 bits need bitsandbytes", exc_type=ImportError
    )
    quantised = bnb.nn.modules
    monkeypatch.setattr(quantised, "has_avx512bf16", quantised.has_avx512bf16)
    four_bits()  # what is done before any backbone is loaded in 4 bits
    torch.manual_seed(0)
    base = bnb.nn.Linear4bit(
        64, 64, bias=False, compute_dtype=torch.bfloat16, quant_type="nf4"
    )
    base.requires_grad_(requires_grad=False)
    users = Users(4)
    users.embedding = nn.Parameter(torch.randn(2, 6))
    method = tiny.method()
    layer = AdaptedLinear(base.to("cpu"), (64, 64), "l", users)
    layer.group = Experts((64, 64), method, users)
    layer.user = LowRank((64, 64), method.user, users)
    layer.group.b.data.normal_()
    layer.user.b.data.normal_()
    users.use(*ALL)
    layer.eval()
    x = torch.randn(2, 6, 64, dtype=torch.bfloat16, requires_grad=True)

    def gradients():
        wanted = [x, *layer.group.parameters(), *layer.user.parameters()]
        loss = layer(x).float().square().sum()
        return torch.autograd.grad(loss, wanted)

    before = gradients()
    with torch.no_grad():
        layer(x.detach())
    for old, new in zip(before, gradients(), strict=True):
        assert old.isfinite().all()
        assert old.abs().sum() > 0
        assert torch.equal(old, new)


def test_routers_of_users_who_are_alike_are_pushed_apart_by_a_real_gradient():
    method = tiny.method()
    layer, users = layer_of(method)
    layer.float()
    users.embedding = nn.Parameter(torch.randn(USERS, 6))
    users.use("group")
    users.open_pass(
        torch.ones(USERS, TOKENS),
        [(1, TOKENS)] * USERS,
        [generator_for(0, u) for u in range(USERS)],
        record=True,
    )
    layer(torch.randn(USERS, TOKENS, IN))
    directions = stack_layers(users.direction, users.direction)
    others = (directions.sum(0) - directions).detach()
    own_constraint(directions, others, torch.full((USERS,), 2.0)).sum().backward()
    for tensor in (layer.group.w_x, layer.group.w_u, users.embedding):
        assert tensor.grad.abs().max() > 1e-4
