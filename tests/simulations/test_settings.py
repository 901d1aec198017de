"""What a run takes for granted, and who takes part in it."""

import pickle

import pytest

from proper_shared.errors import ConfigError
from proper_shared.history import Entry, User
from proper_shared.tasks import get_task
from proper_simulations import site
from proper_simulations.config import RunConfig, read_curve
from proper_simulations.dataset import Dataset
from proper_simulations.settings import FEW, settings_for
from proper_simulations.site import RunSite
from proper_simulations.worlds import make_world


def person(name, entries):
    return User(name, (Entry("0", "a text", "4"),) * entries)


def real(entries=FEW):
    others = (person("o1", entries), person("silent", 0))
    return Dataset("real", get_task("LaMP_3"), others, (person("u", 3),), "0" * 64)


def settings(data=None, **choice):
    return settings_for(RunConfig(**choice), data or real())


def test_a_rival_trains_as_many_steps_as_our_user_lora():
    recipe = settings().personal
    again = recipe.shortened().user.steps
    assert settings().oppu.steps == recipe.user.steps + again
    assert settings().oppu.learning_rate == recipe.user.learning_rate


@pytest.mark.parametrize(
    ("entries", "asked", "level"),
    [
        (FEW, "auto", "others"),
        (FEW - 1, "auto", "all"),
        (FEW - 1, "others", "others"),
        (FEW, "all", "all"),
    ],
)
def test_all_train_groups_where_the_others_have_few_entries(entries, asked, level):
    assert settings(real(entries), group_level=asked).group_level == level


def test_real_histories_and_a_quick_look_take_fewer_rounds():
    made = make_world("tagging", 0, others=2, users=1)
    world = settings(made, group_level="others")
    assert settings().group.rounds < world.group.rounds
    assert settings(quick=True).group.rounds < settings().group.rounds
    assert settings(quick=True).grouping.rounds >= 3
    quick = settings(made, group_level="others", quick=True)
    assert 0 == len(settings().curve) < len(quick.curve) < len(world.curve)


def test_the_curve_has_the_points_that_were_asked_for():
    made = make_world("tagging", 0, others=2, users=1)
    asked = {"group_level": "others", "quick": True}
    assert settings(made, **asked, curve=(1, 3)).curve == (1, 3)
    assert settings(made, **asked, curve=()).curve == ()


@pytest.mark.parametrize(
    ("text", "points"),
    [(None, None), ("none", ()), ("4", (4,)), ("16, 0,4,4", (0, 4, 16))],
)
def test_a_curve_is_read_from_its_numbers(text, points):
    assert read_curve(text) == points


@pytest.mark.parametrize("text", ["", "all", "1,,2", "-1", "1.5", "\u00b2", "9" * 9])
def test_a_curve_of_anything_else_is_refused(text):
    with pytest.raises(ConfigError, match="expected numbers of entries"):
        read_curve(text)


def test_every_part_trains_under_the_constraint_and_settings_come_back_from_json():
    found = settings()
    assert found.group.constraint_weight > 0
    assert type(found).model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(("level", "names"), [("others", ["o1"]), ("all", ["o1", "u"])])
def test_members_are_those_who_have_something_to_learn_from(monkeypatch, level, names):
    monkeypatch.setattr(site, "dataset_of", lambda _: real())
    made = RunSite(RunConfig(group_level=level))
    assert [user.user_id for user in made.members()] == names
    assert [made.user(seat).user_id for seat in range(len(names))] == names
    with pytest.raises(IndexError):
        made.user(len(names))


def test_a_site_travels_by_name_alone():
    made = RunSite(RunConfig(world="rating", seed=3))
    data = pickle.dumps(made)
    assert len(data) < 2000
    assert pickle.loads(data) == made  # noqa: S301  our own bytes
