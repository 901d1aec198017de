"""How a history is learnt: anew, by the model that is there, or not at all."""

import pytest

from proper_client.course import course_for
from proper_client.kept import About
from proper_client.learnt import Learnt
from proper_shared.history import Entry

IDS = [f"{number:016x}" for number in range(40)]


def entries(count, first=0):
    return [Entry(name, "text", "comedy") for name in IDS[first : first + count]]


def model(count, later=0, **changes):
    said = {"entries": count, "kept_aside": 0, "level": "group", "costs": {}, "seed": 3}
    said |= {"task": "tagging", "trained": "", "release": "r", "backbone": "nano"}
    about = About(**said | {"release_sha256": "abc", "later": later} | changes)
    return about, Learnt.of(IDS[:count], {})


def course(count, before, **changes):
    known = {"release_sha256": "abc", "seed": 3} | changes
    return course_for(entries(count), before, **known)


def test_who_has_no_model_begins():
    found = course(4, None)
    assert (found.way, found.why, found.new) == ("anew", "", frozenset(IDS[:4]))


def test_a_model_learns_what_it_does_not_know():
    found = course(22, model(20))
    assert (found.way, found.new, found.later) == ("later", frozenset(IDS[20:22]), 2)


def test_a_model_that_knows_everything_learns_nothing():
    assert course(20, model(20)).way == "nothing"


@pytest.mark.parametrize(("later", "way"), [(8, "later"), (9, "anew")])
def test_once_half_came_later_it_is_time_to_begin_anew(later, way):
    found = course(20, model(18, later=later))
    assert found.way == way
    assert (found.later == 10) == (way == "later")


@pytest.mark.parametrize(
    ("before", "changes", "why"),
    [
        (model(20), {"release_sha256": "abd"}, "release"),
        (model(20), {"seed": 4}, "seed"),
        ((model(20)[0], None), {}, "older version"),
        (model(24), {}, "holds no more"),
        (model(20), {"anew": True}, "asked"),
    ],
)
def test_a_model_that_does_not_fit_is_not_gone_on_with(before, changes, why):
    found = course(22, before, **changes)
    assert found.way == "anew"
    assert why in found.why
