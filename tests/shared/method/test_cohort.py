"""A cohort against each of its users alone; nobody hears of anybody else."""

from itertools import islice, permutations

import pytest
import tiny
import torch

from proper_shared.encoding import Example, collate
from proper_shared.method.cohort import train_cohort
from proper_shared.method.config import Recipe
from proper_shared.method.job import Constraint, Job, generator_for, shuffled
from proper_shared.method.stages import PARTS, STAGES, AdaptedModel
from proper_shared.method.users import Users

LAYERS, EXPERTS, USERS = 6, 3, 4
PEOPLE = [
    tiny.examples(1, seed=1, longest=4),
    tiny.examples(11, seed=2, longest=20, targets=(50, 51)),
    tiny.examples(3, seed=3, longest=9, targets=(47,)),
    tiny.examples(6, seed=4, longest=14),
]


def model(count, kind="llama"):
    made = tiny.stir(tiny.adapted(kind, *PARTS), *PARTS, size=0.2)
    generator = torch.Generator().manual_seed(8)
    made.load({"users.embedding": torch.randn(USERS, 6, generator=generator)[:count]})
    return made


def train(stage, seats, made=None, **changes):
    """Train some of the people, and return tensors and records by seat."""
    made = made or model(USERS)
    made.users.use(*STAGES[stage].uses)
    made.load({"users.embedding": EMBEDDINGS[list(seats)]})
    constraint = None
    if stage == "group":
        constraint = Constraint(
            0.5, OTHERS[list(seats)], torch.full((len(seats),), 3.0)
        )
    job = Job(
        stage=stage,
        examples=[PEOPLE[seat] for seat in seats],
        generators=[generator_for(0, stage, seat) for seat in seats],
        recipe=tiny.recipe(steps=4, batch=4),
        padding=0,
        constraint=constraint,
    )
    trained = train_cohort(made, Job(**(vars(job) | changes)))
    banks = {n: t.detach() for n, t in made.stage_tensors(stage).items()}
    banks |= {n: t for n, t in vars(trained).items() if t is not None}
    return [{n: t[seat] for n, t in banks.items()} for seat in range(len(seats))]


EMBEDDINGS = torch.randn(USERS, 6, generator=torch.Generator().manual_seed(8))
OTHERS = torch.rand(USERS, LAYERS, EXPERTS, generator=torch.Generator().manual_seed(9))


def assert_same(found, expected, tolerance=1e-5):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(
            found[name],
            tensor,
            rtol=0,
            atol=tolerance,
            msg=lambda m, n=name: f"{n} {m}",
        )


def identical(found, expected):
    return all(torch.equal(found[name], t) for name, t in expected.items())


@pytest.mark.parametrize("stage", STAGES)
def test_users_in_a_cohort_are_trained_as_if_alone(stage):
    together = train(stage, range(USERS))
    for seat in range(USERS):
        (alone,) = train(stage, [seat])
        assert_same(together[seat], alone)


@pytest.mark.parametrize("kind", set(tiny.CONFIGS) - {"llama"})
def test_a_cohort_is_as_if_alone_on_every_kind_of_backbone(kind):
    together = train("group", range(USERS), model(USERS, kind))
    (alone,) = train("group", [0], model(1, kind))
    assert_same(together[0], alone)


def test_seats_may_be_changed():
    expected = train("user", range(USERS))
    for seats in list(permutations(range(USERS)))[1::7]:
        for place, found in zip(seats, train("user", seats), strict=True):
            assert_same(found, expected[place])


def test_dropout_is_drawn_from_the_users_own_generator():
    def with_seed(seed):
        generators = [generator_for(seed, "x"), generator_for(1, "y")]
        # the same two rows every time, so that the order cannot differ
        examples = [[PEOPLE[1][0]], [PEOPLE[3][0]]]
        return train("user", [0, 1], generators=generators, examples=examples)

    first, second = with_seed(2), with_seed(3)
    assert identical(first[1], second[1])
    assert not identical(first[0], second[0])


def test_order_is_drawn_from_the_users_own_generator():
    def some(seed, count=5):
        return list(islice(shuffled(PEOPLE[1], 4, generator_for(seed)), count))

    assert some(1) == some(1)
    assert some(1) != some(2)


def test_an_epoch_holds_every_example_once():
    epoch = list(islice(shuffled(PEOPLE[1], 4, generator_for(0)), 3))
    assert [len(batch) for batch in epoch] == [4, 4, 3]
    assert sorted(str(x) for batch in epoch for x in batch) == sorted(
        map(str, PEOPLE[1])
    )


def test_a_dropout_mask_does_not_depend_on_who_else_is_there():
    def mask(examples, seat):
        users = Users(1)
        users.embedding = torch.nn.Parameter(torch.zeros(len(examples), 1))
        batch = collate(examples, 0)
        generators = [generator_for(0, str(own)) for own in examples]
        users.open_pass(batch.mask, batch.extents, generators, record=False)
        rows = batch.mask.shape[0] // len(examples)
        x = torch.ones(len(examples), rows * batch.mask.shape[1], 5)
        kept = users.drop(x, 0.5)[seat].view(rows, -1, 5)
        own, tokens = batch.extents[seat]
        return kept[:own, -tokens:]

    assert torch.equal(mask(PEOPLE, 2), mask([PEOPLE[2]], 0))
    assert 0.3 < mask(PEOPLE, 1).count_nonzero() / mask(PEOPLE, 1).numel() < 0.7


