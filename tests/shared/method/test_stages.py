import pytest
import tiny
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from proper_shared.encoding import collate
from proper_shared.errors import FormatError, ModelError
from proper_shared.method.cohort import train_cohort
from proper_shared.method.job import Job, generator_for
from proper_shared.method.objective import text_loss
from proper_shared.method.stages import PARTS, STAGES, AdaptedModel

EMBEDDING = "users.embedding"
# stage -> the ends of the names of all that it may change
TRAINED = {
    "population": (".population.a", ".population.b"),
    "group": (".group.a", ".group.b", ".group.w_x", ".group.w_u", EMBEDDING),
    "embedding": (EMBEDDING,),
    "user": (".user.a", ".user.b"),
    "lora_router": (".group.w_l",),
}
EXAMPLES = tiny.examples(6)


def job(stage, **changes):
    return Job(
        stage=stage,
        examples=[EXAMPLES],
        generators=[generator_for(0, stage)],
        recipe=tiny.recipe(**({"learning_rate": 1e-2, "steps": 12} | changes)),
        padding=0,
    )


@torch.no_grad()
def loss(made):
    batch = collate([EXAMPLES], 0)
    return float(text_loss(made.logits(batch), batch.targets, 1))


@pytest.fixture(params=tiny.CONFIGS)
def kind(request):
    return request.param


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_lowers_the_loss_and_changes_what_it_trains_alone(kind, stage):
    made = tiny.stir(tiny.adapted(kind, *PARTS), "group", "user", size=0.1)
    made.users.use(*STAGES[stage].uses)
    made.seat(stage, 1)  # the first seat replaces parameters by equal ones
    before, worse = tiny.copies(made), loss(made)
    train_cohort(made, job(stage, batch=6))
    after = tiny.copies(made)
    changed = {n for n in before if not torch.equal(before[n], after[n])}
    wanted = {n for n in before if n.endswith(TRAINED[stage])}
    assert changed == wanted
    assert loss(made) < worse


def test_one_factor_alone_is_trained_where_that_is_asked(kind):
    for only, name in (("b", ".population.b"), ("a", ".population.a")):
        made = tiny.stir(tiny.adapted(kind, "population"), "population")
        before = tiny.copies(made)
        train_cohort(made, Job(**{**vars(job("population", steps=1)), "only": only}))
        after = tiny.copies(made)
        changed = {n for n in before if not torch.equal(before[n], after[n])}
        assert changed == {n for n in before if n.endswith(name)}


def test_the_stages_one_after_another_are_each_better(kind):
    made = tiny.adapted(kind, "population")
    losses = [loss(made)]
    train_cohort(made, job("population"))
    made.merge_population()
    losses.append(loss(made))
    for stage in ("group", "user", "lora_router"):
        part = STAGES[stage].part
        if stage == part:
            made.add(part)
        made.users.use(*STAGES[stage].uses)
        train_cohort(made, job(stage))
        losses.append(loss(made))
    assert losses == sorted(losses, reverse=True)


def test_a_merged_population_answers_as_the_branch_beside_the_weights(kind):
    made = tiny.stir(tiny.adapted(kind, "population"), "population")
    plain = tiny.model(kind).state_dict()
    batch = collate([EXAMPLES], 0)
    with torch.no_grad():
        beside = made.logits(batch)
        made.merge_population()
        torch.testing.assert_close(made.logits(batch), beside, rtol=1e-4, atol=1e-4)
    assert not made.tensors("population")
    made.split_population()
    split = made.model.state_dict()
    weights = {n: t for n, t in split.items() if ".population." not in n}
    assert all(
        torch.equal(t, plain[n.replace(".base.", ".")]) for n, t in weights.items()
    )
    assert all(
        not t.any() for n, t in made.tensors("population").items() if n[-1] == "b"
    )


def test_merging_twice_and_splitting_gives_the_plain_weights_back():
    made = tiny.stir(tiny.adapted("llama", "population"), "population")
    weight = next(iter(made.layers.values())).base.weight
    plain = weight.detach().clone()
    made.merge_population()
    assert not torch.equal(weight, plain)
    made.split_population()
    tiny.stir(made, "population", seed=9)
    made.merge_population()
    made.split_population()
    assert torch.equal(weight, plain)


def test_a_backbone_without_the_modules_is_refused_with_those_it_has():
    model = GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=32, n_layer=1, n_head=2))
    with pytest.raises(ModelError) as error:
        AdaptedModel(model, tiny.method())
    for name in ("gate_proj", "down_proj", "q_proj", "c_attn", "c_fc", "c_proj"):
        assert name in str(error.value)
    assert "Llama" in error.value.hint


def test_a_refused_backbone_is_left_as_it_was():
    model = tiny.model()
    lora = tiny.method().group.model_copy(update={"targets": ("gate_proj", "gone")})
    with pytest.raises(ModelError, match="gone"):
        AdaptedModel(model, tiny.method(group=lora))
    assert type(model.get_submodule("model.layers.0.mlp.gate_proj")) is nn.Linear


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("model.layers.0.mlp.up_proj.group.c", (1, 2, 2), "unknown"),
        ("model.layers.9.mlp.up_proj.group.a", (1, 6, 32), "unknown"),
        ("model.layers.0.mlp.up_proj.user.a", (1, 2, 32), "unknown"),
        ("model.layers.0.mlp.up_proj.base.weight", (48, 32), "unknown"),
        ("model.layers.0.mlp.up_proj.group.a", (1, 7, 32), "expected"),
        ("model.layers.0.mlp.up_proj.group.a", (6, 32), "expected"),
        (EMBEDDING, (1, 5), "expected"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_loaded(name, shape, message):
    made = tiny.adapted("llama", "population", "group")
    before = tiny.copies(made)
    good = "model.layers.0.mlp.gate_proj.group.b"
    values = {good: torch.ones(1, 48, 6), name: torch.ones(shape)}
    with pytest.raises(FormatError, match=message):
        made.load(values)
    after = tiny.copies(made)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[n], after[n]) for n in before)


def test_fresh_adapters_depend_on_seed_and_part_alone():
    first, second = tiny.adapted("llama", *PARTS), tiny.adapted("llama", "user")
    torch.manual_seed(99)
    other, same = tiny.adapted("llama", "user", seed=1), tiny.adapted("llama", *PARTS)
    for name, tensor in first.tensors("user").items():
        assert torch.equal(tensor, second.tensors("user")[name])
        assert torch.equal(tensor, same.tensors("user")[name])
        if name.endswith(".a"):
            assert not torch.equal(tensor, other.tensors("user")[name])


def test_users_are_seated_by_copies_and_keep_what_they_have():
    made = tiny.stir(tiny.adapted("llama", "group", "user"), "user")
    one = {n: t.detach().clone() for n, t in made.tensors("user").items()}
    seated = made.seat("user", 3)
    for name, bank in seated.items():
        assert bank.requires_grad
        assert torch.equal(bank, one[name].expand_as(bank))
    for bank in seated.values():
        bank.data[1] += 1
    again = made.seat("user", 3)
    assert all(again[name] is bank for name, bank in seated.items())
    assert made.users.count == 3
