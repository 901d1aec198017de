"""The folder of a deployment: whole or not there, and private."""

import dataclasses
import stat
from datetime import UTC, datetime

import pytest

from proper_client.enrolment import enroll, membership_in
from proper_client.vault import Vault
from proper_coordinator import deployment as module
from proper_coordinator.deployment import (
    CHECKPOINTS,
    make_deployment,
    open_deployment,
)
from proper_coordinator.joining import take_in, write_invitation
from proper_coordinator.lead import identity_of, privacy_of
from proper_coordinator.ledger import Ledger
from proper_coordinator.members import read_members
from proper_coordinator.plan import Privacy
from proper_coordinator.progress import describe
from proper_coordinator.settings import FILE, Settings, parse_settings, written
from proper_coordinator.store import Store
from proper_shared.errors import ConfigError, DataError, FormatError
from proper_shared.privacy.accounting import Spent, epsilon_after

NOW = datetime.now(UTC)


@pytest.fixture
def made(tmp_path):
    return make_deployment(tmp_path / "d", Settings(seed=4), ("192.0.2.7",), NOW)


def join(made, tmp_path, name):
    invitation, answer = tmp_path / f"{name}.i", tmp_path / f"{name}.a"
    write_invitation(made.folder, name, invitation)
    enroll(invitation, answer, Vault(tmp_path / name))
    return answer


def test_all_is_private_and_opens_again(made):
    for path in (made.folder, *made.folder.iterdir()):
        expected = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == expected
    assert open_deployment(made.folder) == made
    assert len({made.federation, made.runtime_secret.hex()}) == 2


def test_nothing_is_overwritten(made):
    before = {p.name: p.read_bytes() for p in made.folder.iterdir()}
    with pytest.raises(ConfigError, match="nothing is overwritten"):
        make_deployment(made.folder, Settings(), (), NOW)
    assert {p.name: p.read_bytes() for p in made.folder.iterdir()} == before


def test_a_kill_at_any_file_leaves_no_half_made_folder(tmp_path, monkeypatch):
    real, count = module.write_file, []
    for stop in range(8):
        count.clear()

        def dying(*given, stop=stop):
            count.append(1)
            if len(count) > stop:
                raise KeyboardInterrupt
            real(*given)

        monkeypatch.setattr(module, "write_file", dying)
        with pytest.raises(KeyboardInterrupt):
            make_deployment(tmp_path / "d", Settings(), (), NOW)
        assert not (tmp_path / "d").exists()


def test_settings_come_back_from_their_file_and_every_key_is_described():
    chosen = Settings(seed=9, address="proper.example:1234")
    text = written(chosen)
    assert parse_settings(text) == chosen
    for key, field in Settings.model_fields.items():
        assert f"# {field.description}\n" in text
        assert key in text


def test_an_unknown_key_gets_a_hint():
    with pytest.raises(ConfigError, match="unknown key 'cohort_sise'") as raised:
        parse_settings("cohort_sise = 3")
    assert "cohort_size" in raised.value.hint


@pytest.mark.parametrize(
    "line", ["seed = -1", 'seed = "1"', "address = 'nowhere'", "seed ="]
)
def test_a_wrong_value_is_refused(line):
    with pytest.raises(ConfigError, match=FILE):
        parse_settings(line)


def test_epsilon_and_bounds_come_back_from_the_file():
    bounds = {"population/update": 0.5, "group/use": 2.0}
    chosen = Settings(epsilon=8.0, delta=1e-6, bounds=bounds)
    assert parse_settings(written(chosen)) == chosen
    assert privacy_of(chosen) == Privacy(epsilon=8.0, delta=1e-6, bounds=bounds)
    line = 'bounds = {"population/update" = 0.5}'
    assert parse_settings(f"epsilon = 8\n{line}").bounds == {"population/update": 0.5}


@pytest.mark.parametrize("text", ["", "epsilon = 0", "epsilon = 0.0"])
def test_without_epsilon_there_is_no_noise(text):
    assert privacy_of(parse_settings(text)) is None


