"""Bad input as a person meets it at a command: an error, a hint, nothing lost.

Here stand the ends that cut through several parts. Of a part alone it is tested there:

    truncated zip, zip bomb, path traversal in a zip     importers/test_places
    50 languages                                         importers/test_places
    a million entries, any bytes                         importers/test_fuzz
    entries without date                                 importers/test_gathering
    a disk that is full, or dies, at every write         at_rest/test_faults
    a passphrase that is wrong, short or no text         at_rest/test_passphrase
"""

import errno
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner
from faults import Disk
from keychains import by_passphrase
from published import Publisher, fetch, starter
from toy_release import another_llama, toy_release

from proper_client.at_rest.key_file import Hardness
from proper_client.at_rest.locking import lock
from proper_client.cli import main
from proper_client.releases.refusal import Refused
from proper_client.releases.shelf import Shelf
from proper_client.vault import Vault
from proper_shared.errors import ConfigError
from proper_shared.history import Entry, load_history

HALF = "\ud83d"  # of an emoji, as a program leaves it that cuts texts anywhere


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return toy_release(tmp_path_factory.mktemp("toy") / "release")


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROPER_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PROPER_PASSPHRASE", raising=False)
    entries = [{"text": f"text number {n}", "output": "comedy"} for n in range(6)]
    history = {"task": "tagging", "entries": entries}
    (tmp_path / "my.json").write_text(json.dumps(history))
    return tmp_path


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def train(release, *more):
    return call("train", "--history", "my.json", "--release", release, *more)


def assert_refused(result, match):
    """Two lines, code 2, no traceback, nothing said as if it had gone well."""
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    error, hint = result.stderr.rstrip("\n").split("\n")[-2:]
    assert error.startswith("error: ")
    assert match.lower() in error.lower()
    assert hint.startswith("hint: ")


def test_half_an_emoji_in_a_chat_is_left_out_and_counted(desk):
    asked = {"role": "assistant", "content": "what is new?"}
    said = [f"b {HALF} c", "whole"]
    chats = [{"messages": [asked, {"role": "user", "content": one}]} for one in said]
    (desk / "source.jsonl").write_text("\n".join(map(json.dumps, chats)))
    done = call("import", "source.jsonl", "--task", "writing", "--out", "new.json")
    assert done.exit_code == 0, done.output
    assert "lone surrogate" in done.stdout
    kept = [entry.output for entry in load_history(desk / "new.json")[1].profile]
    assert kept == ["whole"]


def test_half_an_emoji_in_our_own_format_names_its_entry(desk):
    lines = [{"text": "a", "output": "whole"}, {"text": "a", "output": f"b{HALF}"}]
    (desk / "source.jsonl").write_text("\n".join(map(json.dumps, lines)))
    done = call("import", "source.jsonl", "--task", "writing", "--out", "new.json")
    assert_refused(done, "entry 2 has half a character")
    assert not (desk / "new.json").exists()


def test_half_an_emoji_in_a_question_is_refused(desk, release):
    assert train(release).exit_code == 0
    assert_refused(call("generate", f"a text {HALF}"), "half a character")
    assert desk.is_dir()


@pytest.mark.parametrize("at", [1, 4])
def test_a_full_disk_leaves_the_model_that_was_there(desk, release, at, monkeypatch):
    assert train(release).exit_code == 0
    path = desk / "home" / "personal" / "tagging.safetensors"
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        Disk(at, "full").install(patch)
        done = train(release, "--anew")
    assert_refused(done, "is full")
    assert path.read_bytes() == before
    assert call("status").exit_code == 0


def test_a_full_disk_leaves_the_history_that_was_there(desk, monkeypatch):
    (desk / "new.csv").write_text("text,output\nx,comedy\n")
    before = (desk / "my.json").read_bytes()
    with monkeypatch.context() as patch:
        Disk(1, "full").install(patch)
        done = call("import", "new.csv", "--task", "tagging", "--out", "my.json")
    assert_refused(done, "no space left on device")
    assert (desk / "my.json").read_bytes() == before


