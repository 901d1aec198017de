"""What is forgotten is gone: from the history, the model, and every other file."""

import subprocess

import pytest
from click.testing import CliRunner
from faults import KILLS, killed_everywhere
from keychains import by_keyring
from toy_history import NOW, entries, written
from toy_release import toy_release

from proper_client.assistant import learn, train
from proper_client.choosing import Selection, to_forget
from proper_client.cli import main
from proper_client.forgetting import forget
from proper_client.remains import search
from proper_client.summary_own import after_forgetting, before_forgetting
from proper_client.vault import Vault
from proper_client.wish import Wish
from proper_shared.errors import ConfigError, DataError

COUNT = 8


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return toy_release(tmp_path_factory.mktemp("toy") / "release")


@pytest.fixture(scope="module")
def began(release, tmp_path_factory):
    """A vault whose model knows eight entries; nobody writes into it."""
    folder = tmp_path_factory.mktemp("began")
    wish = Wish(written(folder / "my.json", entries(COUNT)), release)
    train(wish, Vault(folder / "home"), NOW)
    return folder / "home"


@pytest.fixture
def vault(began, tmp_path):
    """The same, to write into."""
    home = tmp_path / "home"
    subprocess.run(["cp", "-r", began, home], check=True)
    return Vault(home)


def part(vault, **choice):
    return to_forget(vault, Selection(**choice), None, everything=False)[0]


def numbers(vault, **choice):
    return [number for number, _ in part(vault, **choice).gone]


def test_entries_are_chosen_by_number_id_words_and_date(vault):
    ids = [entry.id for entry in vault.history("tagging")]
    assert numbers(vault, named=("2", "4-6")) == [2, 4, 5, 6]
    assert numbers(vault, named=(ids[6], "1")) == [1, 7]
    assert numbers(vault, match="CHEF") == [3]
    assert numbers(vault, match="Drama") == [2, 4, 6, 8]
    assert numbers(vault, before="2026-01-03") == [1, 2]
    assert numbers(vault, after="2026-01-06T12:00:00") == [7, 8]
    assert numbers(vault, after="2026-01-02", before="2026-01-05") == [3, 4]
    assert numbers(vault, match="drama", before="2026-01-05") == [2, 4]


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"named": ("9",)}, "no entry '9' among 8"),
        ({"named": ("0",)}, "no entry '0'"),
        ({"named": ("x",)}, "no entry 'x'"),
        ({"named": ("3-99",)}, "no entry '3-99'"),
        ({"before": "yesterday"}, "--before: got 'yesterday'"),
        ({}, "got nothing to forget"),
    ],
)
def test_a_choice_that_means_nothing_is_refused(vault, choice, words):
    with pytest.raises(ConfigError, match=words) as caught:
        part(vault, **choice)
    assert caught.value.hint


def test_entries_without_dates_are_not_chosen_by_date(tmp_path):
    vault = Vault(tmp_path)
    vault.save_history("tagging", [b'{"id": "a", "text": "b", "output": "comedy"}\n'])
    with pytest.raises(DataError, match="no dates to choose by"):
        part(vault, before="2026-01-31")
    with pytest.raises(DataError, match="none of 1 entries"):
        part(vault, match="xyz")


def test_the_model_is_bit_for_bit_one_that_never_saw_them(vault, release, tmp_path):
    told = forget(vault, part(vault, named=("2", "5")), "2027-01-01")
    some = entries(COUNT)
    never = written(tmp_path / "never.json", [some[n] for n in (0, 2, 3, 5, 6, 7)])
    other = Vault(tmp_path / "never")
    train(Wish(never, release), other, "2027-01-01")
    assert vault.path("tagging").read_bytes() == other.path("tagging").read_bytes()
    history = "history/tagging.entries"
    kept = [(one.home / history).read_bytes() for one in (vault, other)]
    assert kept[0] == kept[1]
    assert told.search.found == ()
    assert told.search.files >= 2


def test_nothing_of_them_is_left_also_where_something_was_cut_short(vault, tmp_path):
    canary = {"text": "xylophone Quarzsandgrube \u2028 4711", "output": "comedy"}
    more = [*entries(COUNT), {**canary, "date": "2026-01-30"}]

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learn(Wish(written(tmp_path / "m.json", more)), vault, NOW, stop, every_s=0)
    left = vault.home / "personal" / ".tagging.safetensors.999999999.tmp"
    left.write_bytes(b"of a killed process: xylophone Quarzsandgrube")
    gone = part(vault, match="xylophone")
    found = search(vault, [e for _, e in gone.gone], gone.left, words=False)
    assert "history/tagging.entries" in found.found
    assert forget(vault, gone, NOW).search.found == ()
    files = [path for path in vault.home.rglob("*") if path.is_file()]
    assert not [path for path in files if b"Quarz" in path.read_bytes()]
    assert vault.read_checkpoint("tagging") is None
    assert len(vault.history("tagging")) == COUNT


