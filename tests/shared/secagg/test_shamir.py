"""Shares give a secret back, fewer fit every secret, and liars are named."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_round import Drops

from proper_shared.errors import ProtocolError
from proper_shared.secagg.keys import draw_scalars
from proper_shared.secagg.recovery import Recovery
from proper_shared.secagg.shamir import ORDER, combine, decode, evaluate, weights

# RFC 9591, appendix E.4, FROST(P-256, SHA-256)
SECRET = 0x8BA9BBA2E0FD8C4767154D35A0B7562244A4AAF6F36C8FB8735FA48B301BD8DE
SLOPE = 0x80F25E6C0709353E46BFBE882A11BDBB1F8097E46340EB8673B7E14556E6C3A4
SHARES = {
    1: 0x0C9C1A0FE806C184ADD50BBDCAC913DDA73E482DAF95DCB9F35DBB0D8A9F7731,
    2: 0x8D8E787BEF0FF6C2F494CA45F4DAD198C6BEE01212D6C84067159C52E1863AD5,
    3: 0x0E80D6E8F6192C003B5488CE1EEC8F5429587D48CF001541E713B2D53C09D928,
}


def dealt(secret, threshold, places, seed=0):
    polynomial = [secret, *draw_scalars(Drops(seed), threshold - 1)]
    return {place: evaluate(polynomial, place) for place in places}


def test_published_shares_are_reproduced_and_combined():
    assert {i: evaluate([SECRET, SLOPE], i) for i in SHARES} == SHARES
    for pair in ([1, 2], [1, 3], [2, 3]):
        assert combine(weights(pair), [SHARES[i] for i in pair]) == SECRET
    assert decode(SHARES, 2) == [SECRET, SLOPE]


@settings(deadline=None)
@given(st.data())
def test_any_threshold_of_shares_gives_the_secret_back(data):
    secret = data.draw(st.integers(0, ORDER - 1))
    threshold = data.draw(st.integers(1, 6))
    places = data.draw(
        st.lists(st.integers(1, 1000), min_size=threshold, max_size=9, unique=True)
    )
    shares = dealt(secret, threshold, places, data.draw(st.integers(0, 99)))
    used = data.draw(st.permutations(places))[:threshold]
    assert combine(weights(used), [shares[i] for i in used]) == secret
    assert evaluate(decode(shares, threshold), 0) == secret


@settings(deadline=None)
@given(st.integers(0, ORDER - 1), st.integers(0, ORDER - 1), st.integers(2, 6))
def test_fewer_shares_fit_every_secret(secret, other, threshold):
    seen = dealt(secret, threshold, range(1, threshold))  # one too few
    fit = decode({0: other, **seen}, threshold)  # through the other secret as well
    assert len(fit) <= threshold
    assert evaluate(fit, 0) == other
    assert {i: evaluate(fit, i) for i in seen} == seen


@settings(deadline=None)
@given(st.data())
def test_up_to_half_of_the_spare_shares_may_be_wrong(data):
    threshold = data.draw(st.integers(1, 5))
    count = data.draw(st.integers(threshold, 12))
    spare = (count - threshold) // 2
    shares = dealt(42, threshold, range(1, count + 1), count)
    liars = data.draw(st.sets(st.sampled_from(sorted(shares)), max_size=spare))
    forged = {i: (y + 1 + i) % ORDER if i in liars else y for i, y in shares.items()}
    found = decode(forged, threshold)
    assert found[0] == 42
    assert {i for i, y in forged.items() if evaluate(found, i) != y} == liars


def test_shares_on_no_polynomial_are_refused():
    shares = dealt(42, 3, range(1, 7))
    shares[1], shares[2] = 5, 6
    with pytest.raises(ProtocolError, match="lie on no polynomial"):
        decode(shares, 3)


def rows_of(secrets, threshold, holders):
    columns = [
        dealt(secret, threshold, range(1, holders + 1), i)
        for i, secret in enumerate(secrets)
    ]
    return {
        u: {i: column[u + 1] for i, column in enumerate(columns)}
        for u in range(holders)
    }


def test_a_liar_is_named_although_its_share_was_not_needed():
    rows = rows_of([7, 8, 9], threshold=3, holders=7)
    rows[6][1] += 1  # the last one, about one secret
    recovery = Recovery(rows, 3, 3)
    assert recovery.liars == {6}
    assert [recovery.secret(i, lambda _: True) for i in range(3)] == [7, 8, 9]


def test_a_liar_who_hides_some_of_its_shares_is_named_when_it_matters():
    rows = rows_of([7, 8, 9], threshold=3, holders=5)
    rows[0][1] += 1
    del rows[0][2]
    recovery = Recovery(rows, 3, 3)
    assert recovery.secret(1, lambda secret: secret == 8) == 8
    assert recovery.liars == {0}


def test_a_secret_that_is_not_the_announced_one_is_refused():
    recovery = Recovery(rows_of([7], threshold=3, holders=5), 1, 3)
    with pytest.raises(ProtocolError, match="another secret than its own"):
        recovery.secret(0, lambda secret: secret == 8)


def test_too_few_shares_are_counted():
    recovery = Recovery(rows_of([7], threshold=3, holders=2), 1, 3)
    with pytest.raises(ProtocolError, match="got 2 shares of its secret, expected 3"):
        recovery.secret(0, lambda _: True)
