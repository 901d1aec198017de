"""The sampler follows the law of the discrete Gaussian, bit by bit where it matters."""

import math
import secrets

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, kstest

from proper_shared.errors import ConfigError
from proper_shared.privacy.gaussian import draw, keystream

KEY = bytes(range(32))


def exact(variance: float) -> list[mpmath.mpf]:
    """P(|k| = 0), P(|k| = 1), ... by 80 decimal digits."""
    with mpmath.workdps(80):
        reach = int(14 * math.sqrt(variance)) + 8
        v = mpmath.mpf(variance)
        weights = [mpmath.exp(-(mpmath.mpf(k) ** 2) / (2 * v)) for k in range(reach)]
        weights = [weights[0], *(2 * w for w in weights[1:])]
        total = mpmath.fsum(weights)
        return [w / total for w in weights]


def spelt(uniform: int, *, negative: bool = False) -> bytes:
    """The 16 bytes that stand for a uniform number of 127 bits, and a sign."""
    low = ((uniform & (1 << 63) - 1) << 1) | negative
    return (uniform >> 63).to_bytes(8, "little") + low.to_bytes(8, "little")


@pytest.mark.parametrize("deviation", [0.5, 0.7, 1, 3, 20])
def test_a_number_is_drawn_exactly_where_the_cumulative_law_says(deviation):
    law = exact(deviation**2)
    below = mpmath.mpf(0)
    with mpmath.workdps(80):
        for size, chance in enumerate(law):
            below += chance
            edge = int(mpmath.floor(below * 2**127))
            if size > 6 * deviation or edge >= 2**127 - 4:
                break
            for uniform, wanted in ((edge - 2, size), (edge + 2, size + 1)):
                for negative in (False, True):
                    data = spelt(uniform, negative=negative)
                    drawn = draw(deviation**2, 1, lambda n, data=data: data[:n])
                    assert drawn.tolist() == [-wanted if negative else wanted]


def test_the_low_half_decides_where_the_high_half_ties():
    law = exact(9.0)
    with mpmath.workdps(80):
        edge = int(mpmath.floor(law[0] * 2**127))
    near, far = edge & ~((1 << 63) - 1), edge | ((1 << 63) - 1)
    data = spelt(near) + spelt(edge - 2) + spelt(edge + 2) + spelt(far)
    assert draw(9.0, 4, lambda n: data[:n]).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("deviation", [0.5, 1.0, 2.5, 60.0])
def test_draws_follow_the_law(deviation):
    drawn = draw(deviation**2, 400_000, keystream(KEY))
    law = [float(chance) for chance in exact(deviation**2)]
    wanted = {
        k: len(drawn) * (law[k] if k == 0 else law[k] / 2)
        for k in range(400)
        if k < len(law)
    }
    common = [k for k, n in wanted.items() if n >= 20]
    bins = sorted({-k for k in common} | set(common))
    seen = np.array([np.sum(drawn == k) for k in bins])
    hoped = np.array([wanted[abs(k)] for k in bins])
    rest = len(drawn) - seen.sum(), len(drawn) - hoped.sum()
    statistic = ((seen - hoped) ** 2 / hoped).sum() + (rest[0] - rest[1]) ** 2 / max(
        rest[1], 20
    )
    assert 1e-3 < chi2.sf(statistic, len(bins)) < 1 - 1e-3


@pytest.mark.parametrize("deviation", [0.5, 1.0, 7.0, 100.0, 10_000.0, 50_000.0])
def test_moments_are_those_of_the_law(deviation):
    count = 300_000
    drawn = draw(deviation**2, count, keystream(KEY)).astype(np.float64)
    sizes = np.arange(int(14 * deviation) + 8, dtype=np.float64)
    law = np.where(sizes == 0, 1, 2) * np.exp(-(sizes**2) / (2 * deviation**2))
    law /= law.sum()
    second, fourth = (law * sizes**2).sum(), (law * sizes**4).sum()
    error = math.sqrt((fourth - second**2) / count)
    assert abs(drawn.mean()) < 4 * math.sqrt(second / count)
    assert abs((drawn**2).mean() - second) < 4 * error
    assert abs((drawn > 0).mean() - (drawn < 0).mean()) < 4 / math.sqrt(count)
    assert abs((drawn**3).mean()) < 4 * math.sqrt(15 * second**3 / count) + 1


@pytest.mark.parametrize("deviation", [2.0**15, 2.0**19, 2.0**22])
def test_wide_draws_are_normal_and_reach_every_remainder(deviation):
    drawn = draw(deviation**2, 300_000, keystream(KEY))
    assert kstest(drawn / deviation, "norm").pvalue > 1e-3
    remainders = np.bincount(drawn % 1024, minlength=1024)
    hoped = len(drawn) / 1024
    statistic = ((remainders - hoped) ** 2 / hoped).sum()
    assert 1e-3 < chi2.sf(statistic, 1023) < 1 - 1e-3


def test_two_narrow_laws_make_the_wide_one():
    """The same sum at 1/16 of the size and of the overlap, term by term."""
    step, fine, wide = 4, 4.0**2 * 4, 4.0**2 * 12
    v = np.arange(-800, 801)
    coarse = (wide - fine) / step**2

    def law(variance):
        weight = np.exp(-(v**2) / (2 * variance))
        return weight / weight.sum()

    found = np.zeros_like(v, dtype=np.float64)
    for y, chance in zip(v, law(coarse), strict=True):
        if abs(step * y) < 400:
            found += chance * np.roll(law(fine), step * y)
    near = np.abs(v) < 60
    np.testing.assert_allclose(found[near], law(wide)[near], rtol=1e-9)


def test_neighbours_in_a_stream_are_independent():
    drawn = draw(25.0, 200_000, keystream(KEY)).astype(np.float64)
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 4 / math.sqrt(200_000)


@pytest.mark.parametrize("variance", [30.0, 2.0**34])
@given(parts=st.lists(st.integers(0, 50), max_size=5))
@settings(deadline=None)  # the first draw makes the tables
def test_a_key_gives_the_same_numbers_however_they_are_asked_for(variance, parts):
    stream = keystream(KEY)
    drawn = [draw(variance, part, stream) for part in parts]
    whole = draw(variance, sum(parts), keystream(KEY))
    assert np.concatenate([*drawn, whole[:0]]).tolist() == whole.tolist()


def test_different_keys_differ():
    one, other = (
        draw(1e4, 100, keystream(key)) for key in (KEY, secrets.token_bytes(32))
    )
    assert np.mean(one == other) < 0.2


def test_the_stream_is_aes_in_counter_mode():
    # AES-256 of a block of zeros under a key of zeros, a known answer of NIST's suite
    assert keystream(bytes(32))(16).hex() == "dc95c078a2408989ad48a21492842087"


@pytest.mark.parametrize("variance", [0.2, 0.0, -1.0, math.nan, math.inf, 2.0**45])
def test_a_variance_that_is_out_of_range_is_refused_and_takes_no_bytes(variance):
    def stream(_count: int) -> bytes:
        raise AssertionError

    with pytest.raises(ConfigError, match="got noise of variance"):
        draw(variance, 1, stream)


def test_a_short_key_and_a_negative_count_are_refused():
    with pytest.raises(ConfigError, match="got a key of 31 bytes"):
        keystream(bytes(31))
    with pytest.raises(ConfigError, match="expected 0 or more"):
        draw(1.0, -1, keystream(KEY))
