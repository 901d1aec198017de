"""Personal models of many users, against each one's alone."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from toy_people import RECIPE, STEP, assert_same, identical, personaliser

from proper_client.answer import Answerer
from proper_client.personal import LEVELS, PersonalRecipe
from proper_shared.errors import FormatError
from proper_shared.grouping import REACH, first_embedding
from proper_shared.history import User

CANARY = "xylophone Quarzsandgrube 4711 🦊"
PEOPLE = [
    tiny.user("ann", 10),
    tiny.user("bob", 3),
    User("nobody", ()),
    tiny.user("cyd", 7),
    tiny.user("dan", 1),
]


@pytest.fixture(scope="module")
def together():
    return personaliser().fit(PEOPLE)


@pytest.mark.parametrize("seat", range(len(PEOPLE)))
def test_a_personal_model_is_the_one_of_training_alone(together, seat):
    (alone,) = personaliser().fit([PEOPLE[seat]])
    assert_same(together[seat], alone)


@pytest.mark.parametrize("size", [1, 2])
def test_the_size_of_a_cohort_does_not_matter(together, size):
    for found, expected in zip(
        personaliser(cohort_size=size).fit(PEOPLE), together, strict=True
    ):
        assert_same(found, expected)


def test_nothing_of_an_earlier_user_reaches_a_later_one():
    used, fresh = personaliser(), personaliser()
    used.fit([tiny.user("eve", 8, extra=CANARY)])
    assert identical(used.fit(PEOPLE[:1])[0], fresh.fit(PEOPLE[:1])[0])


def test_a_user_without_entries_stays_a_newcomer(together):
    newcomer = personaliser().newcomer()
    assert_same(together[2], newcomer, 0)
    assert (together[2].level, together[2].costs) == ("group", {})


def test_a_user_starts_at_the_shares_of_groups_that_their_entries_tell():
    made, fresh = personaliser(), personaliser().newcomer()
    many = tiny.user("ann", 9)
    people = [User("ann", many.profile[:count]) for count in (1, 3, 9)]
    starts = []
    for user, person in zip(people, made.place(people), strict=True):
        examples = [made.encoder.example(entry) for entry in user.profile]
        features = made.reader.read(examples, made.encoder.padding)
        own = person.tensors.pop("users.embedding")
        starts.append(own.numpy())
        np.testing.assert_array_equal(own, first_embedding(made.reading, features, 8))
        assert all(torch.equal(fresh.tensors[n], t) for n, t in person.tensors.items())
    sure = np.max(starts, axis=1)
    assert (np.diff(sure) > 0).all()
    assert REACH / 3 < sure[0] < REACH


def test_under_five_entries_nothing_is_kept_aside_and_the_group_answers(together):
    for seat in (1, 4):
        assert together[seat].costs == {}
        assert together[seat].level == "group"
        assert not identical(together[seat], together[2])


def test_with_much_evidence_the_level_that_costs_least_is_chosen(together):
    made, seats = personaliser(), (0, 3)
    people = [together[seat] for seat in seats]
    much = [
        [made.encoder.example(e) for e in PEOPLE[seat].profile] * 30 for seat in seats
    ]
    again = [replace(person, costs={}) for person in people]
    made.choose(again, much)
    for person in again:
        assert person.costs.keys() == LEVELS.keys()
        assert person.costs[person.level] == min(person.costs.values())


def test_the_costs_are_those_of_the_newest_entries_before_they_are_learnt(together):
    kept_out = personaliser(RECIPE.model_copy(update={"absorb": 0.0}))
    (person,) = kept_out.fit(PEOPLE[:1])
    kept_out.seat([person])
    answerer = Answerer(kept_out.adapted, kept_out.encoder)
    aside = [kept_out.encoder.example(e) for e in PEOPLE[0].profile[-2:]]
    for level, uses in LEVELS.items():
        kept_out.adapted.users.use(*uses)
        (cost,) = answerer.costs([aside])
        assert person.costs[level] == pytest.approx(cost, abs=1e-5)
        assert together[0].costs[level] == pytest.approx(cost, abs=1e-5)


def test_entries_kept_aside_are_learnt_in_the_end(together):
    recipe = RECIPE.model_copy(update={"absorb": 0.0})
    (without,) = personaliser(recipe).fit(PEOPLE[:1])
    assert not identical(without, together[0])


def test_learning_helps_on_the_entries_that_were_learnt():
    step = {**STEP, "steps": 15, "learning_rate": 1e-2}
    recipe = PersonalRecipe(
        embedding={**step, "embedding_rate": 0.1}, user=step, lora_router=step
    )
    made = personaliser(recipe)
    (person,) = made.fit(PEOPLE[:1])
    examples = [made.encoder.example(e) for e in PEOPLE[0].profile]

    def loss(who):
        made.seat([who])
        made.adapted.users.use(*LEVELS["personal"])
        return Answerer(made.adapted, made.encoder).losses([examples])[0]

    assert loss(person) < loss(made.newcomer()) - 0.1


def test_progress_is_told_of_each_phase_and_step():
    told = []
    personaliser().fit(
        PEOPLE[1:2], lambda phase, step, steps, _: told.append((phase, step, steps))
    )
    phases = ("embedding", "user", "lora_router")
    assert told == [(p, n, 3) for p in phases for n in (1, 2, 3)]


def test_the_work_of_a_recipe_counts_both_passes():
    assert RECIPE.work == 3 * 3 * 4 + 3 * 2 * 4
    assert RECIPE.model_copy(update={"absorb": 0.0}).work == 3 * 3 * 4


def test_arrays_that_lead_beyond_all_numbers_are_refused_without_a_warning():
    made = personaliser()
    huge = {name: np.full_like(a, 3e38) for name, a in made.reading.items()}
    made.reading = huge
    with pytest.raises(FormatError, match="beyond all numbers") as caught:
        made.fit(PEOPLE[:1])
    assert caught.value.hint
