"""The guard: each refusal has its name, leaves all as it was, and is shown."""

import dataclasses
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proper_client.guard import (
    Acquaintance,
    Guard,
    Situation,
    check_message,
    refuse_bundle,
)
from proper_client.guard_record import Record, load_record, save_record
from proper_client.guard_terms import Proposal, spent_in
from proper_client.guard_watch import Watch
from proper_client.ledger import Door, Ledger
from proper_client.ledger_entry import Entry, Purpose, read_ledger
from proper_client.policy import Policy
from proper_client.vault import Vault
from proper_shared.errors import ConfigError, FormatError
from proper_shared.method.config import Recipe
from proper_shared.offers import Noise, Offer
from proper_shared.packing import Layout
from proper_shared.privacy.accounting import epsilon_after
from proper_shared.rounds import Order, Schedule
from proper_shared.secagg.checks import Refusal

NOW = datetime(2026, 11, 21, 23, 30, tzinfo=timezone(timedelta(hours=1)))
LONG_AGO, YESTERDAY = NOW - timedelta(days=400), NOW - timedelta(days=1)
MEMBERS = [bytes([n]) * 32 for n in range(1, 31)]
ME, FEDERATION = MEMBERS[4], bytes([77]) * 32
LAYOUT = Layout({"layer.population.b": (40, 50), "loss": (1,)})
NOISE = Noise(multiplier=4.0, delta=1e-5, participations=50)


def cohort_of(*places):
    return tuple(sorted(MEMBERS[place].hex() for place in places))


def an_offer(**changes):
    fields = {
        "federation": FEDERATION.hex(),
        "run": "ab" * 16,
        "serial": 3,
        "attempt": 0,
        "cohort": cohort_of(*range(12)),
        "masked": True,
        "ring_bits": 16,
        "bounds": {"update": 1.0, "loss": 10.0},
        "noise": None,
    }
    return Offer(**{**fields, **changes})


def an_order(**recipe):
    fields = {"learning_rate": 1e-3, "steps": 10, "batch": 8}
    schedule = Schedule(rounds=20, recipe=Recipe(**{**fields, **recipe}))
    return Order("population", "b", 3, schedule, np.zeros(4, np.float32))


def a_proposal(order=None, layout=LAYOUT, **changes):
    return Proposal(an_offer(**changes), order or an_order(), layout)


def a_situation(**changes):
    fields = {"now": NOW, "plugged_in": True, "items": 40}
    return Situation(**{**fields, **changes})


def a_guard(members=None, **policy):
    everybody = {who: Acquaintance(trusted=False, since=LONG_AGO) for who in MEMBERS}
    known = everybody if members is None else members
    return Guard(Policy(**policy), ME, FEDERATION, known)


def newcomers(count):
    """All members; the first `count` were first seen yesterday."""
    return {
        who: Acquaintance(trusted=False, since=YESTERDAY if n < count else LONG_AGO)
        for n, who in enumerate(MEMBERS)
    }


AGREED = Record().after_agreeing(an_offer())

# name -> guard, proposal, record, situation; each differs from a sound one in one point
CASES = {
    "other-federation": (a_guard(), a_proposal(federation="00" * 32), None, None),
    "outside-hours": (a_guard(hours="09-17"), a_proposal(), None, None),
    "on-battery": (a_guard(), a_proposal(), None, a_situation(plugged_in=False)),
    "power-unknown": (a_guard(), a_proposal(), None, a_situation(plugged_in=None)),
    "too-few-items": (a_guard(), a_proposal(), None, a_situation(items=9)),
    "too-many-attempts": (a_guard(max_attempts=1), a_proposal(attempt=1), None, None),
    "too-many-runs": (a_guard(max_runs=1), a_proposal(run="cd" * 16), AGREED, None),
    "too-many-rounds": (a_guard(max_rounds=1), a_proposal(serial=4), AGREED, None),
    "old-round": (a_guard(), a_proposal(), AGREED, None),
    "cohort-order": (
        a_guard(),
        a_proposal(cohort=cohort_of(*range(12))[::-1]),
        None,
        None,
    ),
    "outside-the-log": (
        a_guard(),
        a_proposal(cohort=(*cohort_of(*range(12)), "ff" * 32)),
        None,
        None,
    ),
    "not-asked": (a_guard(), a_proposal(cohort=cohort_of(*range(5, 20))), None, None),
    "small-cohort": (a_guard(), a_proposal(cohort=cohort_of(*range(9))), None, None),
    "too-few-vouched": (a_guard(newcomers(8)), a_proposal(), None, None),
    "not-my-block": (
        a_guard(),
        a_proposal(serial=4, cohort=cohort_of(*range(13))),
        AGREED,
        None,
    ),
    "too-many-steps": (
        a_guard(max_steps=9),
        a_proposal(an_order(steps=10)),
        None,
        None,
    ),
    "batch-too-large": (a_guard(), a_proposal(an_order(batch=65)), None, None),
    "not-masked": (a_guard(), a_proposal(masked=False), None, None),
    "bound-too-large": (
        a_guard(),
        a_proposal(bounds={"update": 1001.0, "loss": 1.0}),
        None,
        None,
    ),
    "odd-bounds": (a_guard(), a_proposal(bounds={"update": 1.0}), None, None),
    "ring-too-small": (a_guard(), a_proposal(ring_bits=8), None, None),
    "no-noise": (a_guard(epsilon_total=8.0), a_proposal(), None, None),
    "noise-too-small": (
        a_guard(),
        a_proposal(noise=NOISE.model_copy(update={"multiplier": 1e-6})),
        None,
        None,
    ),
    "epsilon-spent": (a_guard(epsilon_total=0.01), a_proposal(noise=NOISE), None, None),
}


