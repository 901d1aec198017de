"""What the coordinator makes of sums, against what each client sent."""

import numpy as np
import pytest
import tiny

from proper_shared.errors import FormatError
from proper_shared.rounds import FLOOR, SURE, Part, Schedule, Shape, expert_axis

IN, OUT, R, E, K, CLIENTS = 6, 4, 2, 3, 5, 4
POPULATION = Shape({}, {"l.population.a": (R, IN), "l.population.b": (OUT, R)})
LAYERS = ("l0", "l1")
GROUP = Shape(
    POPULATION.trained,
    {
        name: shape
        for layer in LAYERS
        for name, shape in {
            f"{layer}.group.a": (E * R, IN),
            f"{layer}.group.b": (OUT, E * R),
            f"{layer}.group.w_x": (E, IN),
            f"{layer}.group.w_u": (E, K),
        }.items()
    },
    layers=2,
    experts=E,
)


def part(stage="population", **changes):
    shape = GROUP if stage == "group" else POPULATION
    rng = np.random.default_rng(0)
    values = {
        n: rng.normal(size=s) for n, s in {**shape.frozen, **shape.trained}.items()
    }
    schedule = Schedule(rounds=10, recipe=tiny.recipe(), **changes)
    return Part(stage, shape, schedule, values)


def answers(made, round_, seed=1, **fixed):
    """What each client would send: random updates."""
    rng = np.random.default_rng(seed + round_)
    layout = made.shape.incoming(made.factor(round_))
    found = []
    for _ in range(CLIENTS):
        own = {n: rng.normal(size=s) for n, s in layout.shapes.items()}
        if "use" in own:
            own["use"] = rng.uniform(0.1, 1, size=(2, E))
        found.append(own | {n: v for n, v in fixed.items() if n in own})
    return layout, found


def apply(made, round_, layout, sent):
    total = np.sum([layout.pack(a).astype(np.float64) for a in sent], axis=0)
    return made.apply(round_, total, len(sent))


def product(values):
    return values["l.population.b"].astype(float) @ values["l.population.a"]


@pytest.mark.parametrize("alternate", [True, False])
def test_alternating_factors_make_the_mean_of_products_exact(alternate):
    made = part(alternate=alternate)
    for round_ in range(4):
        before = dict(made.values)
        layout, sent = answers(made, round_)
        mean = np.mean(
            [
                product({n: v + own.get(n, 0) for n, v in before.items()})
                for own in sent
            ],
            axis=0,
        )
        apply(made, round_, layout, sent)
        exact = np.allclose(product(made.values), mean, rtol=1e-5, atol=1e-5)
        assert exact == alternate


def test_b_is_trained_first_and_the_other_factor_stays():
    made = part()
    assert [made.factor(r) for r in range(4)] == ["b", "a", "b", "a"]
    for round_, name in enumerate(("l.population.b", "l.population.a")):
        before = {n: v.copy() for n, v in made.values.items()}
        layout, sent = answers(made, round_)
        assert set(layout.shapes) == {name, "loss"}
        apply(made, round_, layout, sent)
        changed = {n for n in before if not np.array_equal(before[n], made.values[n])}
        assert changed == {name}


@pytest.mark.parametrize("name", ["l0.group.a", "l1.group.b"])
def test_experts_are_moved_by_the_mean_of_those_who_use_them(name):
    made = part("group", alternate=False)
    layout, sent = answers(made, 0)
    layer = LAYERS.index(name[:2])
    sent[0]["use"][layer, 1] = 0.0  # the first client never asks the second expert
    updates = [own[name].copy() for own in sent]
    for own in sent:
        weighted = expert_axis(name, own[name], E)
        weighted[...] *= own["use"][layer][:, None, None]
    before = expert_axis(name, made.values[name], E).copy()
    apply(made, 0, layout, sent)
    moved = expert_axis(name, made.values[name], E) - before
    for expert in range(E):
        use = np.array([own["use"][layer, expert] for own in sent])
        each = np.stack([expert_axis(name, u, E)[expert] for u in updates])
        expected = np.tensordot(use, each, 1) / use.sum()
        np.testing.assert_allclose(moved[expert], expected, rtol=1e-4, atol=1e-5)
    others = np.stack([expert_axis(name, u, E)[1] for u in updates[1:]])
    assert np.abs(moved[1]).max() <= np.abs(others).max()


