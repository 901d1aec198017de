"""The policy: every key has a place, every mistake a hint."""

import re
from datetime import datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proper_client.policy import (
    Policy,
    describe,
    load_policy,
    parse_policy,
    unit_of,
)
from proper_shared.errors import ConfigError

PAGE = Path(__file__).parents[2] / "docs" / "policy.md"
TIMES = st.times().map(lambda at: at.replace(second=0, microsecond=0))


def test_without_a_file_the_defaults_hold_and_nothing_is_made(tmp_path):
    assert load_policy(tmp_path / "home") == Policy()
    assert list(tmp_path.iterdir()) == []


def test_what_the_file_says_holds_and_the_rest_is_default(tmp_path):
    (tmp_path / "policy.toml").write_text("min_cohort = 40\nepsilon_total = 4\n")
    policy = load_policy(tmp_path)
    assert policy == Policy(min_cohort=40, epsilon_total=4.0)
    assert policy.model_fields_set == {"min_cohort", "epsilon_total"}


@pytest.mark.parametrize("key", Policy.model_fields)
def test_every_key_has_a_default_a_unit_a_line_of_text_and_a_row_in_the_docs(key):
    about = Policy.model_fields[key]
    assert not about.is_required()
    assert unit_of(key)
    assert 10 < len(about.description) < 80
    (row,) = re.findall(rf"^\| `{key}` \|.*$", PAGE.read_text(), re.MULTILINE)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    value = about.default
    shown = "not set" if value is None else f"`{value!r}`".lower().replace("'", '"')
    assert cells[1:3] == [shown, unit_of(key)]


def test_what_is_shown_is_toml_that_says_the_same():
    policy = parse_policy('hours = "22-07"\nepsilon_total = 2.5\nmin_items = 3')
    lines = describe(policy, Path("/h"))
    assert parse_policy("\n".join(lines)) == policy
    assert all(len(line) <= 100 for line in lines)
    assert sum("policy.toml)" in line for line in lines) == 3


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("min_cohrt = 3", "unknown key 'min_cohrt'", "did you mean 'min_cohort'?"),
        ("[Epsilon]\ntotal = 3", "unknown key 'Epsilon'", "epsilon_total"),
        ("zzz = 1", "unknown key 'zzz'", "choose one of min_cohort, "),
        ("min_cohort = ", "not TOML: invalid value", "docs/policy.md"),
        ("min_cohort = 3\nmin_cohort = 4", "not TOML", "docs/policy.md"),
        ('min_cohort = "3"', "min_cohort is '3', expected a whole", "docs/policy.md"),
        ("min_cohort = 2", "min_cohort is 2, expected greater", "docs/policy.md"),
        ("min_cohort = 10.0", "min_cohort is 10.0, expected a whole", "docs/policy.md"),
        ("min_cohort = true", "min_cohort is True, expected", "docs/policy.md"),
        ("min_vouched = 10", "min_vouched is 10, expected less", "docs/policy.md"),
        ("max_bound = inf", "max_bound is inf", "docs/policy.md"),
        ("epsilon_total = nan", "epsilon_total is nan", "docs/policy.md"),
        ("epsilon_total = 0", "epsilon_total is 0", "docs/policy.md"),
        ("delta = 1", "delta is 1", "docs/policy.md"),
        ('epsilon_against = "me"', "epsilon_against is 'me'", "docs/policy.md"),
        ('hours = "7"', "hours is '7', expected such as", "docs/policy.md"),
        ('hours = "7-9"', "hours is '7-9'", "docs/policy.md"),
        ('hours = "22-24"', "hours is '22-24'", "docs/policy.md"),
        ('hours = "22-22:00"', "expected two different times", "docs/policy.md"),
        ("only_plugged_in = 1", "expected true or false", "docs/policy.md"),
        ("max_attempts = 3", "max_attempts is 3", "docs/policy.md"),
        (
            "epsilon_total = 3\nallow_unmasked = true",
            "allow_unmasked and epsilon_total are both set",
            "docs/policy.md",
        ),
    ],
)
def test_a_mistake_is_named_and_has_a_hint(text, message, hint):
    with pytest.raises(ConfigError, match=re.escape(message)) as caught:
        parse_policy(text)
    assert hint in caught.value.hint
    assert str(caught.value).startswith("policy.toml")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_text_or_cannot_be_read_is_an_error(tmp_path):
    (tmp_path / "policy.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8") as caught:
        load_policy(tmp_path)
    assert caught.value.hint
    (tmp_path / "policy.toml").unlink()
    (tmp_path / "policy.toml").mkdir()
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        load_policy(tmp_path)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("hours", "inside", "outside"),
    [
        ("22-07", ["22:00", "23:59", "00:00", "06:59"], ["07:00", "12:00", "21:59"]),
        ("09-17", ["09:00", "16:59"], ["17:00", "00:00", "08:59"]),
        ("22:30-06:45", ["22:30", "06:44"], ["22:29", "06:45"]),
        ("00-12", ["00:00", "11:59"], ["12:00", "23:59"]),
        ("12-00", ["12:00", "23:59"], ["00:00", "11:59"]),
    ],
)
def test_hours_wrap_over_midnight(hours, inside, outside):
    policy = Policy(hours=hours)
    assert all(policy.is_open(time.fromisoformat(at)) for at in inside)
    assert not any(policy.is_open(time.fromisoformat(at)) for at in outside)


@given(start=TIMES, end=TIMES, at=st.times())
def test_hours_and_their_complement_share_no_moment_and_miss_none(start, end, at):
    if start == end:
        return
    there = Policy(hours=f"{start:%H:%M}-{end:%H:%M}")
    back = Policy(hours=f"{end:%H:%M}-{start:%H:%M}")
    assert there.is_open(at) != back.is_open(at)


def test_without_hours_every_moment_is_open():
    assert Policy().is_open(time(3, 33))


def test_hours_are_those_of_the_clock_on_the_wall():
    moment = datetime(2026, 7, 1, 23, 0, tzinfo=ZoneInfo("Europe/Berlin"))
    assert Policy(hours="22-07").is_open(moment.timetz())
