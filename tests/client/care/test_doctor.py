"""The doctor says what is fine and what is not, and changes nothing."""

import json
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from invited import certificate

from proper_client.at_rest.key_file import Hardness
from proper_client.at_rest.passphrase import VARIABLE
from proper_client.care import belongings, doctor, installation, standing
from proper_client.care.finding import looked
from proper_client.cli import main
from proper_client.enrolment import enroll
from proper_client.guard_members import LOG, see_log
from proper_client.kept import About
from proper_client.releases.shelf import Kept, Shelf
from proper_client.vault import Vault
from proper_shared.invitations import Invitation
from proper_shared.method.config import Method
from proper_shared.release import STARTER, digest_of, read_manifest
from proper_shared.secagg.keys import HeldSigner
from proper_shared.secagg.membership import Log

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def vault(tmp_path, monkeypatch):
    monkeypatch.delenv("PROPER_PASSPHRASE", raising=False)
    monkeypatch.setattr(Hardness, "stretch", lambda _, p: p.ljust(32, b".")[:32])
    return Vault(tmp_path / "home")


def states(look, *args, **options):
    return [one.state for one in looked(lambda: look(*args, **options))]


def words(look, *args, **options):
    return "\n".join(one.words for one in looked(lambda: look(*args, **options)))


def a_model(vault, **changes):
    about = About(
        task="tagging",
        entries=6,
        kept_aside=0,
        level="group",
        costs={},
        seed=0,
        trained="2026-11-20T10:00:00+00:00",
        release=str(STARTER),
        release_sha256=digest_of(STARTER),
        backbone="nano",
    ).model_copy(update=changes)
    vault.save("tagging", {}, about.model_dump(mode="json"))


def snapshot(folder):
    return {
        str(path): (path.stat().st_mode, path.is_file() and path.read_bytes())
        for path in folder.rglob("*")
    }


def test_a_fresh_machine_is_fine_and_nothing_is_made(vault):
    report = list(doctor.examine(vault, NOW, opens=False))
    here = [(n, one) for n, one in report if n not in {"disk", "memory"}]
    assert doctor.worst(here) == "ok", doctor.as_json(report)
    assert not vault.home.exists()
    assert {name for name, _ in report} >= {"python", "packages", "torch", "clock"}


def test_a_home_in_use_is_fine_and_stays_as_it_was(vault):
    a_model(vault)
    vault.write_record("x", {})
    before = snapshot(vault.home)
    report = list(doctor.examine(vault, NOW, opens=False))
    assert doctor.worst(report) == "warning"  # it is not encrypted
    assert [n for n, one in report if one.state == "warning"] == ["encryption"]
    assert snapshot(vault.home) == before


def test_what_others_could_read_is_wrong(vault):
    a_model(vault)
    assert states(belongings.permissions, vault) == ["ok"]
    vault.path("tagging").chmod(0o644)
    assert states(belongings.permissions, vault) == ["wrong"]
    assert "personal/tagging.safetensors" in words(belongings.permissions, vault)
    vault.path("tagging").chmod(0o600)
    vault.path("tagging").parent.chmod(0o755)
    assert states(belongings.permissions, vault) == ["wrong"]


def test_files_of_somebody_else_are_wrong(vault, monkeypatch):
    a_model(vault)
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    assert "not yours" in words(belongings.permissions, vault)


def test_a_release_or_backbone_that_changed_or_went_is_wrong(vault, tmp_path):
    a_model(vault)
    assert states(belongings.models, vault, opens=False) == ["ok"]
    a_model(vault, release="starter")
    assert states(belongings.models, vault, opens=False) == ["ok"]
    a_model(vault, release_sha256="ab" * 32)
    assert "is another than in training" in words(belongings.models, vault, opens=False)
    a_model(vault, release=str(tmp_path / "gone"))
    assert "is gone" in words(belongings.models, vault, opens=False)
    a_model(vault, backbone="someone/some-model")
    (finding,) = looked(lambda: belongings.models(vault, opens=False))
    assert finding.state == "warning"
    assert "the hub is asked" in finding.words


def test_a_damaged_model_is_wrong_and_the_others_are_looked_at(vault):
    a_model(vault)
    whole = vault.path("tagging").read_bytes()
    (vault.home / "personal" / "rating.safetensors").write_bytes(whole[:40])
    assert states(belongings.models, vault, opens=False) == ["wrong", "ok"]


def test_what_killed_processes_left_is_minded(vault):
    a_model(vault)
    assert states(belongings.leftovers, vault) == ["ok"]
    (vault.home / "personal" / ".tagging.safetensors.4194999.tmp").write_bytes(b"x")
    assert states(belongings.leftovers, vault) == ["warning"]


def test_a_policy_that_cannot_be_read_is_wrong(vault):
    a_model(vault)
    (vault.home / "policy.toml").write_text("min_cohorts = 3")
    (finding,) = looked(lambda: belongings.policy(vault))
    assert (finding.state, "min_cohort" in finding.hint) == ("wrong", True)


def test_a_home_that_is_a_file_is_wrong(tmp_path):
    (tmp_path / "home").write_text("mine")
    assert states(belongings.home, Vault(tmp_path / "home")) == ["wrong"]


