import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proper_shared.errors import ConfigError, DataError
from proper_shared.history import Entry, load_history, split_for_validation
from proper_shared.tasks import TASKS

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "shared" / "proper_shared" / "history.schema.json"
GOOD = {"text": "a sailor meets a whale", "output": "romance"}


@pytest.fixture
def write(tmp_path):
    def _write(content):
        path = tmp_path / "my.json"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(json.dumps(content), encoding="utf-8")
        return path

    return _write


def tagging(*entries):
    return {"task": "tagging", "entries": list(entries)}


def dated(*days):
    return tagging(*[{**GOOD, "date": day} if day else GOOD for day in days])


def test_a_history_is_read_in_the_order_of_the_file(write):
    content = tagging(
        {**GOOD, "id": "b", "date": "2026-01-30"},
        {"text": " the boss ", "output": "horror\n", "date": "2026-01-31"},
    )
    task, user = load_history(write(content))
    assert task == TASKS["tagging"]
    assert user.queries == ()
    assert user.profile == (
        Entry("b", "a sailor meets a whale", "romance", "2026-01-30"),
        Entry("entry-2", "the boss", "horror", "2026-01-31"),
    )


def test_a_bare_list_needs_the_task_from_outside(write):
    path = write([GOOD])
    assert load_history(path, "tagging")[0].name == "tagging"
    with pytest.raises(DataError, match="names no task") as caught:
        load_history(path)
    assert caught.value.hint


@pytest.mark.parametrize("score", ["4", 4, 4.0])
def test_a_score_may_be_a_number(write, score):
    content = {"task": "rating", "entries": [{"text": "fine", "output": score}]}
    assert load_history(write(content))[1].profile[0].output == "4"


def test_a_byte_order_mark_does_no_harm(write):
    content = b"\xef\xbb\xbf" + json.dumps(tagging(GOOD)).encode()
    assert len(load_history(write(content))[1].profile) == 1


@pytest.mark.parametrize(
    "text",
    ["😀 🏴‍☠️ 👩‍👩‍👧", "שלום עולם", "مرحبا بالعالم", "e\u0301 et \u0000", "日本語"],
)
def test_any_script_and_emoji_survive(write, text):
    assert (
        load_history(write(tagging({**GOOD, "text": text})))[1].profile[0].text == text
    )


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_every_text_is_kept_or_refused_but_never_changed(tmp_path_factory, text):
    path = tmp_path_factory.mktemp("history") / "my.json"
    path.write_text(json.dumps(tagging({**GOOD, "text": text})), encoding="utf-8")
    if text.strip():
        assert load_history(path)[1].profile[0].text == text.strip()
    else:
        with pytest.raises(DataError, match="entry 1 has no text"):
            load_history(path)


BROKEN = {
    "not JSON": (b'{"task": "tagging", "entries": [', "is not JSON.*line 1"),
    "nothing": (b"", "is empty"),
    "white space": (b" \n", "is empty"),
    "latin-1": ('{"a": "é"}'.encode("latin-1"), "is not UTF-8"),
    "utf-16": ('{"a": "é"}'.encode("utf-16"), "is not UTF-8"),
    "key twice": (b'{"task": "rating", "task": "tagging"}', "'task' twice"),
    "a long number": (b"[" + b"9" * 5000 + b"]", "beyond all measure"),
    "a deep nest": (b"[" * 100_000, "beyond all measure"),
    "a string": ("tagging", "holds a string"),
    "null": (None, "holds nothing"),
    "no entries": (tagging(), "has no entries"),
    "entries missing": ({"task": "tagging"}, "nothing as entries"),
    "entries an object": ({"task": "tagging", "entries": {}}, "an object as entries"),
    "an unknown key": ({"tsak": "tagging", "entries": []}, "unknown key 'tsak'"),
    "an unknown task": ({"task": "taging", "entries": [GOOD]}, "got task 'taging'"),
    "task a number": ({"task": 3, "entries": [GOOD]}, "a number as task"),
    "entry a list": (tagging(["a", "b"]), "entry 1 is a list"),
    "no text": (tagging(GOOD, {"output": "war"}), "entry 2 has no text"),
    "blank text": (tagging({**GOOD, "text": " \u2003"}), "entry 1 has no text"),
    "no output": (tagging(GOOD, {"text": "x"}), "entry 2 has no output"),
    "text a number": (tagging({**GOOD, "text": 1}), "a number as text"),
    "text true": (tagging({**GOOD, "text": True}), "true or false as text"),
    "output a number": (tagging({**GOOD, "output": 1}), "a number as output"),
    "an unknown label": (tagging({**GOOD, "output": "romanse"}), "output 'romanse'"),
    "an unknown entry key": (tagging({**GOOD, "txt": "x"}), "unknown key 'txt'"),
    "10 MB": (tagging({**GOOD, "text": "x" * 10_000_000}), "10,000,000 characters"),
    "a lone surrogate": (
        b'{"task": "tagging", "entries": [{"text": "\\ud83d", "output": "war"}]}',
        "lone surrogate",
    ),
    "an id twice": (
        tagging({**GOOD, "id": "a"}, GOOD, {**GOOD, "id": "a"}),
        "entries 1 and 3 have the same id",
    ),
    "an id that is our own": (
        tagging({**GOOD, "id": "entry-2"}, GOOD),
        "entries 1 and 2 have the same id",
    ),
    "dates backwards": (dated("2026-02-01", "2026-01-31"), "entry 2 is dated before"),
    "moments backwards": (
        dated("2026-02-01T10:00:00", "2026-02-01T09:00"),
        "entry 2 is dated before entry 1",
    ),
    "zones backwards": (
        dated("2026-02-01T10:00:00Z", "2026-02-01T10:30:00+02:00"),
        "entry 2 is dated before entry 1",
    ),
    "some dates": (dated("2026-02-01", None), "entry 2 has no date"),
    "no such day": (dated("2026-02-30"), "the date '2026-02-30'"),
    "another calendar": (dated("30.1.2026"), "the date '30.1.2026'"),
    "no such hour": (dated("2026-02-03T25:00"), "the date '2026-02-03T25:00'"),
}


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_broken_is_named_and_has_a_hint(write, content, message):
    with pytest.raises(DataError, match=message) as caught:
        load_history(write(content))
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "days",
    [
        ("2026-02-01", "2026-02-01"),
        (
            "2026-02-01T10:00",
            "2026-02-01",
            "2026-02-01T09:00",
        ),  # the day is all we know
        ("2026-02-01T10:30:00+02:00", "2026-02-01T10:00:00Z"),
    ],
)
def test_equal_days_do_not_run_backwards(write, days):
    assert len(load_history(write(dated(*days)))[1].profile) == len(days)


