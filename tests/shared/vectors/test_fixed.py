"""Bounds under noise hang on the order, and on nothing that anybody wrote."""

import inspect
import math

import pytest
from offered import LAYOUT, an_order
from tiny import adapted

from proper_shared.errors import FormatError
from proper_shared.method.config import Recipe
from proper_shared.orders import header_of, parse_order
from proper_shared.packing import Layout
from proper_shared.parts import Blueprint
from proper_shared.vectors.clip import Blocks, blocks_of
from proper_shared.vectors.fixed import fixed_bounds
from proper_simulations.config import RunConfig
from proper_simulations.settings import settings_for
from proper_simulations.worlds import make_world

RECIPE = Recipe(learning_rate=1e-2, steps=4)


def test_both_sides_come_to_the_same_bounds_from_an_order():
    order = an_order(learning_rate=3.7e-3)
    received = parse_order(header_of(order), order.parameters)
    ours = fixed_bounds(order.schedule.recipe, LAYOUT)
    assert fixed_bounds(received.schedule.recipe, LAYOUT) == ours
    assert tuple(inspect.signature(fixed_bounds).parameters) == ("recipe", "layout")


def test_bounds_fit_every_vector_that_a_run_adds_up():
    made = adapted("llama", "population", "group")
    settings = settings_for(RunConfig(quick=True), make_world("tagging", 7, 3, 2))
    outline = Blueprint(made, 0).outline(settings)
    assert [part.stage for part in outline] == [
        "population",
        "grouping",
        "group",
        "lora_router",
    ]
    for part in outline:
        assert len(part.layouts) == getattr(settings, part.stage).rounds
        for layout in part.layouts:
            Blocks.of(layout, fixed_bounds(RECIPE, layout))  # a bound for each block


def test_the_outline_is_what_the_parts_ask_for():
    made = adapted("llama", "population", "group")
    blueprint = Blueprint(made, 0)
    settings = settings_for(RunConfig(quick=True), make_world("tagging", 7, 3, 2))
    outline = blueprint.outline(settings)
    for part, told in zip(blueprint.parts(settings), outline, strict=True):
        if part.stage == "grouping":
            part.sums["seen"][0] = 1  # else the moments would be asked for again
        asked = tuple(part.layout(r) for r in range(part.schedule.rounds))
        assert (part.stage, asked) == (told.stage, told.layouts)


def test_no_update_of_adam_is_more_than_half_as_long_again():
    layout = Layout({"l.population.b": (40, 25), "loss": (1,)})
    bounds = fixed_bounds(RECIPE, layout)
    most = RECIPE.learning_rate * RECIPE.steps * math.sqrt(1000)
    assert most / 1.5 < bounds["update"] <= most


def test_longer_training_and_more_numbers_have_larger_bounds():
    twice = RECIPE.model_copy(update={"steps": 8})
    wide = Layout({"l.population.b": (160, 50), "loss": (1,)})
    narrow = fixed_bounds(RECIPE, LAYOUT)["update"]
    assert fixed_bounds(twice, LAYOUT)["update"] == pytest.approx(2 * narrow)
    assert fixed_bounds(RECIPE, wide)["update"] == pytest.approx(2 * narrow)


def test_shares_and_directions_are_within_their_bounds_whatever_they_are():
    layout = Layout({"l.group.b": (4, 6), "use": (3, 5), "direction": (3, 5)})
    bounds = fixed_bounds(RECIPE, layout)
    assert bounds["use"] == bounds["direction"] == math.sqrt(3)


def test_a_block_of_which_nothing_is_known_gets_no_bound():
    layout = Layout({"mystery": (3,)})
    assert blocks_of(layout).keys() == {"mystery"}
    with pytest.raises(FormatError, match="mystery"):
        fixed_bounds(RECIPE, layout)
