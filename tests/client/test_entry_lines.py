"""Entries as lines: what goes in comes out, and nothing else is taken for entries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proper_client.entry_lines import lines, parsed
from proper_client.vault import Vault
from proper_shared.errors import FormatError
from proper_shared.history import Entry

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
ENTRIES = st.lists(st.builds(Entry, WORDS, WORDS, WORDS, st.none() | WORDS))


@given(ENTRIES, st.integers(1, 50))
def test_entries_come_back_however_the_bytes_are_cut(entries, size):
    data = b"".join(lines(entries))
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert parsed(pieces, "x") == tuple(entries)


@pytest.mark.parametrize(
    "line",
    [b"{}", b"[]", b"{", b"\xff", b'{"id": "a", "text": "b"}', b"[" * 100_000]
    + [b'{"id": "a", "text": "b", "output": %s}' % bad for bad in (b"1", b'""', b"[]")]
    + [b'{"id": "a", "text": "b", "output": "c", "code": "d"}'],
)
def test_what_is_no_entry_is_refused_with_all_that_comes_before(line):
    good = b'{"id": "a", "text": "b", "output": "c"}\n'
    assert len(parsed([good], "x")) == 1
    with pytest.raises(FormatError, match="history/x is damaged") as caught:
        parsed([good, line], "history/x")
    assert caught.value.hint


def test_a_vault_keeps_histories_by_task(tmp_path):
    vault = Vault(tmp_path)
    assert vault.history("tagging") == ()
    one, two = Entry("1", "a\nb\u2028", "c", "2026-01-31"), Entry("2", "d", "e")
    vault.keep_history("tagging", [one, two])
    vault.keep_history("rating", [two])
    assert vault.history("tagging") == (one, two)
    assert vault.histories() == vault.tasks() == ["rating", "tagging"]
    assert vault.drop_history("rating")
    assert not vault.drop_history("rating")
    assert vault.tasks() == ["tagging"]
