"""What the federated parts are before the first round, on either side."""

from types import SimpleNamespace

import numpy as np
import pytest
import tiny

from proper_shared.parts import STAGES, Blueprint
from proper_shared.rounds import Part, Schedule

SCHEDULES = SimpleNamespace(
    **{
        name: Schedule(rounds=4, recipe=tiny.recipe())
        for name in ("population", "grouping", "group", "lora_router")
    }
)


def blueprint(seed=0):
    return Blueprint(tiny.adapted("llama", "population", "group", seed=seed), seed)


def test_two_sides_come_to_the_same_orders():
    one, other = (list(blueprint().parts(SCHEDULES)) for _ in range(2))
    assert [part.stage for part in one] == [
        "population",
        "grouping",
        "group",
        "lora_router",
    ]
    for mine, yours in zip(one, other, strict=True):
        assert np.array_equal(mine.order(0).parameters, yours.order(0).parameters)


def test_what_is_trained_depends_on_the_seed():
    one, other = blueprint(0).fresh["population"], blueprint(1).fresh["population"]
    name = next(name for name in one if name.endswith(".a"))
    assert not np.array_equal(one[name], other[name])


def test_a_blueprint_does_not_follow_the_model():
    made = tiny.adapted("llama", "population", "group")
    drawn = Blueprint(made, 0)
    before = {n: a.copy() for n, a in drawn.fresh["group"].items()}
    tiny.stir(made, "group")
    for name, array in drawn.fresh["group"].items():
        assert np.array_equal(array, before[name])


@pytest.mark.parametrize("stage", STAGES)
def test_a_part_stands_on_the_tensors_of_the_ones_before(stage):
    drawn = blueprint()
    shape = drawn.shape(stage)
    earlier = STAGES[: STAGES.index(stage)]
    expected = {name for name in earlier for name in drawn.fresh[name]}
    if earlier:
        expected |= set(drawn.sizes.reading())
    assert set(shape.frozen) == expected
    assert set(shape.trained) == set(drawn.fresh[stage])


def test_each_part_is_built_on_the_finished_one():
    parts = blueprint().parts(SCHEDULES)
    population = next(parts)
    assert isinstance(population, Part)
    for name in population.values:
        population.values[name] = population.values[name] + 1
    grouping = next(parts)
    values = dict(population.values)
    sent = grouping.order(0).parameters
    name = next(iter(values))
    assert np.array_equal(sent[: values[name].size], values[name].ravel())