def test_what_a_kept_entry_says_too_is_told(tmp_path):
    vault = Vault(tmp_path)
    line = b'{"id": "%s", "text": "the same words", "output": "comedy"}\n'
    vault.save_history("tagging", [line % b"1111", line % b"2222"])
    done = forget(vault, part(vault, named=("1",)), NOW)
    assert (done.search.found, done.search.shared) == ((), 1)
    told = "\n".join(after_forgetting([done], vault))
    assert "1 say what an entry that you keep says too" in told


@pytest.mark.parametrize("place", ["history/rating.entries", "federation/x.json", "x"])
def test_what_is_left_anywhere_is_found(vault, place):
    gone = part(vault, named=("3",))
    path = vault.home / place
    path.parent.mkdir(exist_ok=True)
    path.write_text(f'"{gone.gone[0][1].text}"')
    done = forget(vault, gone, NOW, delete_model=True)
    assert done.search.found == (place,)
    assert f"still something of them in {place}" in "\n".join(
        after_forgetting([done], vault)
    )


def test_a_sealed_vault_is_searched_opened(tmp_path, release):
    vault = Vault(tmp_path / "home", by_keyring(tmp_path / "chain"))
    train(Wish(written(tmp_path / "m.json", entries(3)), release), vault, NOW)
    whole = [entry for _, entry in part(vault, named=("1-3",)).gone]
    found = search(vault, whole, [], words=True)
    assert found.found == ("history/tagging.entries", "personal/tagging.safetensors")
    done = forget(vault, part(vault, named=("1-3",)), NOW)
    assert (done.learning, done.search.found) == (None, ())
    assert vault.tasks() == []


def test_many_needles_are_found_as_few_are(monkeypatch, vault):
    gone = [entry for _, entry in part(vault, named=("2-7",)).gone]
    expected = search(vault, gone, [], words=True)
    monkeypatch.setattr("proper_client.remains._QUICK", 0)
    assert search(vault, gone, [], words=True) == expected
    other = search(
        vault, [type(gone[0])("1" * 16, "not there", "at all")], [], words=True
    )
    assert other.found == ()


@pytest.mark.parametrize("kind", KILLS)
def test_a_kill_while_forgetting_leaves_what_the_same_command_ends(
    kind, vault, tmp_path, monkeypatch
):
    saved = tmp_path / "saved"
    subprocess.run(["cp", "-r", vault.home, saved], check=True)
    meant = part(vault, named=("2",))

    def begin():
        subprocess.run(["rm", "-r", vault.home], check=True)
        subprocess.run(["cp", "-r", saved, vault.home], check=True)

    def act():
        forget(Vault(vault.home), meant, NOW, delete_model=True)

    for at in killed_everywhere(kind, begin, act, monkeypatch):
        assert len(vault.history("tagging")) in (
            {COUNT, COUNT - 1} if at else {COUNT - 1}
        )
        assert vault.names() in ([["tagging"], []] if at else [[]])


def test_a_release_that_is_gone_is_said_before_anything_is_changed(vault, tmp_path):
    moved = toy_release(tmp_path / "release")
    train(Wish(None, moved, anew=True), vault, NOW)
    subprocess.run(["rm", "-r", moved], check=True)
    with pytest.raises(ConfigError, match="release"):
        forget(vault, part(vault, named=("2",)), NOW)
    assert len(vault.history("tagging")) == COUNT
    assert forget(vault, part(vault, named=("2",)), NOW, delete_model=True)
    assert (len(vault.history("tagging")), vault.names()) == (COUNT - 1, [])


def asked(vault, *words, **options):
    return CliRunner().invoke(main, [*words, "--home", str(vault.home)], **options)


def test_the_commands_list_ask_and_forget(vault):
    listed = asked(vault, "history", "--match", "drama", "--last", "2")
    assert "4 of 8 entries of tagging" in listed.output
    assert "8  2026-01-08  the queen and the ship  ->  drama" in listed.output
    for answer in ("n\n", ""):
        kept = asked(vault, "forget", "2-3", input=answer)
        assert kept.exit_code == 2
        assert "nothing was forgotten" in kept.stderr
        assert len(vault.history("tagging")) == COUNT
    gone = asked(vault, "forget", "2-3", "--delete-model", input="y\n")
    assert gone.exit_code == 0
    assert "to forget   2 of 8 entries" in gone.output
    assert "nothing of them is left" in gone.output
    assert len(vault.history("tagging")) == COUNT - 2


def test_everything_can_be_forgotten(vault):
    vault.save_history("rating", [b'{"id": "1", "text": "kettle", "output": "5"}\n'])
    both = asked(vault, "forget", "--all", "--match", "x")
    assert "expected one of them" in both.stderr
    assert asked(vault, "forget", "--task", "rating", "--yes").exit_code == 0
    assert vault.tasks() == ["tagging"]
    assert asked(vault, "forget", "--all", "--yes").exit_code == 0
    assert vault.tasks() == []
    again = asked(vault, "forget", "--all", "--yes")
    assert (again.exit_code, "nothing to forget" in again.stderr) == (2, True)


def test_what_is_meant_is_shown_before(vault):
    told = "\n".join(
        before_forgetting([part(vault, named=("1-5",))], delete_model=False)
    )
    assert "to forget   5 of 8 entries of tagging" in told
    assert "and 2 more" in told
    assert "trained again without them" in told