@pytest.fixture
def vault(tmp_path):
    return Vault(tmp_path / "home")


@pytest.fixture
def door(vault):
    with Ledger(vault, lambda: NOW) as ledger:
        yield Door(ledger, "there:9092")


def watch_of(guard, vault, door, record=None):
    if record is not None:
        save_record(vault, record)
    return Watch(guard, vault, door)


def refusals(vault):
    return [entry for entry in read_ledger(vault) if entry.purpose == Purpose.REFUSAL]


def test_a_sound_offer_is_agreed_to(vault, door):
    watch = watch_of(a_guard(), vault, door)
    known = watch.agree(a_proposal(), a_situation())
    assert known.cohort == tuple(MEMBERS[:12])
    assert known.members == dict.fromkeys(MEMBERS[:12], True)
    assert (known.min_cohort, known.min_vouched) == (10, 5)
    assert load_record(vault) == watch.record == AGREED
    assert list(read_ledger(vault)) == []


@pytest.mark.parametrize("name", CASES)
def test_each_refusal_is_named_is_shown_and_leaves_all_as_it_was(vault, door, name):
    guard, proposal, record, situation = CASES[name]
    watch = watch_of(guard, vault, door, record)
    before = (watch.record, load_record(vault))
    with pytest.raises(Refusal) as caught:
        watch.agree(proposal, situation or a_situation())
    assert caught.value.name == name
    assert (watch.record, load_record(vault)) == before
    (entry,) = refusals(vault)
    assert (entry.name, entry.words) == (name, str(caught.value))
    assert (entry.nbytes, entry.run, entry.serial, entry.stage) == (
        0,
        proposal.offer.run,
        proposal.offer.serial,
        "population",
    )


def test_the_page_about_the_policy_names_every_refusal():
    page = (Path(__file__).parents[2] / "docs" / "policy.md").read_text()
    other = {"sent-already", "unknown-message", "object-too-large", "bundle-offered"}
    assert {name for name in CASES.keys() | other if f"`{name}`" not in page} == set()


def test_messages_objects_and_bundles_are_refused_by_name():
    with pytest.raises(Refusal, match="type 'agent'") as caught:
        check_message("agent", {"train", "query"})
    assert caught.value.name == "unknown-message"
    check_message("train", {"train", "query"})
    guard = a_guard(max_object_mib=2)
    guard.check_object(2 << 20)
    with pytest.raises(Refusal, match="at most 2097152") as caught:
        guard.check_object((2 << 20) + 1)
    assert caught.value.name == "object-too-large"
    with pytest.raises(Refusal, match="installed code only") as caught:
        refuse_bundle("a bundle")
    assert caught.value.name == "bundle-offered"


def test_a_refusal_of_the_protocol_is_shown_too(vault, door):
    watch = watch_of(a_guard(), vault, door)
    with pytest.raises(Refusal), watch.recorded():
        raise Refusal("declared-lost", "got survivors without this member")
    assert [entry.name for entry in refusals(vault)] == ["declared-lost"]


# What survives a restart


def test_what_was_agreed_to_is_on_the_disk_before_agree_returns(vault, door):
    watch_of(a_guard(), vault, door).agree(a_proposal(), a_situation())
    again = Watch(a_guard(), vault, door)  # as after a kill
    for serial, attempt in ((3, 0), (2, 1), (0, 0)):
        with pytest.raises(Refusal) as caught:
            again.agree(a_proposal(serial=serial, attempt=attempt), a_situation())
        assert caught.value.name == "old-round"
    again.agree(a_proposal(attempt=1), a_situation())


