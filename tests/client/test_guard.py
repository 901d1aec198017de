"""The guard: each refusal has its name, leaves all as it was, and is shown."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from offered import (
    AGREED,
    LONG_AGO,
    ME,
    MEMBERS,
    NOISE,
    NOW,
    YESTERDAY,
    a_guard,
    a_proposal,
    a_situation,
    an_order,
    cohort_of,
    newcomers,
    refusals,
    watch_of,
)

from proper_client.guard import (
    Acquaintance,
    check_message,
    refuse_bundle,
)
from proper_client.guard_record import Record, load_record
from proper_client.guard_terms import order_hash
from proper_client.ledger import Door, Ledger
from proper_client.ledger_entry import read_ledger
from proper_client.vault import Vault
from proper_shared.secagg.checks import Refusal

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
        a_proposal(bounds={"update": 2e6, "loss": 1.0, "norms": 60.0}),
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


def test_only_under_a_budget_of_the_person_cohorts_may_change():
    other = cohort_of(*range(15))
    noised = a_proposal(serial=9, cohort=other, noise=NOISE)
    a_guard(epsilon_total=50.0).check(noised, AGREED, a_situation())
    guard = a_guard()  # faint noise alone does not free the cohort
    for offered in (noised, a_proposal(serial=9, cohort=other)):
        with pytest.raises(Refusal, match="first round"):
            guard.check(offered, AGREED, a_situation())
    guard.check(a_proposal(run="cd" * 16, cohort=other), AGREED, a_situation())


BOUNDS = {"update": 1.0, "loss": 10.0}  # without those of norms


def refused(call, *args):
    with pytest.raises(Refusal) as caught:
        call(*args)
    return caught.value.name


def test_of_an_order_one_sum_alone_is_opened():
    guard, order = a_guard(), an_order()
    everybody = tuple(range(12))
    signed = guard.check_agreeing(a_proposal(order), everybody, AGREED)
    for other in (
        a_proposal(order, run="cd" * 16),
        a_proposal(replace(order, round=7), serial=9),  # rounded in another way
        a_proposal(order, serial=9, bounds={**BOUNDS, "update": 0.9, "norms": 60.0}),
        a_proposal(order, serial=9, bounds=BOUNDS),
        a_proposal(order, serial=9, ring_bits=24),
    ):
        assert refused(guard.check, other, signed, a_situation()) == "same-order"
        again = refused(guard.check_agreeing, other, everybody, signed)
        assert again == "same-order"
    moved = replace(order, parameters=order.parameters + 1)
    guard.check(a_proposal(moved, serial=9), signed, a_situation())
    guard.check(a_proposal(order, serial=9), AGREED, a_situation())


def test_the_very_same_sum_is_signed_again_for_the_same_members_alone():
    guard, order = a_guard(), an_order()
    signed = guard.check_agreeing(a_proposal(order), range(11), AGREED)
    for change in ({"attempt": 1}, {"serial": 9}):
        again = a_proposal(order, **change)
        guard.check(again, signed, a_situation())
        assert guard.check_agreeing(again, range(11), signed) == signed
        for others in (range(12), range(10), range(1, 12)):
            name = refused(guard.check_agreeing, again, others, signed)
            assert name == "same-order"


def test_the_norms_of_an_order_are_told_once_in_a_probe_or_beside_an_update():
    guard, order, everybody = a_guard(), an_order(), range(12)
    probe = a_proposal(order, bounds={})
    beside, without = (
        a_proposal(order, serial=4),
        a_proposal(order, serial=4, bounds=BOUNDS),
    )
    probed = guard.check_agreeing(probe, everybody, AGREED)
    told = guard.check_agreeing(a_proposal(order), everybody, AGREED)
    for offered, record in (
        (beside, probed),
        (a_proposal(order, serial=4, bounds={}), told),
        (a_proposal(replace(order, round=7), serial=4, bounds={}), probed),
    ):
        name = refused(guard.check, offered, record, a_situation())
        assert name == "same-norms"
        name = refused(guard.check_agreeing, offered, everybody, record)
        assert name == "same-norms"
    guard.check(without, probed, a_situation())  # as every honest round goes on
    guard.check_agreeing(without, range(9), probed)


def test_under_a_budget_of_the_person_noise_hides_who_is_in_a_sum():
    guard, noised = a_guard(epsilon_total=50.0), a_proposal(noise=NOISE)
    signed = guard.check_agreeing(noised, range(12), AGREED)
    again = a_proposal(noise=NOISE, serial=4)
    guard.check(again, signed, a_situation())
    assert guard.check_agreeing(again, range(9), signed) == signed


def test_what_an_earlier_version_signed_is_never_signed_again():
    order = an_order()
    signed = order_hash(a_proposal(order))
    words = AGREED.model_dump(mode="json", include={"format", "runs", "losses", "bare"})
    record = Record.model_validate_json(json.dumps({**words, "signed": [signed]}))
    again = a_proposal(order, attempt=1)
    assert refused(a_guard().check, again, record, a_situation()) == "same-order"


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
