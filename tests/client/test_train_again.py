"""`train` again: what is new is learnt, what was cut short goes on."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from keychains import by_keyring
from toy_history import NOW, entries, written
from toy_release import toy_release

from proper_client.assistant import learn, train
from proper_client.at_rest import files
from proper_client.kept import load_all
from proper_client.summary import after_learning, status
from proper_client.vault import Vault
from proper_client.wish import Wish, take_in
from proper_shared.errors import ConfigError, DataError, FormatError


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return toy_release(tmp_path_factory.mktemp("toy") / "release")


@pytest.fixture(scope="module")
def began(release, tmp_path_factory):
    """A vault whose model knows ten entries; nobody writes into it."""
    folder = tmp_path_factory.mktemp("began")
    wish = Wish(written(folder / "my.json", entries(10)), release)
    train(wish, Vault(folder / "home"), NOW)
    return folder / "home"


@pytest.fixture
def vault(began, tmp_path):
    """The same, to write into."""
    home = tmp_path / "home"
    shutil.copytree(began, home)
    return Vault(home)


def test_the_same_history_twice_adds_and_changes_nothing(vault, tmp_path, release):
    before = vault.path("tagging").read_bytes()
    wish = Wish(written(tmp_path / "my.json", entries(10)), release)
    done = learn(wish, vault, "2027-01-01", None)
    assert (done.course.way, done.added) == ("nothing", 0)
    assert vault.path("tagging").read_bytes() == before
    assert "nothing new" in after_learning(done, vault, 1, None)[0]


def test_new_entries_are_learnt_beside_those_of_before(vault, tmp_path):
    wish = Wish(written(tmp_path / "more.json", entries(12, 8)))  # two are there
    done = learn(wish, vault, NOW)
    assert (done.course.way, done.added, done.about.later) == ("later", 2, 2)
    assert (done.about.entries, done.about.kept_aside) == (12, 2)
    assert [entry.date[-2:] for entry in vault.history("tagging")][-1] == "12"
    _, about, learnt = load_all(vault, "tagging")
    assert about == done.about
    assert list(learnt.costs) == [entry.id for entry in vault.history("tagging")]
    told = "\n".join(after_learning(done, vault, 1, None))
    assert "2 new entries for tagging in 1 s, beside 10 of before" in told


def test_what_is_kept_is_learnt_without_a_file(vault):
    done = learn(Wish(anew=True), vault, NOW)
    assert (done.course.way, done.about.entries) == ("anew", 10)


def test_training_from_what_is_kept_is_training_from_the_file(vault, began):
    _, path = train(Wish(anew=True), vault, NOW)
    assert path.read_bytes() == Vault(began).path("tagging").read_bytes()


def test_a_model_stays_on_the_release_and_seed_that_its_person_chose(
    vault, tmp_path, release
):
    train(Wish(None, release, seed=5), vault, NOW)
    about, _ = train(Wish(written(tmp_path / "m.json", entries(11))), vault, NOW)
    assert (about.release, about.seed, about.later) == (str(release.resolve()), 5, 1)


def test_several_tasks_have_each_their_own(vault, tmp_path):
    other = toy_release(tmp_path / "release", task="rating")
    score = [{"text": "the kettle sings", "output": "5"}]
    path = tmp_path / "my.json"
    path.write_text(json.dumps({"task": "rating", "entries": score}))
    before = vault.path("tagging").read_bytes()
    train(Wish(path, other), vault, NOW)
    assert vault.tasks() == ["rating", "tagging"]
    assert vault.path("tagging").read_bytes() == before
    with pytest.raises(ConfigError, match="histories for rating and tagging") as caught:
        take_in(Wish(), vault)
    assert "--task" in caught.value.hint
    assert learn(Wish(task="rating"), vault, NOW).course.way == "nothing"
    assert "task        rating" in "\n".join(status(vault))


def test_who_gave_nothing_is_told_so(tmp_path):
    with pytest.raises(DataError, match="no history") as caught:
        take_in(Wish(), Vault(tmp_path / "home"))
    assert "--history" in caught.value.hint
    assert not (tmp_path / "home").exists()


def test_a_history_for_another_release_is_not_kept(vault, tmp_path, release):
    path = tmp_path / "my.json"
    entry = {"text": "the kettle sings", "output": "5"}
    path.write_text(json.dumps({"task": "rating", "entries": [entry]}))
    with pytest.raises(ConfigError, match="was made for tagging"):
        learn(Wish(path, release), vault, NOW)
    assert vault.histories() == ["tagging"]


def test_the_same_entry_twice_is_learnt_once(tmp_path, release):
    vault = Vault(tmp_path / "home")
    path = written(tmp_path / "my.json", [*entries(3), entries(3)[-1]])
    taken = take_in(Wish(path, release), vault)
    assert "1 entries that were there already" in "\n".join(taken.left_out)
    assert learn(Wish(path, release), vault, NOW).about.entries == 3


@pytest.mark.parametrize("first", ["dated", "undated"])
def test_dated_and_undated_entries_are_not_mixed_and_nothing_is_lost(
    first, tmp_path, release
):
    vault = Vault(tmp_path / "home")
    plain = [{**entry, "text": f"a {entry['text']}"} for entry in entries(4)]
    for entry in plain:
        del entry["date"]
    both = [
        written(tmp_path / "d.json", entries(4)),
        written(tmp_path / "u.json", plain),
    ]
    one, two = both if first == "dated" else reversed(both)
    train(Wish(one, release), vault, NOW)
    before = vault.history("tagging")
    with pytest.raises(DataError, match="nobody knows what is older") as caught:
        train(Wish(two, release), vault, NOW)
    assert caught.value.hint
    assert vault.history("tagging") == before


@pytest.mark.parametrize("way", ["anew", "later"])
def test_a_training_cut_short_goes_on_by_the_same_command_to_the_same_bytes(
    way, vault, tmp_path
):
    count = 12 if way == "later" else 10
    wish = Wish(written(tmp_path / "m.json", entries(count)), anew=way == "anew")
    twin = Vault(tmp_path / "twin")
    shutil.copytree(vault.home, twin.home)
    whole = learn(wish, twin, NOW).path.read_bytes()
    before = vault.path("tagging").read_bytes()

    def stop(_what, done, _total, _loss):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(wish, vault, NOW, stop, every_s=0)
    assert vault.path("tagging").read_bytes() == before
    resumed = learn(replace(wish, resume=True), vault, NOW)
    assert resumed.resumed
    assert resumed.path.read_bytes() == whole
    assert vault.read_checkpoint("tagging") is None
    assert "cut short" in "\n".join(after_learning(resumed, vault, 1, None))


def test_a_damaged_checkpoint_is_in_the_way_of_all_but_a_training_anew(vault, tmp_path):
    more = Wish(written(tmp_path / "m.json", entries(12)))

    def stop(_what, done, *_):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(more, vault, NOW, stop, every_s=0)
    path = vault.home / "training" / "tagging.checkpoint"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(
        FormatError, match="checkpoint for tagging is damaged"
    ) as caught:
        learn(more, vault, NOW)
    assert "train --anew" in caught.value.hint
    assert not learn(replace(more, anew=True), vault, NOW).resumed
    assert not path.exists()


def test_nothing_to_resume_is_an_error(vault, tmp_path):
    more = written(tmp_path / "m.json", entries(12))
    with pytest.raises(DataError, match="no training for tagging was cut short"):
        learn(Wish(more, resume=True), vault, NOW)
    with pytest.raises(DataError, match="no training for tagging was cut short"):
        learn(Wish(resume=True, anew=False, task="tagging"), Vault(vault.home), NOW)


def test_a_killed_process_goes_on_to_the_same_bytes(vault, tmp_path):
    """One that is really killed, by a signal that nobody can catch."""
    written(tmp_path / "m.json", entries(12))
    twin = Vault(tmp_path / "twin")
    shutil.copytree(vault.home, twin.home)
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from proper_client.assistant import learn\n"
        "from proper_client.vault import Vault\n"
        "from proper_client.wish import Wish\n"
        "def stop(_what, done, *_):\n"
        "    if done == 2 and sys.argv[3] == 'kill':\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        f"learn(Wish(Path(sys.argv[1])), Vault(Path(sys.argv[2])), {NOW!r}, stop,"
        " every_s=0)\n"
    )

    def run(home, what):
        words = [sys.executable, "-c", code, str(tmp_path / "m.json"), str(home), what]
        return subprocess.run(words, check=False, env=os.environ).returncode  # noqa: S603

    assert run(vault.home, "kill") == -signal.SIGKILL
    assert vault.read_checkpoint("tagging") is not None
    assert run(vault.home, "go on") == run(twin.home, "whole") == 0
    assert vault.path("tagging").read_bytes() == twin.path("tagging").read_bytes()


def test_a_checkpoint_of_a_locked_vault_is_sealed(tmp_path, release):
    vault = Vault(tmp_path / "home", by_keyring(tmp_path / "chain"))
    wish = Wish(written(tmp_path / "m.json", entries(6)), release)

    def stop(_what, done, *_):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(wish, vault, NOW, stop, every_s=0)
    path = vault.home / "training" / "tagging.checkpoint"
    assert path.read_bytes().startswith(b"PROPER")
    assert not vault.files.is_clear("training/tagging.checkpoint")
    assert learn(wish, vault, NOW).resumed


def test_a_model_that_knows_what_the_history_holds_no_more_begins_anew(vault):
    vault.keep_history("tagging", vault.history("tagging")[:-1])
    assert "1 still to forget" in "\n".join(status(vault))
    done = learn(Wish(), vault, NOW)
    assert "holds no more" in done.course.why
    assert "to forget" not in "\n".join(status(vault))


def test_status_says_what_is_still_to_learn(vault):
    taken = take_in(Wish(), vault)
    more = [replace(taken.entries[-1], id="f" * 16, text="another")]
    vault.keep_history("tagging", [*taken.entries, *more])
    assert "1 more to learn" in "\n".join(status(vault))


def test_another_process_that_adds_meanwhile_loses_nothing(vault, tmp_path):
    taken = take_in(Wish(written(tmp_path / "m.json", entries(12))), vault)
    before = vault.history("tagging")
    vault.keep_history("tagging", before[:-1])
    with pytest.raises(ConfigError, match="meanwhile") as caught:
        learn(Wish(), vault, NOW, taken=taken)
    assert caught.value.hint == "repeat the command"
    assert vault.history("tagging") == before[:-1]


def test_a_home_that_learns_already_is_left_alone(vault, tmp_path):
    wish = Wish(written(tmp_path / "m.json", entries(12)))
    with vault.learning(), pytest.raises(ConfigError, match="another process"):
        learn(wish, Vault(vault.home), NOW)
    assert len(vault.history("tagging")) == 10


@pytest.mark.parametrize("folder", ["history", "training", "personal"])
def test_a_disk_that_is_full_costs_nothing(folder, vault, tmp_path, monkeypatch):
    wish = Wish(written(tmp_path / "m.json", entries(12)))
    old = vault.path("tagging").read_bytes()
    real = files.write_pieces

    def full(path, *args):
        if path.parent.name == folder:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, *args)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_pieces", full)
        with pytest.raises(ConfigError, match="is full"):
            learn(wish, vault, NOW, every_s=0)
    assert vault.path("tagging").read_bytes() == old
    assert len(vault.history("tagging")) == (10 if folder == "history" else 12)
    assert learn(wish, vault, NOW).about.entries == 12


def test_a_home_that_cannot_be_written_is_said_before_anything_is_learnt(
    vault, tmp_path, monkeypatch
):
    wish = Wish(written(tmp_path / "m.json", entries(12)))
    steps = []
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anywhere
    with pytest.raises(ConfigError, match="cannot write") as caught:
        learn(wish, vault, NOW, lambda *call: steps.append(call))
    assert "--home" in caught.value.hint
    assert steps == []
