"""Public texts tell a part that helps from one that does harm."""

import numpy as np
import pytest
import tiny

from proper_shared.canary import Canary
from proper_shared.encoding import Encoder
from proper_shared.method.stages import AdaptedModel
from proper_shared.parts import Blueprint
from proper_shared.rounds import Schedule

SCHEDULE = Schedule(rounds=4, recipe=tiny.recipe(steps=2))
PEOPLE = [tiny.user("ann", 6), tiny.user("bob", 4)]


def made(people=PEOPLE):
    backbone, method = tiny.backbone(), tiny.method(embedding_size=8)
    adapted = AdaptedModel(backbone.model, method, 0)
    adapted.add("population")
    adapted.add("group")
    encoder = Encoder(backbone.tokenizer, tiny.TAGGING)
    return Canary(adapted, encoder, people), Blueprint(adapted, 0)


def parts():
    canary, blueprint = made()
    population = blueprint.part("population", SCHEDULE, {})
    grouping = blueprint.grouping(SCHEDULE, dict(population.values))
    group = blueprint.group_part(SCHEDULE, population, grouping)
    return canary, population, grouping, group


def test_fresh_parts_cost_what_the_backbone_costs():
    canary, population, _, group = parts()
    assert canary.measure(population) > 0
    assert canary.measure(group) == pytest.approx(canary.measure(population), rel=1e-5)


def test_a_part_that_was_spoilt_costs_more_and_the_measure_has_no_memory():
    canary, population, _, _ = parts()
    before = canary.measure(population)
    rng = np.random.default_rng(0)
    good = {name: array.copy() for name, array in population.values.items()}
    for name, array in population.values.items():
        population.values[name] = rng.normal(size=array.shape).astype(np.float32) * 99
    assert canary.measure(population) > before + 0.05
    population.values = good
    assert canary.measure(population) == before


def test_what_is_no_model_and_no_texts_has_no_measure():
    canary, population, grouping, _ = parts()
    assert canary.measure(grouping) is None
    assert made(people=())[0].measure(population) is None