def test_a_record_that_cannot_be_kept_agrees_to_nothing(vault, door, monkeypatch):
    watch = watch_of(a_guard(), vault, door)

    def full(*_):
        raise ConfigError("the disk is full")

    monkeypatch.setattr(vault, "write_record", full)
    with pytest.raises(ConfigError, match="full"):
        watch.agree(a_proposal(), a_situation())
    assert watch.record == Record()


def test_a_damaged_record_is_never_a_fresh_start(vault, door):
    save_record(vault, AGREED)
    path = vault.home / "federation" / "record.json"
    for data in (b"", b"{", b'{"format":2}', b'{"format":1,"bare":-1}', b"[]"):
        path.write_bytes(data)
        with pytest.raises(FormatError) as caught:
            Watch(a_guard(), vault, door)
        assert "restore" in caught.value.hint


@given(
    st.lists(
        st.tuples(st.sampled_from(["ab" * 16, "cd" * 16]), st.integers(0, 6)),
        max_size=20,
    ),
    st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_whatever_is_offered_rounds_only_grow_and_the_record_reads_back(asked, random):
    guard, record, agreed = a_guard(max_rounds=4), Record(), {}
    for run, serial in asked:
        proposal = a_proposal(run=run, serial=serial, attempt=random.randint(0, 1))
        try:
            record = guard.check(proposal, record, a_situation())
        except Refusal:
            continue
        agreed.setdefault(run, []).append((serial, proposal.offer.attempt))
    for rounds in agreed.values():
        assert rounds == sorted(set(rounds))
        assert len({serial for serial, _ in rounds}) <= 4
    assert Record.model_validate_json(record.model_dump_json()) == record


# The vector leaves once


def test_a_vector_leaves_once_for_an_attempt_that_was_agreed_to(vault, door):
    watch = watch_of(a_guard(), vault, door)
    sent = []
    with pytest.raises(Refusal) as caught:
        watch.send_vector(a_proposal(), b"early", sent.append)
    assert caught.value.name == "old-round"
    watch.agree(a_proposal(), a_situation())
    watch.send_vector(a_proposal(), b"vector", sent.append)
    for other in (a_proposal(), a_proposal(attempt=1), a_proposal(serial=2)):
        with pytest.raises(Refusal) as caught:
            Watch(a_guard(), vault, door).send_vector(other, b"again", sent.append)
        assert caught.value.name in {"sent-already", "old-round"}
    assert sent == [b"vector"]
    left = [e for e in read_ledger(vault) if isinstance(e, Entry) and e.nbytes]
    assert [(e.purpose, e.nbytes, e.serial) for e in left] == [("masked update", 6, 3)]


def test_a_vector_in_clear_is_written_down_as_such(vault, door):
    watch = watch_of(a_guard(allow_unmasked=True), vault, door)
    proposal = a_proposal(masked=False, bounds={})
    watch.agree(proposal, a_situation())
    watch.send_vector(proposal, b"clear", len)
    assert [entry.purpose for entry in read_ledger(vault)] == ["update"]


# Whom the device vouches for


def test_contacts_and_the_countersigned_count_from_the_first_day():
    members = newcomers(30)
    for who in [*MEMBERS[:3], *MEMBERS[6:8]]:
        members[who] = Acquaintance(trusted=True, since=YESTERDAY)
    assert a_guard(members).check(a_proposal(), Record(), a_situation())


def test_the_device_does_not_vouch_for_itself():
    members = newcomers(30)
    for who in [*MEMBERS[:4], ME]:
        members[who] = Acquaintance(trusted=True, since=LONG_AGO)
    with pytest.raises(Refusal, match="vouch for 4 others, expected 5"):
        a_guard(members).check(a_proposal(), Record(), a_situation())


def test_time_makes_known_and_a_clock_that_runs_back_does_not():
    guard = a_guard(newcomers(30))
    for days, sound in ((28, False), (29, True), (-100, False)):
        situation = a_situation(now=NOW + timedelta(days=days))
        if sound:
            assert guard.check(a_proposal(), Record(), situation)
        else:
            with pytest.raises(Refusal, match="vouch for 0 others"):
                guard.check(a_proposal(), Record(), situation)


# Blocks


def test_without_noise_a_device_stays_with_the_cohort_that_it_saw_first():
    guard, record = a_guard(), AGREED
    for cohort in (cohort_of(*range(11)), cohort_of(*range(1, 13))):
        with pytest.raises(Refusal, match="of the 12 in the first round") as caught:
            guard.check(a_proposal(serial=9, cohort=cohort), record, a_situation())
        assert caught.value.name == "not-my-block"
    record = guard.check(a_proposal(serial=9), record, a_situation())
    assert record.runs["ab" * 16].block == cohort_of(*range(12))


def test_with_noise_cohorts_may_change_and_another_run_has_another_block():
    guard = a_guard()
    other = cohort_of(*range(15))
    noised = a_proposal(serial=9, cohort=other, noise=NOISE)
    record = guard.check(noised, AGREED, a_situation())
    with pytest.raises(Refusal, match="first round"):  # and the block still stands
        guard.check(a_proposal(serial=10, cohort=other), record, a_situation())
    guard.check(a_proposal(run="cd" * 16, cohort=other), record, a_situation())


# The budget


def spend(guard, record, times):
    """Send so many vectors, each in a round of its own."""
    for _ in range(times):
        run = record.runs.get("ab" * 16)
        proposal = a_proposal(serial=run.serial + 1 if run else 0, noise=NOISE)
        record = guard.check(proposal, record, a_situation())
        record = guard.check_sending(proposal, record)
    return record


def test_the_budget_ends_where_the_accountant_says():
    event = spent_in(a_proposal(noise=NOISE))
    total = epsilon_after([event] * 5, 1e-5, "third")
    guard = a_guard(epsilon_total=total * (1 + 1e-9), delta=1e-5)
    record = spend(guard, Record(), 5)
    assert dict(record.spent()) == {event: 5}
    with pytest.raises(Refusal, match="after this round") as caught:
        spend(guard, record, 1)
    assert caught.value.name == "epsilon-spent"


def test_a_round_that_came_to_nothing_costs_as_much_and_survives_a_restart(vault, door):
    watch = watch_of(a_guard(), vault, door)
    proposal = a_proposal(noise=NOISE)
    watch.agree(proposal, a_situation())
    assert not watch.record.losses  # nothing has left yet
    known = []
    watch.send_vector(proposal, b"x", lambda _: known.append(load_record(vault)))
    assert known[0].spent() == {spent_in(proposal): 1}  # on the disk by then
    assert load_record(vault) == known[0]


def test_against_everybody_the_same_rounds_cost_more():
    total = epsilon_after([spent_in(a_proposal(noise=NOISE))] * 2, 1e-5, "third")
    fields = {"epsilon_total": total * 1.001, "delta": 1e-5}
    spend(a_guard(**fields), Record(), 2)
    with pytest.raises(Refusal, match="epsilon would be"):
        spend(a_guard(**fields, epsilon_against="everybody"), Record(), 2)


def test_after_an_update_without_noise_no_budget_can_be_kept():
    record = a_guard().check(a_proposal(), Record(), a_situation())
    record = a_guard().check_sending(a_proposal(), record)
    assert record.bare == 1
    with pytest.raises(Refusal, match="1 updates left without noise"):
        spend(a_guard(epsilon_total=100.0), record, 1)


def test_the_coordinator_s_own_promise_of_participations_is_held():
    noise = NOISE.model_copy(update={"participations": 2})
    guard, record = a_guard(), Record()
    for serial in range(3):
        proposal = a_proposal(serial=serial, noise=noise)
        if serial == 2:
            with pytest.raises(Refusal, match="took part in 2, agreed to 2"):
                guard.check(proposal, record, a_situation())
            return
        record = guard.check(proposal, record, a_situation())
        record = guard.check_sending(proposal, record)


def test_in_clear_only_the_own_noise_protects():
    masked, clear = (a_proposal(noise=NOISE, masked=m) for m in (True, False))
    one, other = spent_in(masked), spent_in(clear)
    assert dataclasses.replace(one, cohort_size=1) == other
    assert epsilon_after([other], 1e-5) == epsilon_after([one], 1e-5, "everybody")


def test_attempts_at_one_round_count_once_as_rounds():
    guard = a_guard(max_rounds=1)
    record = guard.check(a_proposal(attempt=1), AGREED, a_situation())
    assert record.runs["ab" * 16].rounds == 1


def test_times_in_the_ledger_are_utc_whatever_the_zone_of_the_offer(vault, door):
    watch = watch_of(a_guard(hours="09-17"), vault, door)
    with pytest.raises(Refusal, match="it is 23:30, expected 09-17"):
        watch.agree(a_proposal(), a_situation())
    (entry,) = refusals(vault)
    assert entry.time == NOW.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
