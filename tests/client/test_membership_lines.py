"""What a person sees of their federation, in `status` and below the ledger."""

import re
from datetime import date

import pytest
from click.testing import CliRunner
from invited import COORDINATOR, FOUNDED, written
from offered import NOISE, NOW, a_proposal

from proper_client.cli import main
from proper_client.enrolment import enroll
from proper_client.guard_members import LOG, see_log
from proper_client.guard_record import Record, load_record, save_record
from proper_client.guard_terms import spent_in
from proper_client.ledger import Door, Ledger
from proper_client.ledger_entry import Place, Purpose
from proper_client.vault import Vault
from proper_shared.privacy.accounting import epsilon_after


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def member(home, tmp_path):
    return enroll(written(tmp_path), tmp_path / "answer.json", Vault(home))


def show(home, command):
    done = CliRunner().invoke(main, [command, "--home", str(home)])
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def take_part(home, member, noise, runs=2):
    """Leave a home as after one update in each run."""
    vault, record = Vault(home), Record(identity=member.name)
    for run in range(runs):
        terms = a_proposal(run=f"{run:02x}" * 16, noise=noise)
        record = record.after_agreeing(terms.offer)
        record = record.after_sending(terms.offer, spent_in(terms))
    save_record(vault, record)
    log = FOUNDED.add(COORDINATOR, member.signer.identity, date(2026, 11, 1))
    see_log(vault, log.federation, log.dump(), NOW)
    vault.write_state(LOG, log.dump())
    with Ledger(vault, lambda: NOW) as ledger, Door(ledger, "here:1") as door:
        place = Place("00" * 16, 6, 0, "population")
        door.send(b"numbers", Purpose.MASKED_UPDATE, lambda _: None, place)
    return runs


def test_who_is_in_no_federation_reads_of_none(home):
    assert "seat" not in show(home, "status")
    assert "privacy" not in show(home, "ledger")


@pytest.mark.usefixtures("member")
def test_a_device_that_enrolled_sees_where_and_that_it_waits(home):
    seen = show(home, "status")
    assert "federation localhost:9443 for tagging, as ann (seat 3)" in seen
    assert "enrolled; it has not been seen among the members yet" in seen
    assert "no update has left this device yet" in seen
    assert "no epsilon_total is set; this device was in no run yet" in seen


def test_what_is_spent_of_a_budget_is_said_wherever_one_looks(home, member):
    take_part(home, member, NOISE)
    event = spent_in(a_proposal(noise=NOISE))
    epsilon = epsilon_after([event] * 2, 1e-5, "third")
    (home / "policy.toml").write_text("epsilon_total = 80.0\n")
    said = f"privacy {epsilon:.3g} of 80 spent, in 2 runs"
    for command in ("status", "ledger"):
        assert said in show(home, command)
    seen = show(home, "status")
    assert "a member since 2026-11-21, with 0 other members" in seen
    assert "last update on 2026-11-21 22:30 UTC, population sum 6" in seen


def test_without_a_budget_what_left_bare_is_counted(home, member):
    take_part(home, member, None, runs=1)
    for command in ("status", "ledger"):
        assert "1 update left without noise, in 1 run: no eps" in show(home, command)


def test_a_record_that_is_gone_is_told_and_hides_nothing_else(home, member):
    take_part(home, member, None)
    (home / "federation" / "record.json").unlink()
    assert load_record(Vault(home)) is None
    assert re.search(r"privacy record.json is gone", show(home, "ledger"))
    assert re.search(
        r"federation record.json is gone.*no personal", show(home, "status")
    )


def test_a_ledger_can_be_read_while_all_else_is_locked(home, member, tmp_path):
    take_part(home, member, None)
    (tmp_path / "words").write_text("a long passphrase of ours")
    opened = ["--home", str(home), "--new-passphrase-file", str(tmp_path / "words")]
    done = CliRunner().invoke(main, ["lock", "--with", "passphrase", *opened])
    if done.exit_code:  # `lock` takes the passphrase by its other option
        opened[2] = "--passphrase-file"
        done = CliRunner().invoke(main, ["lock", "--with", "passphrase", *opened])
    assert done.exit_code == 0, done.output
    assert "privacy locked away" in show(home, "ledger")