def test_an_expert_that_nearly_nobody_uses_stays():
    made = part("group", alternate=False)
    use = np.full((2, E), 0.5)
    use[0, 2] = FLOOR / E * 0.99
    use[1, 2] = FLOOR / E * 1.01
    layout, sent = answers(made, 0, use=use)
    before = {n: v.copy() for n, v in made.values.items()}
    apply(made, 0, layout, sent)
    for factor in "ab":
        low, high = f"l0.group.{factor}", f"l1.group.{factor}"
        same = expert_axis(low, made.values[low] == before[low], E)
        assert same[2].all()
        assert not same[:2].any()
        assert not expert_axis(high, made.values[high] == before[high], E)[2].any()


def test_an_expert_that_nearly_nobody_uses_does_not_coast_on_its_momentum():
    made = part("group", alternate=False, momentum=0.5, server_rate=2)
    layout, sent = answers(made, 0)
    apply(made, 0, layout, sent)
    use = np.full((2, E), 0.5)
    use[:, 1] = 0.0
    layout, sent = answers(made, 1, use=use)
    before, speed = dict(made.values), dict(made.velocity)
    apply(made, 1, layout, sent)
    for name in ("l0.group.a", "l1.group.b"):
        same = expert_axis(name, made.values[name] == before[name], E)
        kept = expert_axis(name, made.velocity[name] == speed[name], E)
        assert [bool(rows.all()) for rows in same] == [n == 1 for n in range(E)]
        assert kept[1].all()


def test_an_expert_whose_use_may_be_noise_alone_stays():
    made = part("group")
    before = {name: array.copy() for name, array in made.values.items()}
    use = np.full((2, E), 0.5)
    use[0, 2] = 0.9
    made.noise = {"use": 3.0 / SURE, "direction": 0.0}  # of a sum of 4 times 0.5
    layout, sent = answers(made, 0, use=use)
    apply(made, 0, layout, sent)
    for layer, name in enumerate(LAYERS):
        moved = made.values[f"{name}.group.b"] - before[f"{name}.group.b"]
        lengths = np.linalg.norm(expert_axis(f"{name}.group.b", moved, E), axis=(1, 2))
        assert (lengths > 0).tolist() == [False, False, layer == 0]


def test_what_noise_alone_may_have_said_is_not_remembered():
    made, quiet = part("group", damping=1.0), part("group", damping=1.0)
    direction = np.full((2, E), 0.1)
    direction[1, 0] = -0.9
    layout, sent = answers(made, 0, use=np.full((2, E), 0.5), direction=direction)
    made.noise = {"use": 2.5 / SURE, "direction": 1.0 / SURE}
    quiet.noise = {"use": 0.1 / SURE, "direction": 0.01 / SURE}
    apply(made, 0, layout, sent)
    apply(quiet, 0, layout, sent)
    loud = np.zeros((2, E))
    loud[1, 0] = -3.6
    np.testing.assert_allclose(made.extra["S"], loud, rtol=1e-6)
    np.testing.assert_allclose(made.extra["use"], 2.5, rtol=1e-6)
    np.testing.assert_allclose(quiet.extra["S"], 4 * direction, rtol=1e-6)
    np.testing.assert_allclose(quiet.extra["use"], 2.0, rtol=1e-6)


def test_routers_are_moved_by_the_plain_mean():
    made = part("group", server_rate=0.5)
    layout, sent = answers(made, 0)
    before = made.values["l1.group.w_u"].copy()
    loss = apply(made, 0, layout, sent)
    mean = np.mean([own["l1.group.w_u"] for own in sent], axis=0)
    np.testing.assert_allclose(
        made.values["l1.group.w_u"], before + 0.5 * mean, rtol=1e-5, atol=1e-6
    )
    assert loss == pytest.approx(np.mean([own["loss"][0] for own in sent]), rel=1e-5)


