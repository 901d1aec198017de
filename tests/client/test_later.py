"""A personal model that learns what came after it was trained."""

from dataclasses import replace

import pytest
import torch
from toy_people import FIRST, RECIPE, assert_same, identical, personaliser, pupil

from proper_client.answer import Answerer
from proper_client.later import learn_later
from proper_client.person import parts_of
from proper_client.personal import LEVELS, PHASES


def costs(made, person, entries, level="personal"):
    made.seat([person])
    made.adapted.users.use(*LEVELS[level])
    examples = [made.encoder.example(entry) for entry in entries]
    return Answerer(made.adapted, made.encoder).each_cost([examples])[0]


def test_the_model_of_before_is_not_changed():
    made = personaliser()
    one = pupil(made)
    kept = {name: tensor.clone() for name, tensor in one.person.tensors.items()}
    (person,) = learn_later(made, [one])
    assert identical(one.person, replace(one.person, tensors=kept))
    assert not identical(person, one.person)


def test_pupils_learn_together_as_alone():
    made = personaliser()
    two = [pupil(made, "ann"), pupil(made, "bob")]
    together = learn_later(made, two)
    for own, found in zip(two, together, strict=True):
        assert_same(found, learn_later(made, [own])[0])


def test_the_level_is_chosen_by_entries_that_were_asked_before_they_were_learnt():
    made = personaliser()
    one = pupil(made)
    (person,) = learn_later(made, [one])
    new = one.user.profile[FIRST:]
    assert len(parts_of(one.user)[1]) == len(new) == 2  # the newest fifth
    for level, own in zip(LEVELS, zip(*person.asked, strict=True), strict=True):
        assert list(own) == pytest.approx(costs(made, one.person, new, level), abs=1e-5)
        assert person.costs[level] == pytest.approx(sum(own))


def test_entries_asked_in_an_earlier_training_still_count():
    made = personaliser()
    one = pupil(made, count=11)
    (person,) = learn_later(made, [one])
    assert len(person.asked) == 2  # one of before, one new
    assert person.asked[0] == one.asked[one.user.profile[9].id]
    (unknown,) = learn_later(made, [replace(one, asked={})])
    assert unknown.asked == [(), person.asked[1]]
    assert sum(unknown.costs.values()) == pytest.approx(sum(person.asked[1]))


def test_steps_are_in_proportion_to_what_is_new():
    user = RECIPE.user.model_copy(update={"steps": 100})
    recipe = RECIPE.model_copy(update={"user": user, "absorb": 0.25})
    steps = [recipe.later(share).user.steps for share in (0.001, 0.1, 0.2, 0.4)]
    assert steps[0] == 1
    assert steps[1] * 4 == steps[2] * 2 == steps[3]
    made = personaliser(recipe)
    one, two = pupil(made), pupil(made, "bob", count=20)
    with pytest.raises(ValueError, match="different numbers of steps"):
        learn_later(made, [one, two])


def test_half_of_each_batch_is_new_and_the_rest_repeats_what_came_before():
    made = personaliser()
    one = pupil(made, count=14)
    before = made.computed
    learn_later(made, [one])
    recipe = made.recipe.later(one.share)
    steps = [getattr(recipe, phase).steps for phase in PHASES]
    assert made.computed - before == sum(steps) * 4  # batches of 2 and 2


def test_what_is_new_is_learnt_and_what_was_known_is_not_forgotten():
    step = {"learning_rate": 1e-2, "steps": 30, "batch": 4}
    recipe = RECIPE.model_copy(
        update={"user": RECIPE.user.model_copy(update=step), "absorb": 0.5}
    )
    made = personaliser(recipe)
    one = pupil(made, count=14)
    (person,) = learn_later(made, [one])
    old, new = one.user.profile[:FIRST], one.user.profile[FIRST:]

    def cost(who, entries):
        return sum(costs(made, who, entries)) / len(entries)

    assert cost(person, new) < cost(one.person, new)
    assert cost(person, old) < cost(one.person, old) + 0.1
    assert all(torch.isfinite(tensor).all() for tensor in person.tensors.values())
