"""Each public format, from a small file written by hand after it."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from proper_client.importers.formats import Options
from proper_client.importers.importing import FORMATS, gather
from proper_shared.errors import ConfigError, DataError
from proper_shared.tasks import TASKS

ROOT = Path(__file__).parents[3]
FIXTURES = Path(__file__).parent / "fixtures"
LINES = ROOT / "docs" / "history-lines.schema.json"
NINE, EIGHT = "2024-03-05T16:0", "2024-02-01T00:00:00+00:00"


def pairs(done):
    return [(entry.text, entry.output) for entry in done.gathering.entries()]


def dates(done):
    return [entry.date for entry in done.gathering.entries()]


def assert_chatgpt(done):
    assert (done.format.name, done.task.name) == ("chatgpt", "writing")
    assert pairs(done) == [
        ("Hello! What is on your mind?", "spoken words"),
        ("Garden in March", "What grows here? 🌱"),
        ("Peas, by the look of it.", "lovely, thanks"),
    ]
    assert dates(done) == [EIGHT, f"{NINE}1:00+00:00", f"{NINE}2:00+00:00"]
    assert done.gathering.dropped == {"openings with nothing before them": 1}


def test_a_chatgpt_export_is_followed_from_the_current_node_to_the_root(tmp_path):
    folder = FIXTURES / "chatgpt"
    assert_chatgpt(gather(folder))
    assert_chatgpt(gather(folder / "conversations.json"))
    with zipfile.ZipFile(tmp_path / "a.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.iterdir():
            archive.write(path, f"export/{path.name}")
    assert_chatgpt(gather(tmp_path / "a.bin"))


def test_a_large_export_in_several_files_is_one(tmp_path):
    both = json.loads((FIXTURES / "chatgpt" / "conversations.json").read_bytes())
    for number, conversation in enumerate(both):
        path = tmp_path / f"conversations-00{number}.json"
        path.write_text(json.dumps([conversation]))
    assert_chatgpt(gather(tmp_path))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"current_node": None}, "conversations without a current message"),
        ({"current_node": "elsewhere"}, "conversations without a current message"),
        ({"mapping": []}, "conversations without messages"),
    ],
)
def test_a_conversation_that_cannot_be_followed_is_counted(tmp_path, change, reason):
    one, two = json.loads((FIXTURES / "chatgpt" / "conversations.json").read_bytes())
    path = tmp_path / "x"
    path.write_text(json.dumps([one, {**two, **change}]))
    done = gather(path)
    assert len(pairs(done)) == 2
    assert done.gathering.dropped == {reason: 1}


def test_a_circle_in_a_conversation_ends(tmp_path):
    one, _ = json.loads((FIXTURES / "chatgpt" / "conversations.json").read_bytes())
    one["mapping"]["root-1"]["parent"] = "u-2"
    (tmp_path / "x").write_text(json.dumps([one]))
    assert len(pairs(gather(tmp_path / "x"))) == 2


def test_the_person_of_a_chat_is_the_user_unless_said_otherwise():
    done = gather(FIXTURES / "chat.jsonl")
    assert done.format.name == "chat"
    assert pairs(done) == [
        ("It is ten.", "then off I go\ngood night"),
        ("Good morning.", "שלום"),
    ]
    # The first conversation has no date, and stands before the other.
    assert dates(done) == ["2026-01-31T06:00:00+00:00"] * 2
    assert done.gathering.dropped == {
        "messages that are no text of user or assistant": 1,
        "openings with nothing before them": 1,
    }
    other = gather(FIXTURES / "chat.jsonl", Options(role="assistant"))
    assert pairs(other) == [("Is it late?", "It is ten.")]


def test_a_chat_may_be_one_list_of_messages(tmp_path):
    messages = [
        {"role": "assistant", "content": "tea?"},
        {"role": "user", "content": "please"},
    ]
    for content in (messages, {"messages": messages}, [{"messages": messages}]):
        (tmp_path / "x").write_text(json.dumps(content, indent=1))
        assert pairs(gather(tmp_path / "x")) == [("tea?", "please")]


def test_a_free_text_may_be_asked_for_as_another_task():
    done = gather(FIXTURES / "chat.jsonl", Options(task="rewriting"))
    assert done.task is TASKS["rewriting"]


def test_one_user_of_lamp_is_a_history():
    for source in ("lamp", "lamp/dev_questions.json"):
        done = gather(FIXTURES / source, Options(user="210"))
        assert (done.format.name, done.task.name) == ("lamp", "LaMP_3")
        assert pairs(done) == [
            ("as good as ever", "5"),
            ("it broke after a day", "1"),
        ]
        assert dates(done) == ["2011-02-03", "2012-05-04"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(), "holds several people, '210' the first"),
        (Options(user="9"), "does not hold the person '9'"),
        (Options(user="210", task="LaMP_5"), "is a history of LaMP_3, asked for"),
    ],
)
def test_lamp_needs_one_user_and_its_own_task(options, message):
    with pytest.raises(DataError, match=message) as caught:
        gather(FIXTURES / "lamp", options)
    assert caught.value.hint


def test_lamp_without_outputs_needs_the_task(tmp_path):
    shutil.copy(FIXTURES / "lamp" / "dev_questions.json", tmp_path)
    with pytest.raises(DataError, match="no file of outputs beside it"):
        gather(tmp_path, Options(user="211"))
    done = gather(tmp_path, Options(user="211", task="LaMP_3"))
    assert pairs(done) == [("never again", "2")]
    with pytest.raises(DataError, match="person 1 has no profile"):
        gather(FIXTURES / "lamp" / "dev_outputs.json", Options(task="LaMP_3"))


def test_lamp_with_a_record_for_each_user_is_read_too(tmp_path):
    records = [
        {"id": str(n), "description": f"film {n}", "tag": "comedy", "date": f"00{n}"}
        for n in (10, 9)
    ]
    person = {"user_id": 3, "profile": records, "query": []}
    labels = {"task": "LaMP_2", "golds": []}
    (tmp_path / "user_top_100_history.json").write_text(json.dumps([person]))
    (tmp_path / "user_top_100_history_label.json").write_text(json.dumps(labels))
    done = gather(tmp_path)
    assert done.task.name == "LaMP_2M"
    assert pairs(done) == [("film 9", "comedy"), ("film 10", "comedy")]
    assert dates(done) == [None, None]  # these numbers only count


def test_a_table_is_read_by_the_names_of_its_columns():
    done = gather(FIXTURES / "table.csv", Options(task="rating"))
    assert done.format.name == "csv"
    assert pairs(done) == [("ok", "4"), ('good; really "good"', "5")]
    assert dates(done) == ["2026-01-01", "2026-01-31"]
    assert done.gathering.dropped == {"entries whose output is no score of rating": 1}
    with pytest.raises(DataError, match="names no task"):
        gather(FIXTURES / "table.csv")


def test_columns_may_be_named(tmp_path):
    path = tmp_path / "x"
    path.write_text("a\tb\tc\nread\tmine\t3/4/2026\nread\tours\t4/4/2026\n")
    with pytest.raises(DataError, match="columns are a, b, c") as caught:
        gather(path, Options(task="writing"))
    assert "--text-column" in caught.value.hint
    named = Options("writing", text_column="A", output_column="b")
    done = gather(path, Options("writing", text_column="A", output_column="b"))
    assert pairs(done) == [("read", "mine"), ("read", "ours")]
    assert dates(gather(path, named)) == [None, None]
    how = {"date_column": "c", "date_format": "%m/%d/%Y"}
    done = gather(path, Options("writing", text_column="a", output_column="b", **how))
    assert dates(done) == ["2026-03-04", "2026-04-04"]
    with pytest.raises(ConfigError, match="there is no column 'd'"):
        gather(path, Options("writing", text_column="d"))


def test_notes_are_cut_into_passages_with_what_stands_before():
    done = gather(FIXTURES / "notes")
    assert (done.format.name, done.task.name) == ("notes", "writing")
    assert pairs(done) == [
        ("2026-01-15", "A day without rain."),
        ("The pond", "It froze over night."),
        ("Later", "The ice\nheld."),
        ("The ice\nheld.", "No more skating."),
    ]
    assert dates(done) == ["2026-01-15", *["2026-03-01"] * 3]
    assert done.gathering.dropped == {
        "passages of code": 1,
        "files that are neither Markdown nor text": 1,
    }
    alone = gather(FIXTURES / "notes" / "pond.md")
    assert pairs(alone) == pairs(done)[1:]


def test_links_among_notes_are_not_followed(tmp_path):
    (tmp_path / "a.md").write_text("mine")
    (tmp_path / "b.md").symlink_to(FIXTURES / "notes" / "pond.md")
    (tmp_path / "c").symlink_to(FIXTURES / "notes")
    done = gather(tmp_path)
    assert pairs(done) == [("a", "mine")]
    assert done.gathering.dropped == {"links, which are not followed": 2}


def test_a_note_of_another_encoding_among_others_is_counted(tmp_path):
    (tmp_path / "a.md").write_text("mine")
    (tmp_path / "b.md").write_bytes("déjà".encode("latin-1"))
    done = gather(tmp_path)
    assert pairs(done) == [("a", "mine")]
    assert sum(done.gathering.dropped.values()) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("---\nno end\n\nof it", ["---\nno end", "of it"]),
        ("+++\ntitle = 't'\n+++\nbody", ["body"]),
        ("# only\n\n## headings\n\nx", ["x"]),
        ("a\n```\nnever closed\n\nb", ["a"]),
        ("line\r\n\r\nline 2\r\n", ["line", "line 2"]),
        ("\ufeffmarked", ["marked"]),
    ],
)
def test_odd_notes_are_read_as_far_as_they_go(tmp_path, text, expected):
    (tmp_path / "x").write_bytes(text.encode())
    assert [output for _, output in pairs(gather(tmp_path / "x"))] == expected


def test_our_own_lines_are_sorted_and_may_name_the_task(tmp_path):
    done = gather(FIXTURES / "own.jsonl")
    assert (done.format.name, done.task.name) == ("jsonl", "rating")
    assert pairs(done) == [("it leaks", "2"), ("the kettle sings", "5")]
    (tmp_path / "x").write_text('{"text": "a", "output": "b"}\n')
    with pytest.raises(DataError, match="names no task"):
        gather(tmp_path / "x")
    assert pairs(gather(tmp_path / "x", Options(task="writing"))) == [("a", "b")]
    (tmp_path / "x").write_text('{"text": "a", "output": "b"}\n{"text": "a"}\n')
    with pytest.raises(DataError, match="entry 2 has no output"):
        gather(tmp_path / "x", Options(task="writing"))


def test_the_schema_of_a_line_is_that_of_an_entry():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(LINES.read_text(encoding="utf-8"))
    whole = ROOT / "shared" / "proper_shared" / "history.schema.json"
    whole = json.loads(whole.read_text(encoding="utf-8"))
    assert schema["$defs"]["entry"] == whole["$defs"]["entry"]
    assert schema["$defs"]["first"]["properties"]["task"]["enum"] == list(TASKS)
    check = jsonschema.Draft202012Validator(schema)
    lines = (FIXTURES / "own.jsonl").read_text(encoding="utf-8").splitlines()
    assert all(check.is_valid(json.loads(line)) for line in lines)
    for bad in ({}, {"task": "x"}, {"text": "a"}, {"text": "a", "output": "b", "x": 1}):
        assert not check.is_valid(bad)


def test_entries_come_beside_those_of_their_task_that_are_there():
    first = gather(ROOT / "examples" / "my.json")
    there = {"tagging": list(first.gathering.entries())}
    again = gather(
        ROOT / "examples" / "my.json", beside=lambda task: there.get(task.name, [])
    )
    assert again.gathering.count(new=True) == 0
    assert list(again.gathering.entries()) == there["tagging"]
    notes = gather(FIXTURES / "notes", beside=lambda task: there.get(task.name, []))
    assert (notes.task.name, notes.gathering.count()) == ("writing", 4)


def test_every_format_is_in_the_docs():
    page = (ROOT / "docs" / "history.md").read_text(encoding="utf-8")
    assert all(f"| `{one.name}` |" in page for one in FORMATS)
    example = page.split("```jsonl\n")[1].split("```")[0]
    assert '{"task": "' in example


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_marks_and_utf_16_are_read_where_they_say_so(tmp_path, encoding):
    text = (FIXTURES / "chat.jsonl").read_text(encoding="utf-8")
    (tmp_path / "x").write_bytes(text.encode(encoding))
    if encoding == "utf-16-le":  # without a mark it could be anything
        with pytest.raises(DataError, match="is no text"):
            gather(tmp_path / "x")
    else:
        assert len(pairs(gather(tmp_path / "x"))) == 2
