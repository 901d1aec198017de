from collections import Counter
from itertools import islice

import pytest

from proper_coordinator.plan import blocks, cohorts


def drawn(count, seats=range(100), size=30, seed=(0, 0)):
    return list(islice(cohorts(blocks(tuple(seats), size, seed[0]), seed), count))


@pytest.mark.parametrize("seats", [30, 31, 47, 60, 100, 1331])
def test_blocks_hold_everybody_once_and_enough(seats):
    divided = blocks(range(seats), 30, 0)
    assert sorted(seat for block in divided for seat in block) == list(range(seats))
    sizes = [len(block) for block in divided]
    assert min(sizes) >= 30
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("seats", [30, 47, 100])
def test_everybody_takes_part_before_anybody_twice(seats):
    seen = Counter()
    for cohort in drawn(50, range(seats)):
        seen.update(cohort)
        counts = [seen[seat] for seat in range(seats)]
        assert max(counts) - min(counts) <= 1


def test_nobody_is_ever_added_to_other_people():
    assert (
        set(drawn(50)) == set(drawn(50, seed=(0, 1))) == set(blocks(range(100), 30, 0))
    )


def test_blocks_come_again_for_a_seed_and_in_another_order_in_another_part():
    assert drawn(9) == drawn(9)
    assert drawn(9) != drawn(9, seed=(0, 1))
    assert blocks(range(100), 30, 0) != blocks(range(100), 30, 1)
    assert drawn(9) == drawn(9, seats=reversed(range(100)))


def test_fewer_seats_than_asked_for_are_all_taken():
    assert drawn(3, seats=[7, 3]) == [(3, 7)] * 3
    assert drawn(3, seats=[]) == []