def test_layers_are_counted_as_they_are_defined_whatever_runs_first():
    usual = model(USERS)
    odd = AdaptedModel(tiny.turned(tiny.model()), tiny.method())
    for part in PARTS:
        odd.add(part)
        odd.load({n: t.detach() for n, t in usual.tensors(part).items()})
    layers = [name for name in usual.layers if "mlp" in name]
    places = [layers.index(name) for name in odd.layers if "mlp" in name]
    assert places != sorted(places)
    others = Constraint(0.5, OTHERS[:, places], torch.full((USERS,), 3.0))
    expected = train("group", range(USERS), usual)
    found = train("group", range(USERS), odd, constraint=others)
    for one, two in zip(found, expected, strict=True):
        for record in ("weight", "direction"):
            two[record] = two[record][places]
        assert_same(one, two)


CANARY = (61, 62, 63, 61)


def whispering(examples):
    """The same examples with a canary in each, of the same length."""
    return [
        Example(
            x.prompt[:1] + CANARY[: len(x.prompt) - 1] + x.prompt[5:],
            (63,) * len(x.target),
        )
        for x in examples
    ]


@pytest.mark.parametrize("stage", STAGES)
def test_what_one_user_wrote_does_not_reach_another(stage):
    spoken = [whispering(PEOPLE[0]), *PEOPLE[1:]]
    assert spoken[0] != PEOPLE[0]
    quiet, loud = (
        train(stage, range(USERS)),
        train(stage, range(USERS), examples=spoken),
    )
    assert not identical(loud[0], quiet[0])
    for seat in range(1, USERS):
        assert identical(loud[seat], quiet[seat])


@pytest.mark.parametrize("stage", ["embedding", "user", "lora_router"])
def test_who_was_trained_before_leaves_nothing_behind(stage):
    (fresh,) = train(stage, [1])
    made = model(USERS)
    release = {n: t.detach().clone() for p in PARTS for n, t in made.tensors(p).items()}
    train(stage, [0, 2], made, examples=[whispering(PEOPLE[0]), PEOPLE[2]])
    made.load(release)
    (after,) = train(stage, [1], made)
    assert identical(after, fresh)


def test_a_users_gradient_is_clipped_by_the_users_own_norm():
    def steps(examples):
        return train(
            "user", [0, 1], examples=examples, recipe=tiny.recipe(clip_norm=0.01)
        )

    assert identical(
        steps([whispering(PEOPLE[0]), PEOPLE[1]])[1], steps([PEOPLE[0], PEOPLE[1]])[1]
    )


def test_few_entries_are_learnt_at_a_share_of_the_rate():
    def moved(caution):
        recipe = tiny.recipe(steps=1, caution=caution, schedule="constant")
        found = train("embedding", [0, 1, 2, 3], recipe=recipe)
        pairs = zip(found, EMBEDDINGS, strict=True)
        return torch.stack([own["users.embedding"] - start for own, start in pairs])

    entries = torch.tensor([[len(own)] for own in PEOPLE])
    expected = moved(0.0) * entries / (entries + 5)
    torch.testing.assert_close(moved(5.0), expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("p", [0.05, 0.5])
def test_as_much_is_dropped_as_was_asked_for(p):
    users = Users(1)
    users.embedding = torch.nn.Parameter(torch.zeros(1, 1))
    users.open_pass(torch.ones(10, 100), [(10, 100)], [generator_for(1)], record=False)
    kept = users.drop(torch.ones(1, 1000, 77), p)
    assert abs((kept == 0).float().mean() - p) < 0.005
    torch.testing.assert_close(kept.max(), torch.tensor(1 / (1 - p)))


def test_cohort_adam_is_adamw_with_the_norm_clipped():
    made = model(1)
    twin = model(1)
    changes = {"weight_decay": 0.1, "clip_norm": 0.05, "steps": 5, "batch": 6}
    recipe = tiny.recipe(**changes, schedule="constant")
    (found,) = train("embedding", [3], made, recipe=recipe)
    twin.users.use("group")
    embedding = twin.seat("embedding", 1)["users.embedding"]
    embedding.data.copy_(EMBEDDINGS[3:4])
    stock = torch.optim.AdamW([embedding], lr=0.05, weight_decay=0.1)
    generator = generator_for(0, "embedding", 3)
    for rows in islice(shuffled(PEOPLE[3], 6, generator), 5):
        batch = collate([rows], 0)
        twin.users.open_pass(batch.mask, batch.extents, [generator], record=False)
        logits = twin.logits(batch)
        stock.zero_grad()
        torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), batch.targets.flatten()
        ).backward()
        torch.nn.utils.clip_grad_norm_([embedding], 0.05)
        stock.step()
    torch.testing.assert_close(
        found["users.embedding"], embedding.detach()[0], rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
@pytest.mark.parametrize("warmup", [0.0, 0.03, 0.3])
def test_a_rate_rises_to_the_peak_once_and_falls(warmup, schedule):
    recipe = Recipe(learning_rate=1, steps=50, warmup=warmup, schedule=schedule)
    shares = [recipe.share(step) for step in range(50)]
    peak = shares.index(1.0)
    assert peak <= 1 + warmup * 50
    assert shares[: peak + 1] == sorted(shares[: peak + 1])
    assert shares[peak:] == sorted(shares[peak:], reverse=True)
    assert all(0 < share <= 1 for share in shares)
    assert shares[-1] < (0.01 if schedule == "cosine" else 0.03)


def test_a_linear_rate_falls_by_the_same_each_step():
    recipe = Recipe(learning_rate=1, steps=10, warmup=0.2, schedule="linear")
    shares = [recipe.share(step) for step in range(10)]
    assert shares == pytest.approx([0.5, 1, *[1 - n / 8 for n in range(8)]])


def test_a_constant_rate_is_constant_and_one_step_is_taken_in_full():
    constant = Recipe(learning_rate=1, steps=9, schedule="constant")
    assert {constant.share(step) for step in range(9)} == {1.0}
    assert Recipe(learning_rate=1, steps=1).share(0) == 1.0
