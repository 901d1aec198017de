"""Nothing of a round can be changed, or moved, without changing what is signed."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_round import round_of

from proper_shared.errors import FormatError, ProtocolError
from proper_shared.secagg.binding import Label, View, digest, framed

COHORT = (b"a" * 32, b"b" * 32, b"c" * 32)
OTHERS = {
    "federation": b"F" * 32,
    "run": b"R" * 16,
    "stage": "group",
    "serial": 4,
    "attempt": 1,
    "plan": b"P" * 32,
    "parameters": b"M" * 32,
    "ring_bits": 24,
    "length": 5,
}


def test_the_context_changes_with_every_field():
    fields = {field.name for field in dataclasses.fields(round_of())}
    assert fields == OTHERS.keys()
    contexts = {
        round_of(**{name: other}).context(COHORT) for name, other in OTHERS.items()
    }
    contexts |= {round_of().context(COHORT), round_of().context(COHORT[:2])}
    assert len(contexts) == len(OTHERS) + 2


parts = st.lists(st.binary(max_size=5), max_size=4)


@settings(deadline=None)
@given(st.sampled_from(Label), parts, st.sampled_from(Label), parts)
def test_what_is_framed_can_be_told_apart(one, left, other, right):
    same = one is other and left == right
    assert (framed(one, *left) == framed(other, *right)) == same
    assert (digest(one, *left) == digest(other, *right)) == same


def test_no_label_begins_another():
    heads = [framed(label) for label in Label]
    assert not [1 for a in heads for b in heads if a is not b and a.startswith(b)]


def test_a_signature_is_on_context_roster_sharers_and_survivors():
    views = [
        View(context, roster, sharers)
        for context in (b"1" * 32, b"2" * 32)
        for roster in (b"3" * 32, b"4" * 32)
        for sharers in ((0, 1, 2), (0, 1))
    ]
    signed = {view.agreement(alive) for view in views for alive in ((0, 1), (0, 2))}
    assert len(signed) == 16
    assert len({view.both for view in views}) == 4


def test_rounds_are_ordered_by_serial_then_attempt():
    order = [(2, 1), (3, 0), (3, 1), (4, 0)]
    found = [round_of(serial=s, attempt=a).order for s, a in order]
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("federation", b"short"),
        ("run", b"r" * 32),
        ("plan", b""),
        ("parameters", b"m" * 31),
        ("serial", -1),
        ("attempt", 2**31),
        ("length", 0),
    ],
)
def test_a_round_with_another_field_is_refused(field, value):
    with pytest.raises(ProtocolError, match="expected"):
        round_of(**{field: value})


def test_another_ring_is_refused():
    with pytest.raises(FormatError, match="expected 16 or 24"):
        round_of(ring_bits=20)