def test_the_sum_forgets_by_its_damping():
    made = part("group", damping=0.25)
    sums, count = np.zeros((2, E)), 0.0
    for round_ in range(6):
        layout, sent = answers(made, round_)
        apply(made, round_, layout, sent)
        sums = 0.75 * sums + 0.25 * sum(own["direction"] for own in sent)
        count = 0.75 * count + 0.25 * CLIENTS
    received = GROUP.outgoing().unpack(made.order(6).parameters)
    np.testing.assert_allclose(received["S"], sums, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(received["S.count"], [count], rtol=1e-6)


def test_a_new_user_is_routed_as_all_are_in_mean():
    made = part("group")
    router = np.random.default_rng(4).normal(size=(E, K)).astype(np.float32)
    use = np.tile([0.5, 0.3, 0.2], (2, 1))
    for round_ in range(3):
        layout, sent = answers(made, round_, use=use)
        apply(made, round_, layout, sent)
    for layer in LAYERS:
        made.values[f"{layer}.group.w_u"] = router
    powers = np.exp(router @ made.mean_embedding)
    np.testing.assert_allclose(powers / powers.sum(), use[0], rtol=1e-4)


def test_a_new_user_of_a_fresh_part_is_routed_evenly():
    np.testing.assert_allclose(part("group").mean_embedding, 0, atol=1e-6)


def test_the_server_keeps_its_momentum_factor_by_factor():
    made = part(momentum=0.5)
    steps = {"l.population.a": 0.0, "l.population.b": 0.0}
    for round_ in range(4):
        layout, sent = answers(made, round_)
        name = f"l.population.{made.factor(round_)}"
        before = made.values[name].copy()
        apply(made, round_, layout, sent)
        steps[name] = 0.5 * steps[name] + np.mean([own[name] for own in sent], axis=0)
        np.testing.assert_allclose(
            made.values[name] - before, 0.5 * steps[name], rtol=1e-3, atol=1e-5
        )


@pytest.mark.parametrize("stage", ["population", "group"])
def test_a_restored_part_goes_on_as_if_nothing_had_happened(stage):
    first, second = part(stage, momentum=0.3), part(stage, momentum=0.3)
    for made, rounds in ((first, range(4)), (second, range(2))):
        for round_ in rounds:
            apply(made, round_, *answers(made, round_))
    third = part(stage, momentum=0.3)
    third.restore({name: array.copy() for name, array in second.state().items()})
    for round_ in (2, 3):
        apply(third, round_, *answers(third, round_))
    assert first.state().keys() == third.state().keys()
    for name, array in first.state().items():
        assert np.array_equal(array, third.state()[name]), name


@pytest.mark.parametrize("wrong", ["missing", "unknown", "shape"])
def test_a_checkpoint_of_another_part_is_refused_and_changes_nothing(wrong):
    made = part("group")
    state = {name: array + 1 for name, array in made.state().items()}
    name = "values/l0.group.a"
    if wrong == "missing":
        del state[name]
    elif wrong == "unknown":
        state["values/l9.group.a"] = state[name]
    else:
        state[name] = state[name][:-1]
    before = {n: array.copy() for n, array in made.state().items()}
    with pytest.raises(FormatError, match=r"l[09]\.group\.a"):
        made.restore(state)
    assert all(np.array_equal(array, before[n]) for n, array in made.state().items())


def test_a_sum_of_another_length_is_refused_and_changes_nothing():
    made = part("group")
    size = made.shape.incoming("b").size
    before = {n: array.copy() for n, array in made.state().items()}
    with pytest.raises(FormatError):
        made.apply(0, np.zeros(size + 1), 1)
    assert all(np.array_equal(array, before[n]) for n, array in made.state().items())


def test_an_order_holds_all_values_and_the_rates_of_its_round():
    made = part("group", warmup=0.3)
    recipe = made.schedule.recipe
    rates = []
    for round_ in range(10):
        order = made.order(round_)
        fresh = order.schedule.recipe
        rates.append(fresh.learning_rate)
        ratio = recipe.embedding_rate / recipe.learning_rate
        assert fresh.embedding_rate == pytest.approx(ratio * fresh.learning_rate)
        assert fresh.steps == recipe.steps
        assert (order.stage, order.round) == ("group", round_)
    assert rates[:3] == pytest.approx([recipe.learning_rate * n / 3 for n in (1, 2, 3)])
    assert rates[2:] == sorted(rates[2:], reverse=True)
    received = made.shape.outgoing().unpack(made.order(3).parameters)
    for name, value in made.values.items():
        assert np.array_equal(received[name], value)