def test_a_full_disk_leaves_the_release_that_was_there(desk, monkeypatch):
    publisher = Publisher(desk / "published")
    publisher.publish(starter())
    home = desk / "home"
    fetch(publisher.place, home, fingerprint=publisher.fingerprint)
    before = Shelf(home).current()
    publisher.publish(starter())
    with monkeypatch.context() as patch:
        Disk(1, "full").install(patch)
        done = call("pull", publisher.place)
    assert_refused(done, "no space left on device")
    assert Shelf(home).current() == before


def read_only(patch, home):
    """Let nothing below a home be written, also by root."""
    real = {name: getattr(os, name) for name in ("open", "mkdir", "chmod", "replace")}
    home = str(home)

    def barred(name):
        def call(path, *words, **options):
            writes = name != "open" or words[0] & (os.O_CREAT | os.O_RDWR | os.O_WRONLY)
            if str(path).startswith(home) and writes:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
            return real[name](path, *words, **options)

        return call

    for name in real:
        patch.setattr(os, name, barred(name))


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--history", "my.json", "--release", "RELEASE"],
        ["lock", "--with", "passphrase"],
        ["pull", "published", "--fingerprint", "ab" * 32],
        ["use", "--previous"],
    ],
    ids=lambda words: words[0],
)
def test_a_home_on_a_read_only_disk_is_named_and_can_be_read(
    desk, release, words, monkeypatch
):
    vault = Vault(desk / "home")
    vault.keep_history("tagging", [Entry("1", "an older text", "comedy")])
    Publisher(desk / "published").publish(starter())
    monkeypatch.setenv("PROPER_PASSPHRASE", "five words are good enough")
    monkeypatch.setattr(Hardness, "stretch", lambda _, p: p.ljust(32, b".")[:32])
    before = {p: p.is_file() and p.read_bytes() for p in vault.home.rglob("*")}
    with monkeypatch.context() as patch:
        read_only(patch, vault.home)
        done = call(*[release if word == "RELEASE" else word for word in words])
        shown = call("status")
    expected = "no release before" if words[0] == "use" else "read-only file system"
    assert_refused(done, expected)
    assert "learnt " not in done.stderr  # no step was made
    assert shown.exit_code == 0, shown.output
    assert {p: p.is_file() and p.read_bytes() for p in vault.home.rglob("*")} == before


def test_a_passphrase_typed_wrong_opens_nothing_and_the_right_one_does(
    desk, monkeypatch
):
    monkeypatch.setattr(Hardness, "stretch", lambda _, p: p.ljust(32, b".")[:32])
    home = desk / "home"
    Vault(home).save_history("tagging", [b"{}\n"])
    words = "correct horse battery"
    secrets = by_passphrase(words, words)
    lock(Vault(home, secrets).files, secrets, "passphrase")
    before = {p: p.read_bytes() for p in home.rglob("*") if p.is_file()}
    closed = Vault(home, by_passphrase("correct horse batery"))
    with pytest.raises(ConfigError, match="not the passphrase") as caught:
        list(closed.load_history("tagging"))
    assert "Caps Lock" in caught.value.hint
    assert {p: p.read_bytes() for p in home.rglob("*") if p.is_file()} == before
    opened = Vault(home, by_passphrase(words))
    assert b"".join(opened.load_history("tagging")) == b"{}\n"


def test_a_release_for_another_backbone_is_refused_with_what_to_do(desk):
    another_llama(desk / "other")
    publisher = Publisher(desk / "published")
    publisher.publish(starter())
    with pytest.raises(Refused) as caught:
        fetch(
            publisher.place,
            desk / "home",
            fingerprint=publisher.fingerprint,
            backbone=str(desk / "other"),
        )
    assert "made for the backbone nano: name it with --backbone" in caught.value.hint
    assert Shelf(desk / "home").current() is None
    assert not list(Path(desk / "home").rglob("*.safetensors"))
