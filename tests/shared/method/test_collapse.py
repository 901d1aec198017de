"""One LoRA a layer against experts whose routers always say the same."""

import pytest
import tiny
import torch

from proper_shared.encoding import collate
from proper_shared.method.collapse import (
    collapsed,
    gates_of_embedding,
    gates_of_entries,
    install,
    merge,
)
from proper_shared.method.layer import Experts
from proper_shared.method.stages import PARTS

IDS = torch.arange(3, 33).reshape(2, 15)
EXAMPLES = tiny.examples(5, seed=4, longest=12)
LEVELS = {
    "population": (),
    "group": ("group",),
    "user": ("group", "user"),
    "personal": ("group", "user", "lora_router"),
}


def stirred(level="personal", kind="llama", **changes):
    made = tiny.stir(tiny.adapted(kind, *PARTS, **changes), *PARTS)
    generator = torch.Generator().manual_seed(8)
    made.load({"users.embedding": torch.randn(1, 6, generator=generator)})
    made.users.use(*LEVELS[level])
    return made


@torch.no_grad()
def logits(made):
    return made.model(IDS).logits


def fix(made, gates, monkeypatch):
    fixed = {id(made.layers[name].group): gate for name, gate in gates.items()}
    monkeypatch.setattr(
        Experts, "route", lambda self, x, _z: fixed[id(self)].expand(x.shape)
    )


@pytest.mark.parametrize("kind", ["llama", "gemma"])
@pytest.mark.parametrize("level", LEVELS)
def test_a_collapsed_model_answers_as_one_with_static_gates(level, kind, monkeypatch):
    made = stirred(level, kind)
    gates = gates_of_entries(made, EXAMPLES, 0)
    factors = collapsed(made, gates)
    fix(made, gates, monkeypatch)
    expected = logits(made)
    install(made, factors)
    torch.testing.assert_close(logits(made), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("average_experts", [False, True])
def test_merged_weights_answer_as_the_collapsed_model(average_experts):
    made, other = (stirred(average_experts=average_experts) for _ in range(2))
    factors = collapsed(made, gates_of_entries(made, EXAMPLES, 0))
    install(made, factors)
    merge(other, factors, "float32")
    torch.testing.assert_close(logits(other), logits(made), rtol=0, atol=1e-4)


def test_merged_weights_are_as_short_as_their_files():
    made = stirred()
    factors = collapsed(made, gates_of_entries(made, EXAMPLES, 0))
    merge(made, factors, "bfloat16")
    for tensor in made.model.parameters():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, tensor.bfloat16().float())


def slow_gates(made, wanted):
    """The mean over tokens, row by row, without padding."""
    seen = {}

    def watched(module, logits, z):
        weights = Experts.route(module, logits, z)
        seen.setdefault(id(module), []).append(weights[0])
        return weights

    modules = {n: layer.group for n, layer in made.layers.items() if layer.group}
    for module in modules.values():
        module.route = lambda x, z, m=module: watched(m, x, z)
    counted = []
    for example in EXAMPLES:
        batch = collate([[example]], 0)
        with torch.no_grad():
            made.logits(batch)
        counted.append(wanted(example))
    for module in modules.values():
        del module.route
    return {
        name: torch.cat(
            [
                weights[where]
                for weights, where in zip(seen[id(module)], counted, strict=True)
            ]
        ).mean(0)
        for name, module in modules.items()
    }


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ("tokens", lambda _example: slice(None)),
        (
            "answers",
            lambda example: slice(
                len(example.prompt) - 1, len(example.prompt) + len(example.target) - 1
            ),
        ),
    ],
)
@pytest.mark.parametrize("rows", [1, 2, 16])
def test_gates_are_the_mean_over_the_tokens_that_count(where, wanted, rows):
    made = stirred()
    expected = slow_gates(made, wanted)
    found = gates_of_entries(made, EXAMPLES, 0, where=where, rows=rows)
    assert found.keys() == expected.keys()
    for name, gate in expected.items():
        torch.testing.assert_close(found[name], gate, rtol=0, atol=1e-5)


@pytest.mark.parametrize("level", ["group", "personal"])
@pytest.mark.parametrize("lora_router", ["residual", "replace"])
def test_an_embedding_alone_decides_where_nothing_is_read(level, lora_router):
    made = stirred(level, lora_router=lora_router)
    gates = gates_of_embedding(made)
    assert len(gates) == 6
    for name, gate in gates.items():
        group = made.layers[name].group
        own = (group.w_u[0] @ made.users.embedding[0]).softmax(-1)
        if (level, lora_router) == ("personal", "replace"):
            own = torch.full_like(own, 1 / 3)
        torch.testing.assert_close(gate, own)


def test_gates_leave_the_model_as_it_was():
    made = stirred()
    before, values = tiny.copies(made), logits(made)
    collapsed(made, gates_of_entries(made, EXAMPLES, 0))
    assert all(
        torch.equal(tensor, before[n]) for n, tensor in tiny.copies(made).items()
    )
    assert torch.equal(logits(made), values)
