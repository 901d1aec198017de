"""What is kept of any source, whatever its format."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proper_client.importers import gathering as module
from proper_client.importers.formats import Found, Options
from proper_client.importers.gathering import Gathering
from proper_client.importers.importing import gather, import_into
from proper_shared.errors import ConfigError, DataError
from proper_shared.history import load_history
from proper_shared.tasks import TASKS

WRITING = TASKS["writing"]


def gathered(*items, task="writing", before=()):
    gathering = Gathering(TASKS[task])
    gathering.start_from(before)
    gathering.take(Found(*item) for item in items)
    return gathering


def outputs(gathering):
    return [entry.output for entry in gathering.entries()]


@pytest.fixture
def lines(tmp_path):
    """Write entries as our own lines, import them into one file; return what came."""

    def _lines(*entries, task="writing"):
        source = tmp_path / "source"
        text = "".join(json.dumps(entry) + "\n" for entry in entries)
        source.write_text(json.dumps({"task": task}) + "\n" + text)
        return import_into(source, tmp_path / "my.json", Options())

    return _lines


def entry(output, date=None):
    known = {"text": "before", "output": output, "date": date}
    return {key: value for key, value in known.items() if value is not None}


def test_the_same_import_twice_adds_nothing(lines, tmp_path):
    some = [entry("a", "2026-01-02"), entry("b", "2026-01-01"), entry("a")]
    assert lines(*some)[1]
    path = tmp_path / "my.json"
    before, when = path.read_bytes(), path.stat().st_mtime_ns
    done, written = lines(*some)
    assert (written, done.gathering.count(new=True)) == (False, 0)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, when)


def test_what_is_added_comes_in_time_order(lines, tmp_path):
    lines(entry("c", "2026-01-03"), entry("a", "2026-01-01"))
    done, _ = lines(entry("d", "2026-01-04T10:00Z"), entry("b", "2026-01-02"))
    assert outputs(done.gathering) == ["a", "b", "c", "d"]
    assert [e.output for e in load_history(tmp_path / "my.json")[1].profile] == [
        *"abcd"
    ]
    assert (tmp_path / "my.json").stat().st_mode & 0o777 == 0o600


def test_entries_that_were_there_stay_under_their_names(lines, tmp_path):
    old = {"id": "mine", **entry("a", "2026-01-01T23:00-05:00")}
    old = {"task": "writing", "entries": [old, {**old, "id": "again"}]}
    (tmp_path / "my.json").write_text(json.dumps(old))
    lines(entry("b", "2026-01-02"))
    profile = load_history(tmp_path / "my.json")[1].profile
    assert [e.id for e in profile][1:] == ["mine", "again"]
    assert [e.output for e in profile] == ["b", "a", "a"]


def test_an_entry_without_a_date_keeps_its_place():
    got = gathered(
        ("x", "first"), ("x", "late", "2026-02-01"), ("x", "then"), ("x", "a", "2026")
    )
    assert outputs(got) == ["first", "late", "then", "a"]
    assert {e.date for e in got.entries()} == {"2026-02-01"}
    assert got.remarks == {"dates that cannot be read, or in two ways": 1}
    got = gathered(("x", "c"), ("x", "a"), ("x", "b"))
    assert outputs(got) == ["c", "a", "b"]
    assert {e.date for e in got.entries()} == {None}


def test_dates_here_and_none_there_are_not_mixed(lines, tmp_path):
    lines(entry("a", "2026-01-01"))
    with pytest.raises(DataError, match="what is there has dates and the source has"):
        lines(entry("b"))
    (tmp_path / "my.json").unlink()
    lines(entry("b"))
    before = (tmp_path / "my.json").read_bytes()
    with pytest.raises(DataError, match="the source has dates and what is there") as e:
        lines(entry("a", "2026-01-01"))
    assert "--out" in e.value.hint
    assert (tmp_path / "my.json").read_bytes() == before


def test_a_history_of_another_task_is_left_alone(lines):
    lines(entry("a"))
    with pytest.raises(DataError, match="is a history of writing, asked for rating"):
        lines({"text": "x", "output": 3}, task="rating")


def test_what_cannot_be_learnt_is_counted_by_reason():
    got = gathered(
        ("", "a"),
        ("x", " "),
        ("x", "half \ud83d"),
        ("x \udc00", "half"),
        ("x", "y" * 100_001),
        ("x", "y"),
        ("x", "y"),
    )
    assert outputs(got) == ["y"]
    assert sorted(got.dropped.values()) == [1, 1, 1, 1, 2]
    assert any("lone surrogate" in reason for reason in got.dropped)
    assert got.found == 7
    scores = gathered(("x", "4.0"), ("x", "five"), ("x", "nan"), task="rating")
    assert outputs(scores) == ["4"]
    assert scores.dropped == {"entries whose output is no score of rating": 2}


def test_a_long_text_keeps_the_end_that_its_task_reads():
    long = "start " + "x" * 10_000 + " end"
    (kept,) = gathered((long, "a")).entries()
    assert (len(kept.text), kept.text[-3:]) == (4_000, "end")
    (kept,) = gathered((long, "a"), task="rewriting").entries()
    assert kept.text.startswith("start")
    assert max(32 * task.max_text_tokens for task in TASKS.values()) <= module.MAX_TEXT


@pytest.mark.parametrize("dated", [True, False])
def test_of_too_many_entries_the_newest_are_kept(monkeypatch, dated):
    monkeypatch.setattr(module, "MAX_ENTRIES", 10)
    days = [f"2026-01-{n:02}" if dated else None for n in range(1, 32)]
    some = [("x", f"{n}", day) for n, day in enumerate(days)]
    got = gathered(*some)
    assert outputs(got) == [str(n) for n in range(21, 31)]
    assert got.dropped == {"entries older than the newest that a history holds": 21}
    if dated:
        again = gathered(*some, before=list(got.entries()))
        assert (outputs(again), again.count(new=True)) == (outputs(got), 0)
    else:
        with pytest.raises(DataError, match="do not fit beside those that are there"):
            gathered(*some, before=list(got.entries()))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(1, 28), st.integers(1, 400)),
        max_size=28,
        unique_by=lambda entry: entry[0],
    ),
    st.integers(2_000, 8_000),
)
def test_a_full_history_takes_the_same_import_twice(sizes, room):
    some = [
        ("x", f"{n} " + "y" * k, f"2026-01-{d:02}") for n, (d, k) in enumerate(sizes)
    ]
    before = module.MAX_BYTES, module._LARGEST
    module.MAX_BYTES, module._LARGEST = room, 600
    try:
        first = gathered(*some)
        again = gathered(*some, before=list(first.entries()))
    finally:
        module.MAX_BYTES, module._LARGEST = before
    assert outputs(again) == outputs(first)
    assert again.count(new=True) == 0
    if sizes:
        assert max(d for d, _ in sizes) == int(list(first.entries())[-1].date[-2:])


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.text(st.characters(), max_size=6),
            st.text(st.characters(), max_size=6),
            st.sampled_from(
                [None, "2026-01-01", "2026-01-01T23:30-05:00", 1767300000, "?"]
            ),
        ),
        max_size=12,
    ),
    st.data(),
)
def test_whatever_is_kept_is_a_history(tmp_path_factory, items, data):
    folder = tmp_path_factory.mktemp("any")
    cut = data.draw(st.integers(0, len(items)))
    rows = [{"role": "x"}]
    for part in (items[:cut], items[cut:]):
        rows = [
            {"messages": [{"role": "assistant", "content": text}, said]}
            for text, output, date in part
            for said in [{"role": "user", "content": output, "date": date}]
        ]
        source = folder / "chat"
        source.write_text(json.dumps(rows or [{"messages": []}]))
        try:
            import_into(source, folder / "my.json", Options())
        except DataError as error:
            assert error.hint  # noqa: PT017 - no entry, or dates on one side only
    if (folder / "my.json").exists():
        _, user = load_history(folder / "my.json")
        with_itself = gather(folder / "my.json", there=folder / "my.json")
        assert with_itself.gathering.count(new=True) == 0
        assert user.profile == tuple(with_itself.gathering.entries())


def test_neither_out_nor_dry_run_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="nothing to write to"):
        import_into(tmp_path, None, Options())
    with pytest.raises(ConfigError, match="got no source"):
        import_into(None, tmp_path, Options())
