"""Runs under noise: how much there is, what is charged, and where they end."""

import math
from collections import Counter

import numpy as np
import pytest
from toy_federation import ToySite, ToyTrainer, outline, parts, population

from proper_client.flower import Participant
from proper_coordinator.flower import Coordinator
from proper_coordinator.ledger import Ledger
from proper_coordinator.noise import Asked, asked_of, loudness, multiplier_for
from proper_coordinator.plan import Plan, Privacy, blocks, cohorts
from proper_coordinator.store import Store, read_ledger
from proper_shared.errors import ConfigError
from proper_shared.packing import Layout
from proper_shared.privacy.accounting import epsilon_of
from proper_shared.privacy.budget import NONE
from proper_shared.privacy.calibration import Limit, Query
from proper_shared.rounds import Outline
from proper_shared.terms import kind_of
from proper_shared.vectors.clip import Blocks
from proper_shared.vectors.encoding import Encoding, ring_for
from proper_shared.vectors.fixed import fixed_bounds
from proper_simulations.engines import MemoryGrid
from proper_simulations.federation import Job, run_federation

NODES, COHORT, SEED = 10, 4, 5  # two blocks of five
PRIVACY = Privacy(epsilon=8.0)
WIDE = Layout({"l.population.b": (300, 80), "loss": (1,)})
SMALL = Layout({"l.group.b": (40, 10), "use": (2, 5), "loss": (1,)})


def plan(privacy=PRIVACY, **changes):
    return Plan(cohort_size=COHORT, seed=SEED, privacy=privacy, **changes)


def coordinator(folder, privacy=PRIVACY, rounds=4, said=None, **changes):
    say = (lambda _: None) if said is None else said.append
    store = Store(folder, "toy")
    told = outline(rounds)
    return Coordinator(plan(privacy, **changes), store, outline=told, say=say)


def lead(folder, answer=None, *, nodes=NODES, rounds=4, **more):
    """Run the toy federation under noise; return its coordinator and what it said."""
    said = []
    leading = coordinator(folder, rounds=rounds, said=said, **more)
    grid = MemoryGrid(answer or Participant(ToySite(nodes)).answer, nodes)
    made = []

    def noted():
        for part in parts(rounds):
            made.append(part)
            yield part

    leading.run(grid, noted())
    return leading, said, made


# ---------------------------------------------------------------- the multiplier


@pytest.mark.parametrize("epsilon", [0.5, 2.0, 8.0, 50.0])
@pytest.mark.parametrize("nodes", [30, 100, 301, 400])
def test_the_planned_run_costs_what_was_wanted_and_hardly_less(epsilon, nodes):
    told = [Outline("population", (WIDE,) * 7), Outline("group", (SMALL,) * 9)]
    divided = blocks(range(nodes), 30 if nodes < 400 else 400, SEED)
    limit = Limit(epsilon, 1e-5)
    asked = asked_of(told, divided, SEED)
    found = multiplier_for(limit, asked)
    costs = []
    for own in asked:
        counts = Counter()
        for query, count in own.plan(found):
            counts[query.spent(found)] += count
        costs.append(epsilon_of(counts, limit.delta))
    assert max(costs) <= epsilon
    assert max(costs) > 0.99 * epsilon


def test_each_block_is_asked_as_often_as_a_run_deals_it():
    told = [Outline("population", (WIDE,) * 7), Outline("group", (SMALL,) * 9)]
    divided = blocks(range(90), 30, SEED)
    asked = asked_of(told, divided, SEED)
    for number, own in enumerate(asked):
        assert own.size == len(divided[number])
        counted = dict(own.sums)
        for stage, part in enumerate(told):
            dealt = cohorts(divided, (SEED, stage))
            times = sum(next(dealt) == divided[number] for _ in part.layouts)
            assert counted.get(kind_of(part.layouts[0]), 0) == times
            assert times <= math.ceil(len(part.layouts) / len(divided))


def test_noise_that_no_ring_holds_is_refused_before_the_first_round():
    asked = [Asked(400, (("", 5000),), {"": Layout({"l.population.b": (3000, 800)})})]
    with pytest.raises(ConfigError, match="more noise than a sum holds"):
        multiplier_for(Limit(1e-2, 1e-9), asked)


def test_of_few_numbers_noise_stays_two_units_of_the_grid():
    tiny = Layout({"l.population.b": (2, 2), "loss": (1,)})
    asked = asked_of([Outline("population", (tiny,))], [tuple(range(300))], SEED)
    limit = Limit(1e4, 1e-5)
    found = multiplier_for(limit, asked)
    ((query, _),) = asked[0].plan(found)
    assert query.variance(found) >= 4
    assert asked[0].within(limit, found)


