import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proper_shared.errors import ConfigError
from proper_shared.suggest import did_you_mean
from proper_shared.tasks import TASKS, get_task

LAMP = {"LaMP_1", "LaMP_2M", "LaMP_2N", "LaMP_3", "LaMP_4", "LaMP_5", "LaMP_7"}
COUNTS = {"LaMP_1": 2, "LaMP_2M": 15, "LaMP_2N": 15, "LaMP_3": 5, "tagging": 15}


def test_all_tasks_are_there():
    assert set(TASKS) == LAMP | {"tagging", "rating", "rewriting", "writing"}
    assert all(name == task.name for name, task in TASKS.items())


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
def test_a_task_has_labels_or_is_generated(task):
    assert (task.kind == "text") == (not task.labels)
    assert (
        len(task.labels)
        == len(set(task.labels))
        == COUNTS.get(task.name, len(task.labels))
    )
    assert all(label == label.strip() and task.accepts(label) for label in task.labels)
    assert not task.accepts("")
    assert not task.accepts(" ")


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS.keys())
def test_prompt_and_target_make_a_line_that_ends_in_the_output(task):
    output = task.labels[0] if task.labels else "some words"
    whole = task.prompt("what I read") + task.target(output)
    assert whole == f"what I read\n{task.cue}: {output}"


def test_the_order_of_labels_is_a_contract():
    # Released routers and saved probabilities count on it.
    assert get_task("rating").labels == ("1", "2", "3", "4", "5")
    assert get_task("tagging").labels == tuple(sorted(get_task("tagging").labels))


def test_a_dash_is_as_good_as_an_underscore():
    assert get_task("LaMP-3") is get_task("LaMP_3")


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("lamp_3", "LaMP_3"), ("taging", "tagging"), ("Rewriting", "rewriting")],
)
def test_an_unknown_task_is_refused_with_a_suggestion(wrong, meant):
    with pytest.raises(ConfigError, match="expected a known one") as caught:
        get_task(wrong)
    assert caught.value.hint == f"did you mean {meant!r}?"


@settings(deadline=None)
@given(st.text())
def test_a_suggestion_names_a_known_word(word):
    hint = did_you_mean(word, ["tagging", "rating"])
    assert "tagging" in hint or "rating" in hint


def test_far_from_everything_the_whole_list_is_given():
    assert did_you_mean("xyz", ["a", "b"]) == "choose one of a, b"
