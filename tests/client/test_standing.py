"""Where no release serves, a model stands on the plain backbone and on nothing else."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from toy_release import another_llama, toy_release

from proper_client import opening
from proper_client.assistant import recipe_of
from proper_client.cli import main
from proper_client.kept import load
from proper_client.opening import open_release
from proper_client.personal import LEVELS
from proper_client.standing import at_hand, chosen
from proper_client.summary import status
from proper_client.vault import Vault
from proper_client.wish import Wish, announced, settled
from proper_shared.backbone import load_backbone
from proper_shared.blank import Blank
from proper_shared.encoding import Example, collate
from proper_shared.errors import ConfigError
from proper_shared.release import STARTER

CHATGPT = Path(__file__).parent / "importers" / "fixtures" / "chatgpt"


def call(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def chat(path, count, answer="as you wish, my dear"):
    """Write a chat in which somebody always answers alike."""
    lines = []
    for n in range(count):
        said = [("assistant", f"what about number {n}?"), ("user", answer)]
        messages = [{"role": role, "content": text} for role, text in said]
        lines.append(json.dumps({"messages": messages}))
    path.write_text("\n".join(lines))
    return path


def test_the_release_that_is_here_serves_its_task_alone(tmp_path):
    assert at_hand(STARTER, "tagging", 0) == STARTER
    assert at_hand(STARTER, "writing", 3) == Blank("writing", 3)
    with pytest.raises(ConfigError, match="there is no release"):
        at_hand(tmp_path, "writing", 0)


def test_a_release_that_is_named_has_to_be_of_the_task():
    assert chosen(STARTER, "tagging", 0) == STARTER
    assert chosen(Path("none"), "tagging", 5) == Blank("tagging", 5)
    for base in (STARTER, Blank("tagging")):
        with pytest.raises(
            ConfigError, match="the release was made for tagg"
        ) as caught:
            chosen(base, "writing", 0)
        assert "--release none" in caught.value.hint


def test_one_line_says_that_nothing_of_others_is_below():
    wish = Wish(task="writing")
    (line,) = announced(wish, replace(wish, release=Blank("writing")))
    assert line == (
        "no release for writing is here: starting from the plain backbone nano, "
        "nothing that others share is in it"
    )
    assert announced(wish, replace(wish, release=STARTER)) == []
    asked = Wish(task="writing", release=Path("none"))
    assert announced(asked, replace(asked, release=Blank("writing"))) == []


def test_a_damaged_shelf_is_nothing_to_who_names_a_release(tmp_path):
    vault = Vault(tmp_path)
    (tmp_path / "releases").mkdir()
    (tmp_path / "releases" / "in-use.json").write_text("{")
    wish = Wish(tmp_path / "my.json", STARTER)
    assert settled(wish, vault, "tagging").release == STARTER
    plain = settled(Wish(tmp_path / "my.json", Path("none")), vault, "tagging")
    assert plain.release == Blank("tagging")


def test_every_level_over_nothing_is_the_backbone_to_the_last_bit():
    backbone, opened = load_backbone("nano"), open_release(Blank("writing"))
    rows = [Example((5, 6, 7, 8), (9, 10)), Example((11, 12, 13, 14), (15, 16))]
    batch = collate([rows], opened.encoder.padding)
    with torch.no_grad():
        plain = backbone.model(
            batch.ids,
            attention_mask=batch.mask,
            position_ids=batch.positions,
            logits_to_keep=batch.targets.shape[1] + 1,
        ).logits[:, :-1]
        for level in ("population", "group"):
            opened.adapted.users.use(*LEVELS[level])
            assert torch.equal(opened.adapted.logits(batch), plain)
    assert recipe_of(opened.header).work <= 1000


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with a model of a chat, made by the commands; nobody writes into it."""
    folder = tmp_path_factory.mktemp("chat")
    path = chat(folder / "chat.jsonl", 24)
    done = call("train", "--history", path, "--home", folder / "home")
    assert done.exit_code == 0, done.output
    (folder / "said").write_text(done.stdout)
    (folder / "aside").write_text(done.stderr)
    return folder / "home"


