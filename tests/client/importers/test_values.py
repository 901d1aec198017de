import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proper_client.importers import values as module
from proper_client.importers.values import values
from proper_shared.errors import DataError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(deadline=None)
@given(
    st.lists(st.dictionaries(st.text(max_size=4), JSON, max_size=4), max_size=6),
    st.integers(1, 40),
    st.booleans(),
)
def test_any_cut_of_the_stream_gives_the_same_values(wanted, chunk, as_list):
    if as_list:
        text = json.dumps(wanted, indent=1)
    else:
        text = "\n".join(map(json.dumps, wanted))
    before, module.CHUNK = module.CHUNK, chunk
    try:
        assert list(values(io.StringIO(text), "x")) == wanted
    finally:
        module.CHUNK = before


BROKEN = {
    "cut off": ('[{"a": 1}, {"a', "line 1 on: unterminated"),
    "no comma": ('[{"a": 1} {"a": 2}]', "expected a comma"),
    "after the end": ("[{}] x", "nothing after the end"),
    "on line 3": ('{"a": 1}\n{"a": 2}\n{"a" 3}\n', "from line 3 on"),
    "a key twice": ('{"a": 1, "a": 2}', "a name stands twice"),
    "NaN": ('[{"a": NaN}]', "got the number nan"),
    "infinity": ('{"a": -Infinity}', "got the number -infinity"),
    "a huge number": ("[" + "9" * 5000 + "]", "line 1 on: exceeds the limit"),
    "a deep nest": ('{"a":' + "[" * 100_000, "beyond all measure"),
    "no end": ("[", "expecting value"),
    "a trailing comma": ("[{},]", "expecting value"),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_not_strict_json_is_refused_with_its_line(text, message):
    with pytest.raises(DataError, match=message) as caught:
        list(values(io.StringIO(text), "x"))
    assert caught.value.hint
    assert len(str(caught.value)) < 200


def test_a_value_without_end_is_not_held(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 64)
    monkeypatch.setattr(module, "MAX_VALUE", 1000)
    stream = io.StringIO('[{"a": "' + "x" * 100_000)
    with pytest.raises(DataError, match="no end of a value in 1,000 characters"):
        list(values(stream, "x"))
    assert stream.tell() < 5000