def test_a_near_label_is_suggested(write):
    with pytest.raises(DataError) as caught:
        load_history(write(tagging({**GOOD, "output": "Mystrey"})))
    assert caught.value.hint == "did you mean 'mystery'?"


def test_a_missing_file_a_folder_and_a_pipe_are_refused(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        load_history(tmp_path / "none.json")
    with pytest.raises(DataError, match="is not a file"):
        load_history(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="is not a file"):
        load_history(tmp_path / "pipe")


def test_a_file_beyond_the_limit_is_refused_unread(tmp_path):
    path = tmp_path / "my.json"
    with path.open("wb") as file:
        file.truncate(64 * 2**20 + 1)
    with pytest.raises(DataError, match="expected at most"):
        load_history(path)


def test_the_task_asked_for_must_be_that_of_the_file(write):
    path = write(tagging(GOOD))
    assert load_history(path, "tagging")[0].name == "tagging"
    with pytest.raises(DataError, match="is a history of tagging, asked for rating"):
        load_history(path, "rating")
    with pytest.raises(ConfigError, match="got task 'taging'"):
        load_history(path, "taging")


@settings(deadline=None)
@given(st.integers(0, 500))
def test_the_newest_fifth_is_kept_for_validation(count):
    profile = [Entry(str(n), "text", "war") for n in range(count)]
    train, validation = split_for_validation(profile)
    assert [*train, *validation] == profile
    assert len(validation) == (round(count / 5) if count >= 5 else 0)


def test_the_example_is_a_whole_history():
    task, user = load_history(ROOT / "examples" / "my.json")
    assert task.name == "tagging"
    assert 55 <= len(user.profile) <= 65
    assert all(8 <= len(entry.text.split()) <= 13 for entry in user.profile)
    assert all(entry.date for entry in user.profile)


def test_the_example_of_the_docs_is_a_history(write):
    page = (ROOT / "docs" / "history.md").read_text(encoding="utf-8")
    example = page.split("```json\n")[1].split("```")[0]
    assert len(load_history(write(json.loads(example)))[1].profile) == 2


def test_the_schema_lists_the_tasks_and_their_labels():
    history = json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"]["history"]
    assert history["properties"]["task"]["enum"] == list(TASKS)
    seen = []
    for rule in history["allOf"]:
        names = rule["if"]["properties"]["task"]["enum"]
        items = rule["then"]["properties"]["entries"]["items"]
        allowed = items["properties"]["output"].get("enum", [])
        labels = tuple(label for label in allowed if isinstance(label, str))
        assert all(TASKS[name].labels == labels for name in names)
        seen += names
    assert sorted(seen) == sorted(TASKS)


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_the_schema_accepts_what_we_accept(content, message):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    check = jsonschema.Draft202012Validator(schema)
    example = (ROOT / "examples" / "my.json").read_text(encoding="utf-8")
    assert check.is_valid(json.loads(example))
    # What lies in the order of entries, in the calendar or in bytes, no schema can say.
    beyond = ("same id", "dated before", "has no date", "surrogate", "the date '2026")
    if not isinstance(content, bytes) and not any(b in message for b in beyond):
        assert not check.is_valid(content)
