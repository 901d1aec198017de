"""The numbers of a cohort keep two views from being completed at once."""

import pytest

from proper_shared.errors import ProtocolError
from proper_shared.secagg.quorum import LARGEST, SMALLEST, Quorum

# n, lost, Q, colluding, t, honest in the sum: the table of the design
TABLE = [
    (3, 1, 2, 0, 2, 2),
    (10, 3, 7, 3, 5, 4),
    (50, 16, 34, 17, 25, 17),
    (100, 33, 67, 33, 50, 34),
    (1000, 333, 667, 333, 500, 334),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"n{row[0]}")
def test_the_published_table_is_what_is_computed(row):
    n, lost, size, colluders, threshold, honest = row
    q = Quorum(n)
    assert (q.lost, q.size, q.colluders) == (lost, size, colluders)
    assert (q.threshold, q.honest) == (threshold, honest)


def test_every_cohort_is_safe_against_its_colluders():
    for n in range(SMALLEST, LARGEST + 1):
        q = Quorum(n)
        assert 2 * q.size - n > q.colluders  # an honest member stands in both quorums
        assert q.colluders < q.threshold <= q.size  # they cannot open, a quorum can
        assert q.honest >= 2  # an update is never alone among honest ones
        assert 3 * (q.colluders + 1) >= n  # whoever is fewer than a third is covered


def test_three_members_are_arithmetic_and_no_privacy():
    assert [n for n in range(3, 1001) if Quorum(n).arithmetic_only] == [3]


@pytest.mark.parametrize("n", [-1, 0, 2, 1001])
def test_other_sizes_have_no_quorum(n):
    with pytest.raises(ProtocolError, match="expected 3 to 1000"):
        Quorum(n)