# ------------------------------------------------------------ what is charged


def test_a_run_ends_at_its_plan_within_epsilon_and_says_so(tmp_path):
    leading, said, made = lead(tmp_path)
    ledger = read_ledger(tmp_path)
    assert [part.stage for part in made] == ["population", "group"]
    assert {s: len(r) for s, r in leading.store.rounds().items()} == {
        "population": 4,
        "group": 4,
    }
    assert sum(sum(ledger.counts(b).values()) for b in (0, 1)) == 8
    spent = ledger.epsilon(PRIVACY.limit)
    assert 0.99 * 8 < spent <= 8
    budget = leading.budget
    assert budget.losses.epsilon.third == pytest.approx(spent)
    assert budget.losses.participations == ledger.participations == 4
    assert budget.losses.bounds.keys() == {
        "population/update",
        "population/loss",
        "group/experts",
        "group/use",
        "group/direction",
        "group/loss",
    }
    assert "noise multiplier" in said[0]
    assert "population" in said[1]
    assert said[-1].startswith("epsilon 8 of 8 spent")


def test_a_run_without_noise_has_no_ledger_and_says_that_it_has_no_privacy(tmp_path):
    leading, said, _ = lead(tmp_path, privacy=None)
    assert (read_ledger(tmp_path), said) == (None, [])
    assert leading.budget.summary() == NONE


class Witness:
    """Nodes who look at the ledger on the disk before they answer an offer."""

    def __init__(self, folder, nodes=NODES):
        self.folder, self.nodes = folder, Participant(ToySite(nodes))
        self.seen = []

    def charged(self):
        ledger = read_ledger(self.folder)
        return sum(sum(ledger.counts(b).values()) for b in range(len(ledger.spent)))

    def answer(self, pairs):
        if any("offer" in message.content for message, _ in pairs):
            self.offered(self.charged())
        return self.nodes.answer(pairs)

    def offered(self, charged):
        self.seen.append(charged)


def test_an_attempt_is_on_the_disk_before_its_offer_leaves(tmp_path):
    witness = Witness(tmp_path)
    lead(tmp_path, witness.answer)
    assert witness.seen == [1, 2, 3, 4, 5, 6, 7, 8]  # one attempt each, and no probe


class KilledError(Exception):
    """The process of the coordinator dies."""


class Killing(Witness):
    """The first offer of so many is never answered."""

    def __init__(self, folder, at):
        super().__init__(folder)
        self.at = at

    def offered(self, charged):
        super().offered(charged)
        if charged == self.at:
            raise KilledError


@pytest.mark.parametrize("at", [2, 5])
def test_a_round_that_is_repeated_is_paid_twice_and_missing_at_the_end(tmp_path, at):
    with pytest.raises(KilledError):
        lead(tmp_path, Killing(tmp_path, at).answer)
    before = read_ledger(tmp_path)
    assert sum(sum(before.counts(b).values()) for b in (0, 1)) == at
    leading, said, made = lead(tmp_path)
    after = read_ledger(tmp_path)
    assert after.multiplier == before.multiplier
    assert after.epsilon(PRIVACY.limit) <= PRIVACY.epsilon
    assert max(sum(after.counts(b).values()) for b in (0, 1)) == 4
    rounds = {stage: len(log) for stage, log in leading.store.rounds().items()}
    assert rounds["population"] == 4
    assert rounds["group"] < 4  # the last rounds of the block that paid twice
    (end,) = [words for words in said if words.startswith("training ends here")]
    assert "group" in end
    assert [part.stage for part in made] == ["population", "group"]  # a clean end
    again, said_again, _ = lead(tmp_path)
    assert read_ledger(tmp_path) == after  # what is spent stays spent
    assert end in said_again
    assert again.budget.losses.epsilon.third <= PRIVACY.epsilon


def test_where_the_first_part_spends_all_the_others_get_no_round(tmp_path):
    for at in (2, 3):
        with pytest.raises(KilledError):
            lead(tmp_path, Killing(tmp_path, at).answer, rounds=2)
    leading, said, made = lead(tmp_path, rounds=2)
    assert len(leading.store.rounds().get("population", ())) < 2
    assert "group" not in leading.store.rounds()
    assert [part.stage for part in made] == ["population", "group"]
    assert any("population" in words for words in said if "ends here" in words)


