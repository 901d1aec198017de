"""What a device answers in a round, and what stays on it."""

from copy import deepcopy

import numpy as np
import pytest
import tiny
import torch

from proper_client.reading import Reader
from proper_client.shares import constraint_of
from proper_client.trainer import Member, Trainer
from proper_shared.errors import DataError, FormatError
from proper_shared.grouping import answer, first_embedding
from proper_shared.history import User
from proper_shared.rounds import Part, Schedule

STAGES = ("population", "group", "lora_router")
CANARY = "xylophone Quarzsandgrube 4711"
# where a gradient is almost nothing, Adam makes its rounding a visible part of the rate
RATE = {"learning_rate": 2e-3, "batch": 4}
PEOPLE = [tiny.user("ann", 3), tiny.user("bob", 9), tiny.user("cyd", 6)]


def new_trainer(backbone=None):
    return Trainer(
        backbone or tiny.backbone(),
        tiny.TAGGING,
        tiny.method(embedding_size=8),
        tiny.recipe(steps=2),
        seed=0,
    )


@pytest.fixture(scope="module")
def trainer():
    return new_trainer()


def stirred(made):
    """A part in the middle of its training, so that no tensor is zero."""
    rng = np.random.default_rng(3)
    for name, value in made.values.items():
        noise = rng.normal(size=value.shape, scale=0.2)
        made.values[name] = (value + noise).astype(np.float32)
    return made


def part_of(trainer, stage, **changes):
    schedule = Schedule(rounds=9, recipe=tiny.recipe(**RATE), **changes)
    blueprint, earlier = trainer.blueprint, {}
    for name in STAGES[: STAGES.index(stage) + 1]:
        made = stirred(blueprint.part(name, schedule, earlier))
        earlier = dict(made.values)
        if name == "population":
            earlier |= stirred(blueprint.grouping(schedule, made.values)).found()
    return made


def members(people=PEOPLE):
    return [Member(person) for person in people]


def play(trainer, made: Part, people, rounds):
    """Let all members take part in some rounds."""
    for round_ in rounds:
        vectors = trainer.train(made.order(round_), people)
        made.apply(round_, np.sum(vectors, axis=0, dtype=np.float64), len(vectors))


@pytest.mark.parametrize("stage", STAGES)
def test_a_cohort_answers_what_each_member_would_alone(trainer, stage):
    made = part_of(trainer, stage, constraint_weight=0.3)
    people = members()
    play(trainer, made, people, range(2))
    order, alone = made.order(2), deepcopy(people)
    together = trainer.train(order, people)
    for member, own, vector in zip(people, alone, together, strict=True):
        (expected,) = trainer.train(order, [own])
        far = np.abs(vector - expected)
        assert (far <= 1e-5).mean() > 0.99
        assert far.max() < 0.1 * RATE["learning_rate"]
        assert member.state.keys() == own.state.keys()
        for name, array in own.state.items():
            np.testing.assert_allclose(member.state[name], array, rtol=0, atol=1e-5)


@pytest.mark.parametrize("stage", STAGES)
def test_a_trainer_remembers_nobody(trainer, stage):
    made = part_of(trainer, stage)
    order = made.order(0)
    (expected,) = new_trainer().train(order, members(PEOPLE[1:2]))
    whispering = tiny.user("ann", 3, extra=CANARY)
    trainer.train(order, members([whispering, PEOPLE[2]]))
    trainer.train(part_of(trainer, "group").order(1), members([whispering]))
    (found,) = trainer.train(order, members(PEOPLE[1:2]))
    assert np.array_equal(found, expected)


def test_entries_that_are_new_are_learnt(trainer):
    order = part_of(trainer, "population").order(0)
    before, after = PEOPLE[0], User("ann", PEOPLE[1].profile)
    (old,), (new,) = (trainer.train(order, members([u])) for u in (before, after))
    (expected,) = new_trainer().train(order, members([after]))
    assert np.array_equal(new, expected)
    assert not np.array_equal(new, old)


