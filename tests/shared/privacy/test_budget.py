"""A record says what was spent, or that there is no privacy, and nothing between."""

import json

import pytest

from proper_shared.errors import FormatError
from proper_shared.privacy.accounting import epsilon_after
from proper_shared.privacy.budget import Budget, budget_of, without_privacy
from proper_shared.privacy.calibration import Query

QUERY = Query(cohort_size=30, dimension=2_000, bound=1_000.0)
BOUNDS = {"population/update": 0.5}


@pytest.fixture
def budget():
    often, seldom = [QUERY.spent(4.0, 28)] * 12, [QUERY.spent(4.0)] * 3
    return budget_of([often, seldom, often], BOUNDS, 4.0, 1e-5)


def test_the_record_is_that_of_the_client_that_lost_most(budget):
    events = [QUERY.spent(4.0, 28)] * 12
    assert budget.losses.participations == 12
    for who in ("everybody", "third", "readers"):
        found = getattr(budget.losses.epsilon, who)
        assert found == epsilon_after(events, 1e-5, who)


def test_a_record_survives_its_bytes(budget):
    for record in (budget, without_privacy()):
        assert Budget.parse(record.dump()) == record


def test_a_line_says_it_in_plain_words(budget):
    assert without_privacy().summary() == "no differential privacy"
    line = budget.summary()
    assert line.startswith("epsilon ")
    assert "12 participations" in line
    assert "\n" not in line


def test_a_run_in_which_nobody_took_part_spent_nothing():
    epsilon = budget_of([], BOUNDS, 4.0, 1e-5).losses.epsilon
    assert (epsilon.everybody, epsilon.third, epsilon.readers) == (0, 0, 0)


def changed(budget: Budget, **change: object) -> bytes:
    return json.dumps({**json.loads(budget.dump()), **change}).encode()


@pytest.mark.parametrize(
    "change",
    [
        {"statement": "no differential privacy"},
        {"statement": "perfect privacy"},
        {"losses": None},
        {"losses": {}},
        {"more": 1},
    ],
)
def test_a_record_that_contradicts_itself_is_refused(budget, change):
    with pytest.raises(FormatError, match="got a budget that is wrong"):
        Budget.parse(changed(budget, **change))


@pytest.mark.parametrize("data", [b"", b"[]", b'{"statement": 1, "statement": 2}'])
def test_what_is_no_object_is_refused(data):
    with pytest.raises(FormatError, match="budget"):
        Budget.parse(data)


@pytest.mark.parametrize("epsilon", [-1.0, "3", float("inf")])
def test_an_epsilon_that_is_none_is_refused(budget, epsilon):
    plain = json.loads(budget.dump())
    plain["losses"]["epsilon"]["third"] = epsilon
    with pytest.raises(FormatError, match="budget"):
        Budget.parse(json.dumps(plain).encode())