def test_a_round_that_fails_is_lost_and_paid_for_once(tmp_path):
    silent = Participant(ToySite(NODES))

    def answer(pairs):
        return silent.answer([p for p in pairs if "offer" not in p[0].content])

    waits = {"round_timeout_s": 0.01, "poll_s": 0.001, "max_failures": 9}
    leading, _, made = lead(tmp_path, answer, **waits)
    log = leading.store.rounds()["population"]
    assert all(round_.failed for round_ in log)
    assert not made[0].values["l.population.b"].any()
    ledger = read_ledger(tmp_path)
    assert sum(sum(ledger.counts(b).values()) for b in (0, 1)) == 8


def test_a_bound_of_the_operator_goes_before_the_fixed_one(tmp_path):
    chosen = Privacy(epsilon=8.0, bounds={"population/update": 0.25})
    leading, _, _ = lead(tmp_path, privacy=chosen)
    bounds = leading.store.ledger().bounds
    assert bounds["population/update"] == 0.25
    assert bounds["group/experts"] != 0.25


def test_a_bound_for_what_no_round_adds_up_is_refused(tmp_path):
    odd = Privacy(epsilon=8.0, bounds={"population/updates": 0.25})
    with pytest.raises(ConfigError, match="population/updates") as caught:
        lead(tmp_path, privacy=odd)
    assert "population/update" in caught.value.hint


def test_noise_needs_masks_and_an_outline(tmp_path):
    with pytest.raises(ValueError, match="masks"):
        plan(masked=False)
    grid = MemoryGrid(Participant(ToySite(4)).answer, 4)
    bare = Coordinator(plan(), Store(tmp_path, "toy"))
    with pytest.raises(ConfigError, match="not known before"):
        bare.run(grid, [population()])


def test_a_ledger_comes_back_from_the_disk_to_the_last_bit(tmp_path):
    leading, _, _ = lead(tmp_path)
    ledger = leading.store.ledger()
    assert read_ledger(tmp_path) == ledger
    assert Ledger.model_validate_json(ledger.model_dump_json()) == ledger


# ------------------------------------------------------------------- the noise


class Mute(ToyTrainer):
    """Learns nothing: what its members add is noise alone."""

    def train(self, order, members):
        size = self.layout(order).size
        return [np.zeros(size, np.float32) for _ in members]


class MuteSite(ToySite):
    def trainer(self):
        return Mute()


def test_the_noise_of_a_sum_has_the_deviation_that_was_counted(tmp_path):
    rounds, heard = 60, []

    class Ear:
        """Keeps the sums that a part is moved by."""

        def __init__(self, part):
            self.part = part

        def __getattr__(self, name):
            return getattr(self.part, name)

        def apply(self, round_, total, count):
            heard.append((round_, total.copy(), count))
            return 0.0

    privacy = Privacy(epsilon=30.0)
    told = outline(rounds)[:1]
    job = Job(NODES, tmp_path, "mute", plan(privacy), outline=told)
    outcome = run_federation([Ear(population(rounds))], MuteSite(NODES), job)
    multiplier = outcome.budget.losses.multiplier
    scaled = []
    for round_, total, count in heard:
        order = population(rounds).order(round_)
        layout = told[0].layouts[round_]
        blocks_ = Blocks.of(layout, fixed_bounds(order.schedule.recipe, layout))
        ring = ring_for(count, layout.size, multiplier)
        encoding = Encoding(blocks_, ring, count, bytes(32), multiplier)
        # n shares of variance (z D)^2 / m, m of them surely honest; D the norm of a
        # vector at its bounds.
        counted = multiplier * encoding.sensitivity * encoding.step
        wanted = counted * math.sqrt(count / (count // 3 + 1))
        scaled.append(total * blocks_.spread(blocks_.scales) / wanted)
    numbers = np.concatenate(scaled)
    assert len(numbers) > 500
    # The deviation of n normal numbers is known to 1 / sqrt(2n): four of these.
    assert np.std(numbers) == pytest.approx(1, abs=4 / math.sqrt(2 * len(numbers)))
    assert abs(np.mean(numbers)) < 4 / math.sqrt(len(numbers))
    largest = blocks_.sensitivity  # not less either than what is promised of a vector
    assert encoding.sensitivity * encoding.step >= largest


@pytest.mark.parametrize("n", [5, 34, 304])
def test_the_opening_says_how_loud_the_noise_of_a_round_is(n):
    part, bound, multiplier = outline(1)[1], 1e6, 6.3
    size = max(layout.size for layout in part.layouts)
    one = Query(n, size, bound).variance(multiplier)
    mean = math.sqrt(n * one * size) / n  # length of the noise in the mean of all
    assert loudness(multiplier, n, part) == pytest.approx(mean / bound)