def test_an_answer_is_the_difference_to_what_was_received(trainer):
    made = part_of(trainer, "population")
    order = made.order(1)
    layout = made.shape.incoming("a")
    (vector,) = trainer.train(order, members(PEOPLE[:1]))
    sent = layout.unpack(vector)
    assert sent["loss"][0] > 0
    for name, update in sent.items():
        if name != "loss":
            bank = trainer.adapted.tensors("population")[name].detach()[0].numpy()
            np.testing.assert_allclose(made.values[name] + update, bank, atol=1e-6)
            assert 0 < np.abs(update).max() < 0.1


def test_weights_of_experts_are_sent_as_use(trainer):
    made = part_of(trainer, "group")
    (vector,) = trainer.train(made.order(0), members(PEOPLE[:1]))
    sent = made.shape.incoming("b").unpack(vector)
    np.testing.assert_allclose(sent["use"].sum(1), 1, rtol=1e-5)
    assert (sent["use"] >= 0).all()
    lengths = np.linalg.norm(sent["direction"], axis=1)
    assert (lengths <= 1 + 1e-5).all()
    assert (lengths > 0.5).all()


def test_experts_are_weighed_by_the_use_of_their_own_layer(trainer):
    """Also where a model runs its layers in another order than it defines them."""
    own = tiny.backbone()
    tiny.turned(own.model)
    odd = new_trainer(own)
    made = part_of(trainer, "group")
    turned = odd.blueprint.part("group", made.schedule, made.values)
    (expected,) = trainer.train(made.order(0), members(PEOPLE[:1]))
    (vector,) = odd.train(turned.order(0), members(PEOPLE[:1]))
    usual = made.shape.incoming("b").unpack(expected)
    sent = turned.shape.incoming("b").unpack(vector)
    assert list(turned.shape.trained) != list(made.shape.trained)
    assert not np.allclose(usual["use"], sent["use"], atol=1e-4)
    for name in made.shape.trained:
        if name.endswith(".b"):
            np.testing.assert_allclose(sent[name], usual[name], rtol=0, atol=1e-6)
            rows = usual["use"][made._layer(name)], sent["use"][turned._layer(name)]
            np.testing.assert_allclose(*rows, rtol=1e-5)


def test_nothing_private_has_a_place_in_an_answer(trainer):
    for stage in STAGES:
        shape = part_of(trainer, stage).shape
        for layout in (shape.incoming("b"), shape.incoming("a"), shape.incoming(None)):
            assert not any(".user." in name for name in layout.shapes)
            assert "embedding" not in layout.shapes


def test_no_number_of_embedding_or_user_lora_leaves_the_device(trainer):
    people = members([tiny.user("ann", 5, extra=CANARY), PEOPLE[1]])
    for stage in STAGES:
        order = part_of(trainer, stage).order(0)
        for member, vector in zip(people, trainer.train(order, people), strict=True):
            assert CANARY.encode() not in vector.tobytes()
            for name, array in member.state.items():
                if name == "embedding" or ".user." in name:
                    numbers = array[np.abs(array) > 1e-6]
                    assert numbers.size
                    assert not np.isin(numbers, vector).all(), name
                    assert np.isin(numbers, vector).mean() < 0.01, name
    assert any(".user." in name for name in people[0].state)


def test_an_embedding_moves_in_the_group_part_alone(trainer):
    people = members(PEOPLE[:2])
    trainer.train(part_of(trainer, "population").order(0), people)
    assert not people[0].state
    trainer.train(part_of(trainer, "group").order(0), people)
    first = people[0].state["embedding"].copy()
    assert not np.array_equal(first, people[1].state["embedding"])
    trainer.train(part_of(trainer, "group").order(1), people)
    second = people[0].state["embedding"].copy()
    assert not np.array_equal(first, second)
    trainer.train(part_of(trainer, "lora_router").order(0), people)
    assert np.array_equal(people[0].state["embedding"], second)


