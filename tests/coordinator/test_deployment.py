"""The folder of a deployment: whole or not there, and private."""

import dataclasses
import shutil
import socket
import stat
import threading
from datetime import UTC, datetime

import httpx
import pytest

from proper_client.enrolment import enroll, membership_in
from proper_client.vault import Vault
from proper_coordinator import deployment as module
from proper_coordinator import running, superlink
from proper_coordinator.attendance import Seated
from proper_coordinator.deployment import (
    CHECKPOINTS,
    make_deployment,
    open_deployment,
)
from proper_coordinator.joining import TOO_LATE, take_back, take_in, write_invitation
from proper_coordinator.lead import (
    Leader,
    identity_of,
    link_of,
    plan_of,
    privacy_of,
    seats_of,
)
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
    "line",
    [
        "seed = -1",
        'seed = "1"',
        "address = 'nowhere'",
        "seed =",
        "grouping_rounds = 1",
        'address = "localhost:0"',
        'address = "localhost:99999"',
        'address = "localhost:9444"',
        'task = "taggin"',
        'bounds = {"population/updaet" = 1.0}',
        'bounds = {"populaton/update" = 1.0}',
    ],
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


def test_a_setting_that_fits_no_other_is_explained():
    with pytest.raises(ConfigError, match=r"got task .taggin.*tagging"):
        parse_settings('task = "taggin"')
    with pytest.raises(ConfigError, match="inner_port is the port of address"):
        parse_settings('address = "localhost:9444"')


def test_public_texts_that_are_not_there_are_refused_at_once(tmp_path):
    texts = str(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="no public texts"):
        make_deployment(tmp_path / "d", Settings(public_texts=texts), (), NOW)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(("first", "second"), [("b/../c", "b?..?c"), ("ann", "ann")])
def test_no_invitation_is_written_over_another(
    made, tmp_path, monkeypatch, first, second
):
    monkeypatch.chdir(tmp_path)
    write_invitation(made.folder, first, None)
    (file,) = tmp_path.glob("*.invitation.json")
    before = file.read_bytes()
    other = make_deployment(tmp_path / "other", Settings(), (), NOW)
    with pytest.raises(ConfigError, match="is there already"):
        write_invitation(other.folder, second, None)
    assert file.read_bytes() == before
    assert read_members(other) == ()


def test_an_invitation_that_cannot_be_written_burns_no_seat(made, tmp_path):
    with pytest.raises(ConfigError, match="no folder"):
        write_invitation(made.folder, "ann", tmp_path / "nowhere" / "x")
    with pytest.raises(ConfigError, match="101 characters"):
        write_invitation(made.folder, "a" * 101, tmp_path / "x")
    assert read_members(made) == ()
    write_invitation(made.folder, "a" * 100, tmp_path / "x")


def test_a_seat_that_was_taken_back_stays_empty(made, tmp_path):
    answer, late = (join(made, tmp_path, name) for name in ("ann", "bob"))
    take_in(made.folder, answer)
    lost = read_members(made)[0]
    assert seats_of(made)[0] == Seated(lost.identity, lost.node_key, "ann")
    take_back(made.folder, "ann")
    assert seats_of(made)[0] == Seated(lost.identity, None, "ann")
    with pytest.raises(ConfigError, match="taken back"):
        take_in(made.folder, answer)
    take_back(made.folder, "bob")
    with pytest.raises(ConfigError, match="taken back"):
        take_in(made.folder, late)
    with pytest.raises(ConfigError, match="nobody here is called 'ann'"):
        take_back(made.folder, "ann")
    assert "0 of 2 invited, 2 gone" in "\n".join(describe(made))
    take_in(made.folder, rejoin(made, tmp_path, "ann"))  # with another device
    assert [m.is_here for m in read_members(made)] == [False, False, True]


def rejoin(made, tmp_path, name):
    (tmp_path / "again").mkdir()
    return join(made, tmp_path / "again", name)


def test_who_is_gone_leaves_the_log_when_the_next_run_begins(made, tmp_path):
    for name in ("ann", "bob"):
        take_in(made.folder, join(made, tmp_path, name))
    take_back(made.folder, "ann")
    assert len(made.log.members) == 2
    store = Store(made.room(CHECKPOINTS), "run")
    store.blocks(lambda: ((0, 1),))
    leader = Leader(made, lambda: ())
    leader._begin()
    assert len(made.log.members) == 2  # devices refuse a block with a stranger
    shutil.rmtree(made.folder / CHECKPOINTS)
    leader._begin()
    assert set(made.log.members) == {bytes.fromhex(seats_of(made)[1].identity)}


def test_who_is_admitted_too_late_for_a_run_is_told_so(made, tmp_path):
    assert TOO_LATE not in take_in(made.folder, join(made, tmp_path, "ann"))
    with made.alone("run"):
        assert TOO_LATE in take_in(made.folder, join(made, tmp_path, "bob"))
    Store(made.room(CHECKPOINTS), "run").blocks(lambda: ((0,),))
    assert TOO_LATE in take_in(made.folder, join(made, tmp_path, "cid"))


def test_without_a_number_a_quorum_of_the_members_is_waited_for(made, tmp_path):
    for name in ("ann", "bob", "cid", "dan"):
        take_in(made.folder, join(made, tmp_path, name))
    assert plan_of(made).min_nodes == 3
    chosen = dataclasses.replace(made, settings=Settings(min_clients=4))
    assert plan_of(chosen).min_nodes == 4
    Store(made.room(CHECKPOINTS), "run").blocks(lambda: ((0, 1, 2, 3),))
    assert plan_of(made).min_nodes == 1


def test_a_run_without_enough_members_says_so_at_once(made, tmp_path):
    with pytest.raises(ConfigError, match="0 people are members, expected 1"):
        Leader(made, lambda: ()).run()
    take_in(made.folder, join(made, tmp_path, "ann"))
    chosen = dataclasses.replace(made, settings=Settings(min_clients=4))
    with pytest.raises(ConfigError, match="1 people are members, expected 4"):
        Leader(chosen, lambda: ()).run()


@pytest.mark.parametrize("key", ["address", "inner_port"])
def test_a_port_that_another_program_has_is_named(tmp_path, monkeypatch, key):
    monkeypatch.setattr(running, "FREE_S", 0.0)
    with socket.socket() as taken, socket.socket() as free:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        free.bind(("127.0.0.1", 0))
        ports = [taken.getsockname()[1], free.getsockname()[1]]
        if key == "inner_port":
            ports.reverse()
        free.close()
        settings = Settings(
            address=f"localhost:{ports[0]}", inner_port=ports[1], listen="127.0.0.1"
        )
        made = make_deployment(tmp_path / "d", settings, (), NOW)
        with pytest.raises(ConfigError, match="address already in use") as raised:
            running.keep_up(made.folder, {}, threading.Event(), lambda _: None)
    assert key in raised.value.hint


def test_a_leader_that_ends_while_nobody_answers_is_not_kept(made, monkeypatch):
    said = []
    link = link_of(
        dataclasses.replace(made, settings=Settings(inner_port=1)), said.append
    )
    monkeypatch.setattr(superlink, "PATIENCE_S", 3600.0)
    with pytest.raises(httpx.ConnectError):
        link._part("token", "failed")
    assert said == []
    with pytest.raises(superlink.AwayError, match="no SuperLink answers"):
        link.admit(["key"], patience_s=0.01)
    assert said == ["no SuperLink answers, waiting 0 s; is `up` running?"]