@pytest.mark.parametrize(
    "line",
    [
        "epsilon = -1",
        "epsilon = inf",
        "epsilon = nan",
        "delta = 0",
        "delta = 1",
        'bounds = {"population/update" = 0}',
        "bounds = 3",
    ],
)
def test_privacy_that_makes_no_sense_is_refused(line):
    with pytest.raises(ConfigError, match=FILE):
        parse_settings(line)


def test_a_run_is_called_by_what_its_result_depends_on(tmp_path):
    plain = make_deployment(tmp_path / "plain", Settings(), (), NOW)
    other = dataclasses.replace(plain, settings=Settings(delta=1e-6))
    noised = dataclasses.replace(plain, settings=Settings(epsilon=8.0))
    names = [identity_of(d) for d in (plain, other, noised)]
    assert names[0] == names[1] != names[2]
    elsewhere = dataclasses.replace(plain, settings=Settings(public_texts="here"))
    assert identity_of(elsewhere) == names[0]


def test_status_says_what_is_spent_of_what_was_wanted(tmp_path):
    made = make_deployment(tmp_path / "d", Settings(epsilon=8.0), (), NOW)
    assert "privacy     epsilon 0 of 8 spent" in describe(made)
    spent = Spent(100.0, 9.0 * 100.0**2 / 11, 30, 5_000)  # z 3, 30 members
    ledger = Ledger(multiplier=3.0, participations=9, spent=((), ()))
    for _ in range(4):
        ledger = ledger.after(1, spent, {"population/update": 0.5})
    Store(made.room(CHECKPOINTS), "run").keep_ledger(ledger)
    epsilon = epsilon_after([spent] * 4, 1e-5)
    (line,) = [line for line in describe(made) if line.startswith("privacy")]
    assert line == f"privacy     epsilon {epsilon:.3g} of 8 spent, delta 1e-05"
    plain = make_deployment(tmp_path / "e", Settings(), (), NOW)
    assert not any(line.startswith("privacy") for line in describe(plain))


def test_only_one_process_does_a_thing(made):
    with made.alone("run"):
        with pytest.raises(ConfigError, match="another process"), made.alone("run"):
            pass
        with made.alone("up"):
            pass
    with made.alone("run"):
        pass


def test_who_is_invited_joins_once(made, tmp_path):
    answer = join(made, tmp_path, "ann")
    take_in(made.folder, answer)
    (member,) = read_members(made)
    own = membership_in(Vault(tmp_path / "ann"))
    assert member.identity == own.identity.public_key().public_bytes_raw().hex()
    assert member.secret is None
    before = read_members(made)
    with pytest.raises(ConfigError, match="is taken"):
        take_in(made.folder, answer)
    assert read_members(made) == before


def test_an_answer_to_another_federation_or_seat_is_refused(made, tmp_path):
    other = make_deployment(tmp_path / "e", Settings(), (), NOW)
    answer = join(made, tmp_path, "ann")
    with pytest.raises(FormatError, match="another federation"):
        take_in(other.folder, answer)
    with pytest.raises(DataError, match="no file"):
        take_in(made.folder, tmp_path / "nothing")
    assert read_members(other) == ()


def test_a_name_is_invited_once_and_no_file_is_overwritten(made, tmp_path):
    out = tmp_path / "x"
    write_invitation(made.folder, "ann", out)
    with pytest.raises(ConfigError, match="invited already"):
        write_invitation(made.folder, "ann", tmp_path / "y")
    with pytest.raises(ConfigError, match="there already"):
        write_invitation(made.folder, "bob", out)
    assert len(read_members(made)) == 1
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_status_is_there_before_the_first_round(made, tmp_path):
    join(made, tmp_path, "ann")
    shown = "\n".join(describe(made))
    assert "0 of 1 invited" in shown
    assert "population     0 of 50 rounds" in shown


def test_no_deployment_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match="there is no") as raised:
        open_deployment(tmp_path / "nowhere")
    assert "init" in raised.value.hint