def test_a_pulled_release_is_held_against_its_hash_and_its_date(vault):
    shelf, digest = Shelf(vault.home), digest_of(STARTER)
    shelf.prepare()
    kept = Kept(digest=digest, version=3, backbone="nano")
    names = ["release.json", *read_manifest(STARTER).files]
    for name in names:
        (shelf.incoming / name).write_bytes((STARTER / name).read_bytes())
    shelf.take(kept, {name: shelf.incoming / name for name in names})
    stamp = shelf.seen / "timestamp.json"
    stamp.write_text(json.dumps({"signed": {"expires": "2026-11-25T00:00:00Z"}}))
    assert states(standing.release, vault, NOW) == ["ok", "ok"]
    assert states(standing.release, vault, NOW + timedelta(days=9)) == ["ok", "warning"]
    early = NOW - timedelta(days=90)
    assert states(standing.clock, vault, early, opens=False) == ["wrong"]
    assert states(standing.clock, vault, NOW, opens=False) == ["ok"]
    stamp.write_text("{}")
    assert "damaged" in words(standing.release, vault, NOW)
    (shelf.place(kept) / "experts.safetensors").write_bytes(b"x")
    assert "experts.safetensors has 1 bytes" in words(standing.release, vault, NOW)


def test_a_ledger_that_was_edited_is_wrong(vault):
    assert states(standing.ledger, vault) == ["ok"]
    with vault.journal("ledger") as journal:
        journal.append(b"not an entry")
    assert states(standing.ledger, vault) == ["wrong"]


def test_a_package_of_another_version_or_none_is_wrong(monkeypatch):
    asked = ["click>=8.1", "packaging>=99", "no-such-package>=1", 'tuf<1; extra == "x"']
    monkeypatch.setattr(installation.importlib.metadata, "requires", lambda _: asked)
    found = list(installation.packages())
    assert [one.state for one in found] == ["wrong", "wrong", "warning", "ok"]
    assert "expected >=99" in found[0].words
    assert "no-such-package is missing" in found[1].words
    assert "[x]" in found[2].hint


def test_a_python_that_is_too_old_is_wrong(monkeypatch):
    monkeypatch.setattr(installation.platform, "python_version", lambda: "3.10.1")
    assert states(installation.python) == ["wrong"]


def test_a_disk_that_is_nearly_full_is_told(tmp_path, monkeypatch):
    def look(free):
        usage = SimpleNamespace(free=free)
        monkeypatch.setattr(installation.shutil, "disk_usage", lambda _: usage)
        return states(installation.disk, tmp_path / "not" / "there")

    assert [look(n) for n in (1 << 20, 1 << 28, 1 << 33)] == [
        ["wrong"],
        ["warning"],
        ["ok"],
    ]


def test_little_memory_is_told_where_the_system_tells(tmp_path):
    told = tmp_path / "meminfo"
    assert states(installation.memory, told) == ["ok"]
    told.write_text("MemTotal: 9 kB\nMemAvailable:  500000 kB\n")
    assert states(installation.memory, told) == ["warning"]


def test_the_membership_and_its_log_are_held_against_each_other(vault, enrolled):
    assert states(standing.federation, vault, opens=False) == ["ok", "ok"]
    assert "4 entries" in words(standing.federation, vault, opens=False)
    vault.write_state("membership-log", enrolled.dump()[:-300] + b"\n")
    assert states(standing.federation, vault, opens=False)[-1] == "wrong"


@pytest.fixture
def enrolled(vault, tmp_path):
    """A device in a federation whose log it saw."""
    coordinator = HeldSigner(bytes([1]) * 32)
    log = Log.found(coordinator, None, date(2026, 11, 1))
    for seed in (2, 3, 4):
        who = HeldSigner(bytes([seed]) * 32).identity
        log = log.add(coordinator, who, date(2026, 11, 2))
    invitation = Invitation(
        founding=log.entries[0].dump().decode(),
        number=0,
        name="ann",
        address="fed.example.org:9443",
        ca_certificate=certificate(),
        secret="ab" * 32,
        backbone="nano",
        task="tagging",
        method=Method(),
        seed=0,
    )
    (tmp_path / "invitation.json").write_text(invitation.model_dump_json())
    enroll(tmp_path / "invitation.json", tmp_path / "answer.json", vault)
    see_log(vault, log.federation, log.dump(), NOW)
    vault.write_state(LOG, log.dump())
    return log


def call(*options, **environment):
    return CliRunner().invoke(main, ["doctor", *options], env=environment)


def test_a_locked_vault_is_opened_only_where_that_is_wanted(vault, tmp_path):
    a_model(vault)
    secret = tmp_path / "secret"
    secret.write_text("five words are good enough")
    home = ["--home", str(vault.home)]
    CliRunner().invoke(main, ["lock", *home, "--passphrase-file", str(secret)])
    closed = call(*home)
    assert closed.exit_code == 0, closed.output
    assert "--open looks inside" in closed.stdout
    opened = call(*home, "--passphrase-file", str(secret), "--json")
    assert opened.exit_code == 0, opened.output
    report = json.loads(opened.stdout)
    assert report["state"] == "ok"
    told = {check["check"]: check["words"] for check in report["checks"]}
    assert "opens it" in told["encryption"]
    assert "tagging opens" in told["models"]


def test_a_wrong_passphrase_is_one_finding_and_asked_for_once(vault):
    a_model(vault)
    home = ["--home", str(vault.home)]
    CliRunner().invoke(main, ["lock", *home], env={VARIABLE: "correct horse"})
    done = call(*home, **{VARIABLE: "another horse"})
    assert done.exit_code == 1
    assert done.stdout.count("not the passphrase") == 1
    assert "1 wrong" in done.stdout
    assert "horse" not in done.output


def test_what_is_wrong_ends_with_one_and_says_what_to_do(vault):
    a_model(vault)
    vault.path("tagging").chmod(0o666)
    done = call("--home", str(vault.home))
    assert done.exit_code == 1
    assert "hint: close them" in done.stdout
    assert Path(vault.path("tagging")).stat().st_mode & 0o777 == 0o666