def test_a_chat_is_learnt_from_nothing_and_answered_by(home):
    assert "no release for writing is here" in (home.parent / "aside").read_text()
    arrays, about = load(Vault(home), "writing")
    assert (about.release, about.backbone) == ("none", "nano")
    assert about.costs["population"] == about.costs["group"]
    assert about.level == "personal"
    assert about.costs["personal"] < 0.8 * about.costs["population"]
    assert arrays
    text = "what about number 30?"
    own = call("generate", text, "--home", home)
    plain = call("generate", text, "--home", home, "--level", "population")
    assert own.stdout.strip() == "as you wish, my dear"
    assert plain.stdout != own.stdout


def test_neither_summary_nor_status_tell_of_a_population_or_a_group(home):
    shown = "\n".join(status(Vault(home)))
    for text in ((home.parent / "said").read_text(), shown):
        assert "backbone    loss of a text" in text
        assert "personal    loss of a text" in text
        assert not [word for word in ("population", "group") if word in text]
    assert "release     none: the plain backbone nano" in shown


def test_a_model_over_nothing_needs_no_folder(home):
    assert not (home / "releases").exists()
    assert not list(home.rglob("release.json"))


def test_what_comes_later_is_learnt_over_the_same_nothing_and_can_be_forgotten(
    home, tmp_path
):
    own = shutil.copytree(home, tmp_path / "home")
    before = load(Vault(own), "writing")[1]
    more = chat(tmp_path / "more.jsonl", 26)
    done = call("train", "--history", more, "--home", own)
    assert done.exit_code == 0, done.output
    assert "2 new entries" in done.stdout
    about = load(Vault(own), "writing")[1]
    assert (about.release, about.later) == ("none", 2)
    assert about.release_sha256 == before.release_sha256
    gone = call("forget", "25-26", "--yes", "--home", own)
    assert gone.exit_code == 0, gone.output
    arrays, again = load(Vault(own), "writing")
    assert again.release_sha256 == before.release_sha256
    first = load(Vault(home), "writing")[0]
    assert all((arrays[name] == first[name]).all() for name in first)


def test_a_program_that_makes_another_one_refuses_the_model(home, monkeypatch):
    monkeypatch.setattr(opening, "digest_of_blank", lambda _: "00" * 32)
    done = call("generate", "a text", "--home", home)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "is another than in training" in done.stderr
    assert "--release none" in done.stderr


def test_a_chatgpt_export_trains_and_answers(tmp_path):
    home = tmp_path / "home"
    assert call("train", "--history", CHATGPT, "--home", home).exit_code == 0
    shown = "\n".join(status(Vault(home)))
    assert "backbone: too few entries to compare the levels on" in shown
    answered = call(
        "generate", "What grows here?", "--level", "personal", "--home", home
    )
    assert answered.exit_code == 0, answered.output


def test_whoever_wants_nothing_of_others_says_none(tmp_path):
    history, home = tmp_path / "my.json", tmp_path / "home"
    entries = [{"text": f"the sea, {n}", "output": "travel"} for n in range(8)]
    history.write_text(json.dumps({"task": "tagging", "entries": entries}))
    words = ("train", "--history", history, "--home", home)
    done = call(*words, "--release", "none")
    assert done.exit_code == 0, done.output
    assert "no release" not in done.output  # it was asked for
    assert load(Vault(home), "tagging")[1].release == "none"


def test_it_stands_on_any_backbone_and_misses_one_that_is_gone(tmp_path):
    backbone = another_llama(tmp_path / "llama")
    path, home = chat(tmp_path / "chat.jsonl", 8), tmp_path / "home"
    words = ("train", "--history", path, "--home", home, "--backbone", backbone)
    done = call(*words)
    assert done.exit_code == 0, done.output
    assert f"the plain backbone {backbone}" in done.stderr
    assert call("generate", "a text", "--home", home).exit_code == 0
    shutil.rmtree(backbone)
    gone = call("generate", "a text", "--home", home)
    assert (gone.exit_code, gone.stdout) == (2, "")
    assert "is gone" in gone.stderr
    another_llama(backbone)  # under the old name, with other weights
    other = call("generate", "a text", "--home", home)
    assert "is another than in training" in other.stderr


def test_a_release_of_the_task_comes_before_nothing(tmp_path, monkeypatch):
    release = toy_release(tmp_path / "release", task="writing")
    monkeypatch.setattr("proper_client.releases.shelf.STARTER", release)
    wish = settled(Wish(tmp_path / "my.json"), Vault(tmp_path), "writing")
    assert wish.release == release