@pytest.mark.parametrize("round_", [0, 5])  # of the moments, of the mixture
def test_a_round_of_the_grouping_is_answered_from_features_and_keeps_nothing(
    trainer, round_
):
    schedule = Schedule(rounds=9, recipe=tiny.recipe())
    population = stirred(trainer.blueprint.part("population", schedule, {})).values
    made = stirred(trainer.blueprint.grouping(schedule, population))
    people = members()
    vectors = trainer.train(made.order(round_), people)
    assert not any(member.state for member in people)
    other = new_trainer()
    other.adapted.load({n: torch.from_numpy(a)[None] for n, a in population.items()})
    other.adapted.merge_population()
    for member, vector in zip(people, vectors, strict=True):
        own = [other.encoder.example(entry) for entry in member.user.profile]
        features = Reader(other.adapted).read(own, other.encoder.padding)
        expected = answer(made.order(round_), made.sizes, made.values, features)
        assert np.array_equal(vector, expected)


def test_members_start_at_their_shares_and_each_router_at_one_group(trainer):
    still = tiny.recipe(learning_rate=1e-12, embedding_rate=1e-12)
    schedule = Schedule(rounds=9, recipe=still)
    blueprint, people = trainer.blueprint, members()
    population = blueprint.part("population", schedule, {})
    grouping = stirred(blueprint.grouping(schedule, population.values))
    made = blueprint.group_part(schedule, population, grouping)
    routers = [array for name, array in made.values.items() if name.endswith(".w_u")]
    assert routers
    for router in routers:
        assert np.array_equal(router, grouping.routers(8))
    trainer.train(made.order(0), people)
    plain = Reader(new_trainer().adapted)  # a fresh population changes nothing
    for member in people:
        own = [trainer.encoder.example(entry) for entry in member.user.profile]
        features = plain.read(own, trainer.encoder.padding)
        expected = first_embedding(grouping.found(), features, 8)
        assert not np.allclose(expected[:3], expected[0])
        np.testing.assert_allclose(member.state["embedding"], expected, atol=1e-5)


def test_a_user_lora_is_trained_once_before_the_router(trainer):
    people = members(PEOPLE[:1])
    made = part_of(trainer, "lora_router")
    trainer.train(made.order(0), people)
    first = {n: a.copy() for n, a in people[0].state.items() if ".user." in n}
    assert any(a.any() for n, a in first.items() if n.endswith(".b"))
    trainer.train(made.order(1), people)
    assert all(np.array_equal(people[0].state[n], a) for n, a in first.items())


def test_the_own_share_is_what_the_member_put_into_the_sum(trainer):
    """S minus the own share is the sum of the others, whoever sat out which round."""
    made = part_of(trainer, "group", damping=0.3)
    people = members()
    for round_, present in enumerate([(0, 1, 2), (0, 2), (1,), (0, 1, 2), (2,)]):
        play(trainer, made, [people[seat] for seat in present], [round_])
    received = made.shape.outgoing().unpack(made.order(5).parameters)
    shares, counts = [], []
    for member in people:
        age = 0.7 ** (5 - float(member.state["own.folds"][0]))
        shares.append(member.state["own"] * age)
        counts.append(float(member.state["own.count"][0]) * age)
    np.testing.assert_allclose(sum(shares), received["S"], rtol=1e-4, atol=1e-5)
    assert sum(counts) == pytest.approx(float(received["S.count"][0]), rel=1e-5)
    constraint = constraint_of(made.order(5), received, people)
    for seat in range(3):
        rest = [s for n, s in enumerate(shares) if n != seat]
        np.testing.assert_allclose(
            constraint.others[seat], sum(rest), rtol=1e-4, atol=1e-5
        )
        assert float(constraint.peers[seat]) == pytest.approx(
            sum(counts) - counts[seat], abs=1e-5
        )


@pytest.mark.parametrize("stage", STAGES)
def test_a_member_without_entries_is_refused_and_nobody_moves(trainer, stage):
    people = [*members(), Member(User("nobody", ()))]
    with pytest.raises(DataError, match="nobody"):
        trainer.train(part_of(trainer, stage).order(0), people)
    assert not any(member.state for member in people)


def test_an_order_that_does_not_fit_is_refused_and_nobody_moves(trainer):
    order = part_of(trainer, "group").order(0)
    people = members()
    wrong = type(order)(**(vars(order) | {"parameters": order.parameters[:-1]}))
    with pytest.raises(FormatError):
        trainer.train(wrong, people)
    assert not any(member.state for member in people)
