"""Any bytes, in any wrapping, give a history or one of our errors."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from proper_client.importers.formats import Options
from proper_client.importers.importing import FORMATS, import_into
from proper_shared.errors import ProperError
from proper_shared.history import load_history

FIXTURES = Path(__file__).parent / "fixtures"
SEEDS = [
    (FIXTURES / name).read_bytes()
    for name in ("chatgpt/conversations.json", "chat.jsonl", "table.csv", "own.jsonl")
] + [(FIXTURES / "lamp" / "dev_questions.json").read_bytes()]
NAMES = sorted(one.name for one in FORMATS)
KEYS = "mapping current_node parent message author role content parts messages text "
KEYS += "output date id profile score task entries golds create_time content_type"
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["user", "assistant", "text", "a", "3", "", "\ud800"])
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(KEYS.split()), inner, max_size=5)
    ),
    max_leaves=25,
)
PLAIN = st.binary(max_size=200) | st.text(max_size=200).map(str.encode)


@st.composite
def damaged(draw):
    """A fixture with a few bytes changed, cut or doubled."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 40))] = draw(st.binary(max_size=12))
    return bytes(data)


@st.composite
def packed(draw):
    """A zip of something, perhaps damaged."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        name = draw(st.sampled_from(["conversations.json", "a.md", "x_questions.json"]))
        archive.writestr(name, draw(damaged() | PLAIN))
    data = bytearray(buffer.getvalue())
    at = draw(st.integers(0, len(data)))
    data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(data)


ANY = PLAIN | damaged() | packed() | JSON.map(lambda v: json.dumps(v).encode())


@settings(deadline=5_000, max_examples=300, suppress_health_check=list(HealthCheck))
@given(ANY, st.sampled_from(["writing", "rating", "LaMP_3", None]))
@example(b'"' + b'\\"' * 100_000, None)
@example(b"{" + b'"a' * 100_000, None)
@example(b"# " + b" " * 200_000 + b"x", None)
@example(b"a,b\n" * 50_000, "writing")
def test_any_bytes_are_a_history_or_our_error(tmp_path_factory, data, task):
    folder = tmp_path_factory.mktemp("any")
    (folder / "source").write_bytes(data)
    check(folder, Options(task=task))


@settings(deadline=5_000, max_examples=150, suppress_health_check=list(HealthCheck))
@given(ANY, st.sampled_from(NAMES))
def test_any_bytes_as_any_format_too(tmp_path_factory, data, name):
    folder = tmp_path_factory.mktemp("any")
    (folder / "source").write_bytes(data)
    check(folder, Options(task="writing"), name)


def check(folder, options, name=None):
    out = folder / "my.json"
    try:
        _, written = import_into(folder / "source", out, options, name=name)
    except ProperError as error:
        assert error.hint  # noqa: PT017 - either is right, see below
        assert not out.exists()
        return
    assert written
    assert load_history(out)[1].profile


@pytest.mark.parametrize("name", NAMES)
def test_a_million_entries_are_the_newest_of_them(tmp_path, name, monkeypatch):
    """Small limits, many entries: what is kept is bounded, and the rest is counted."""
    if name not in ("csv", "chat", "jsonl", "notes"):
        pytest.skip("the same code above the reading")
    from proper_client.importers import gathering  # noqa: PLC0415

    monkeypatch.setattr(gathering, "MAX_ENTRIES", 100)
    count = 5_000
    lines = {
        "csv": ["text,output", *(f"x,{n}" for n in range(count))],
        "jsonl": [
            '{"task": "writing"}',
            *(f'{{"text": "x", "output": "{n}"}}' for n in range(count)),
        ],
        "notes": [f"{n}\n" for n in range(count)],
        "chat": [
            json.dumps(
                {"title": "x", "messages": [{"role": "user", "content": str(n)}]}
            )
            for n in range(count)
        ],
    }[name]
    (tmp_path / "source").write_text("\n".join(lines))
    done, _ = import_into(
        tmp_path / "source", tmp_path / "my.json", Options(task="writing")
    )
    assert (done.format.name, done.gathering.found) == (name, count)
    kept = [entry.output for entry in load_history(tmp_path / "my.json")[1].profile]
    assert kept == [str(n) for n in range(count - 100, count)]
    assert sum(done.gathering.dropped.values()) == count - 100
