"""What a device agreed to, and lost, is on its disk before anything leaves."""

from datetime import UTC

import pytest
from offered import (
    AGREED,
    ME,
    NOISE,
    NOW,
    a_guard,
    a_proposal,
    a_situation,
    cohort_of,
    refusals,
    watch_of,
)

from proper_client.guard_record import Record, load_record, save_record
from proper_client.guard_terms import spent_in
from proper_client.guard_watch import Watch
from proper_client.ledger import Door, Ledger
from proper_client.ledger_entry import Place
from proper_client.vault import Vault
from proper_shared.errors import ConfigError, FormatError
from proper_shared.privacy.accounting import epsilon_after
from proper_shared.secagg.checks import Refusal


@pytest.fixture
def vault(tmp_path):
    return Vault(tmp_path / "home")


@pytest.fixture
def door(vault):
    with Ledger(vault, lambda: NOW) as ledger:
        yield Door(ledger, "there:9092")


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
    assert watch.record == Record(identity=ME.hex())


def test_a_damaged_record_is_never_a_fresh_start(vault, door):
    save_record(vault, AGREED)
    path = vault.home / "federation" / "record.json"
    for data in (b"", b"{", b'{"format":2}', b'{"format":1,"bare":-1}', b"[]"):
        path.write_bytes(data)
        with pytest.raises(FormatError) as caught:
            Watch(a_guard(), vault, door)
        assert "enrol anew" in caught.value.hint


# The vector leaves once


def test_a_vector_leaves_once_for_an_attempt_that_was_agreed_to(vault, door):
    watch = watch_of(a_guard(), vault, door)
    with pytest.raises(Refusal) as caught:
        watch.before_sending(a_proposal())
    assert caught.value.name == "old-round"
    watch.agree(a_proposal(), a_situation())
    called = watch.before_sending(a_proposal())
    assert called == ("masked update", Place("ab" * 16, 3, 0, "population"))
    after = load_record(vault)
    for other, name in (
        (a_proposal(), "sent-already"),
        (a_proposal(attempt=1), "old-round"),
        (a_proposal(serial=2), "old-round"),
        (a_proposal(run="cd" * 16), "old-round"),
        (a_proposal(cohort=cohort_of(*range(13))), "old-round"),  # other terms
    ):
        for post in (watch, Watch(a_guard(), vault, door)):  # and after a restart
            with pytest.raises(Refusal) as caught:
                post.before_sending(other)
            assert caught.value.name == name
    assert load_record(vault) == after
    assert len(refusals(vault)) == 11


def test_a_vector_in_clear_is_called_so(vault, door):
    watch = watch_of(a_guard(allow_unmasked=True), vault, door)
    proposal = a_proposal(masked=False, bounds={})
    watch.agree(proposal, a_situation())
    assert watch.before_sending(proposal)[0] == "update"


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
    watch.before_sending(proposal)
    assert load_record(vault).spent() == {spent_in(proposal): 1}
    with pytest.raises(Refusal, match="epsilon would be"):  # and it counts
        Watch(a_guard(epsilon_total=1e-3), vault, door).agree(
            a_proposal(serial=4, noise=NOISE), a_situation()
        )


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
    with pytest.raises(Refusal, match="1 update left without noise"):
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


def test_noise_in_clear_or_in_a_probe_is_refused(vault, door):
    watch = watch_of(a_guard(allow_unmasked=True), vault, door)
    for odd in ({"masked": False}, {"bounds": {}}):
        with pytest.raises(Refusal) as caught:
            watch.agree(a_proposal(noise=NOISE, **odd), a_situation())
        assert caught.value.name == "odd-noise"


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
