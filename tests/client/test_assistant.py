"""From a history to a model in the vault and to answers, on the real backbone."""

import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from keychains import by_keyring
from safetensors.numpy import load_file
from toy_release import toy_release

from proper_client import standing
from proper_client.assistant import MAX_WORK, Wish, train
from proper_client.cli import main
from proper_client.kept import choose, load
from proper_client.personal import PersonalRecipe
from proper_client.speaking import Voice, generate
from proper_client.summary import after_training, status
from proper_client.vault import Vault
from proper_shared.backbone import NANO
from proper_shared.errors import ConfigError, FormatError, ModelError
from proper_shared.method.stages import AdaptedModel
from proper_shared.release import STARTER
from proper_shared.tensors import pack

CANARY = "xylophone Quarzsandgrube 4711"
NOW = "2026-01-31T12:00:00+00:00"


def write_history(path, count):
    entries = [
        {"text": f"{CANARY} and the chef, number {n}", "output": "comedy"}
        for n in range(count)
    ]
    path.write_text(json.dumps({"task": "tagging", "entries": entries}))
    return path


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return toy_release(tmp_path_factory.mktemp("toy") / "release", steps=12, rate=2e-2)


@pytest.fixture(scope="module")
def wish(release, tmp_path_factory):
    folder = tmp_path_factory.mktemp("me")
    return Wish(write_history(folder / "my.json", 10), release)


@pytest.fixture(scope="module")
def trained(wish, tmp_path_factory):
    """A vault with one model; nobody writes into it."""
    vault = Vault(tmp_path_factory.mktemp("trained") / "home")
    about, place = train(wish, vault, NOW)
    return vault, about, place


def test_a_person_who_always_says_the_same_is_answered_so(trained):
    vault, about, _ = trained
    assert about.level == "personal"
    assert about.costs["personal"] < about.costs["population"]
    assert generate(f"{CANARY} and the chef", vault) == "comedy"


def test_each_level_can_be_asked(trained):
    vault, about, _ = trained
    text = "the harbor"
    answers = {
        level: generate(text, vault, voice=Voice(level)) for level in about.costs
    }
    assert answers.keys() == {"population", "group", "personal"}
    assert generate(text, vault) == answers[about.level]


def test_the_same_wish_makes_the_same_model(trained, wish, tmp_path):
    _, _, place = trained
    _, again = train(wish, Vault(tmp_path / "home"), NOW)
    assert again.read_bytes() == place.read_bytes()


def test_another_seed_makes_another_model(trained, wish, tmp_path):
    _, _, place = trained
    _, again = train(replace(wish, seed=1), Vault(tmp_path / "home"), NOW)
    assert again.read_bytes() != place.read_bytes()


def holders(home):
    """Return the files that a word of the history stands in."""
    words = [word.encode() for word in CANARY.split()]
    files = (path for path in home.rglob("*") if path.is_file())
    return [p.name for p in files if any(word in p.read_bytes() for word in words)]


def test_no_file_but_the_history_holds_a_text_of_it(trained):
    assert holders(trained[0].home) == ["tagging.entries"]


def test_no_file_of_a_locked_vault_holds_a_text_of_the_history(wish, tmp_path):
    vault = Vault(tmp_path / "home", by_keyring(tmp_path / "chain"))
    train(wish, vault, NOW)
    assert vault.history("tagging")[0].text.startswith(CANARY)
    assert holders(vault.home) == []


def test_the_entries_kept_aside_are_those_that_the_level_was_chosen_on(trained):
    _, about, _ = trained
    assert (about.entries, about.kept_aside) == (10, 2)
    assert about.level == min(about.costs, key=about.costs.get)


def test_too_few_entries_choose_the_level_that_they_cannot_spoil(wish, tmp_path):
    few = replace(wish, history=write_history(tmp_path / "my.json", 4))
    about, _ = train(few, Vault(tmp_path / "home"), NOW)
    assert (about.level, about.costs, about.kept_aside) == ("group", {}, 0)
    assert "too few entries" in "\n".join(
        after_training(about, Vault(tmp_path / "home"), 3, None)
    )


@pytest.mark.parametrize(("count", "total"), [(10, 54), (4, 36)])  # 3 x 12, 3 x 6
def test_progress_counts_all_steps_through_to_the_end(wish, tmp_path, count, total):
    own = replace(wish, history=write_history(tmp_path / "my.json", count))
    calls = []
    train(own, Vault(tmp_path / "home"), NOW, lambda *call: calls.append(call))
    assert [done for _, done, _, _ in calls] == list(range(1, total + 1))
    assert {(step, of) for step, _, of, _ in calls} == {("personal model", total)}


def test_a_release_that_was_replaced_by_another_is_not_used(wish, tmp_path):
    shutil.copytree(wish.release, tmp_path / "release")
    vault = Vault(tmp_path / "home")
    train(replace(wish, release=tmp_path / "release"), vault, NOW)
    toy_release(tmp_path / "release", steps=3)
    with pytest.raises(ConfigError, match="is another than in training") as caught:
        generate("a text", vault)
    assert "train again" in caught.value.hint


def test_a_model_of_other_shapes_is_refused(trained, tmp_path):
    vault, _, place = trained
    arrays, about = load(vault, "tagging")
    other = Vault(tmp_path / "home")
    for change in ({"users.embedding": np.ones(3, np.float32)}, {"x": np.ones(1)}):
        bad = {**arrays, **{n: a.astype(np.float32) for n, a in change.items()}}
        other.save("tagging", bad, about.model_dump())
        with pytest.raises(FormatError, match="does not fit its release"):
            generate("a text", other)
    assert place.is_file()


def test_a_model_that_says_odd_things_about_itself_is_refused(trained, tmp_path):
    arrays, about = load(trained[0], "tagging")
    other = Vault(tmp_path / "home")
    for change in ({"level": "best"}, {"entries": 0}, {"code": "x"}):
        other.save("tagging", arrays, {**about.model_dump(), **change})
        with pytest.raises(FormatError, match="another version") as caught:
            generate("a text", other)
        assert caught.value.hint
    other.save("sound", arrays, about.model_dump())
    told = "\n".join(status(other))  # one that is damaged hides no other
    assert caught.value.hint in told
    assert "task        tagging\nlearnt" in told


@pytest.mark.parametrize("empty", ["", "  "])
def test_an_empty_home_is_not_the_current_folder(empty, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    end = CliRunner().invoke(main, ["status", "--home", empty])
    assert end.exit_code == 2
    assert "empty name" in end.output


def test_a_model_over_the_starter_names_it_wherever_the_package_lies(
    wish, tmp_path, monkeypatch
):
    monkeypatch.setattr(standing, "STARTER", wish.release)
    vault = Vault(tmp_path / "home")
    about, _ = train(wish, vault, NOW)
    assert about.release == "starter"
    moved = tmp_path / "moved"
    shutil.copytree(wish.release, moved)
    monkeypatch.setattr(standing, "STARTER", moved)
    assert generate("a text", vault)


def test_a_recipe_that_is_not_known_is_refused_before_training(wish, tmp_path):
    folder = tmp_path / "release"
    shutil.copytree(wish.release, folder)
    manifest = json.loads((folder / "release.json").read_text())
    manifest["personal"]["sorcery"] = True
    (folder / "release.json").write_text(json.dumps(manifest))
    with pytest.raises(FormatError, match="does not know"):
        train(replace(wish, release=folder), Vault(tmp_path / "home"), NOW)
    assert not (tmp_path / "home").exists()


def edited(release, folder, change):
    """Copy a release with its manifest changed by a function of the parsed JSON."""
    shutil.copytree(release, folder)
    manifest = json.loads((folder / "release.json").read_text())
    change(manifest)
    (folder / "release.json").write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize("much", [{"steps": 100_000}, {"steps": 10, "batch": 4096}])
def test_a_release_that_asks_for_hours_of_work_is_refused(wish, tmp_path, much):
    folder = edited(
        wish.release, tmp_path / "r", lambda m: m["personal"]["user"].update(much)
    )
    with pytest.raises(FormatError, match="expected at most 20,000") as caught:
        train(replace(wish, release=folder), Vault(tmp_path / "home"), NOW)
    assert "for hours" in caught.value.hint
    assert not (tmp_path / "home").exists()


def test_the_starter_asks_for_little():
    asked = json.loads((STARTER / "release.json").read_text())["personal"]
    assert PersonalRecipe.model_validate(asked).work < MAX_WORK / 20


@pytest.mark.parametrize("part", ["embedding", "experts", "routers", "population"])
def test_numbers_that_overflow_are_refused_and_nothing_is_kept(wish, tmp_path, part):
    folder, name = tmp_path / "r", f"{part}.safetensors"
    arrays = load_file(wish.release / name)
    data = pack({key: np.full_like(a, 3e38) for key, a in arrays.items()})
    record = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    edited(wish.release, folder, lambda m: m["files"].update({name: record}))
    (folder / name).write_bytes(data)
    vault = Vault(tmp_path / "home")
    with pytest.raises((FormatError, ModelError), match="number") as caught:
        train(replace(wish, release=folder), vault, NOW)
    assert "another" in caught.value.hint
    assert vault.names() == []


def test_a_local_backbone_is_found_from_any_folder(wish, tmp_path, monkeypatch):
    here, vault = tmp_path / "here", Vault(tmp_path / "home")
    shutil.copytree(NANO, here / "model")
    monkeypatch.chdir(here)
    about, _ = train(replace(wish, backbone="model"), vault, NOW)
    assert about.backbone == str((here / "model").resolve())
    monkeypatch.chdir(tmp_path)
    assert generate(f"{CANARY} and the chef", vault) == "comedy"
    shutil.rmtree(here / "model")
    with pytest.raises(ConfigError, match=r"the backbone in .* is gone") as caught:
        generate("a text", vault)
    assert "--backbone FOLDER" in caught.value.hint


def test_shapes_that_no_file_could_hold_take_no_memory(wish, tmp_path, monkeypatch):
    def ask(manifest):
        manifest["method"].update(experts=256, embedding_size=4096)
        manifest["method"]["group"]["rank"] = 512

    added = []
    monkeypatch.setattr(AdaptedModel, "add", lambda _, part: added.append(part))
    release = edited(wish.release, tmp_path / "r", ask)
    with pytest.raises(FormatError, match="expected"):
        train(replace(wish, release=release), Vault(tmp_path / "home"), NOW)
    assert added == []


def test_a_folder_that_a_release_names_has_to_be_shown(wish, tmp_path, monkeypatch):
    release = edited(
        wish.release, tmp_path / "r", lambda m: m["backbone"].update(name="llama")
    )
    own, vault = replace(wish, release=release), Vault(tmp_path / "home")
    with pytest.raises(ModelError, match="over the model folder llama") as caught:
        train(own, vault, NOW)
    assert "--backbone FOLDER" in caught.value.hint
    folder = shutil.copytree(NANO, tmp_path / "here" / "llama")
    assert train(replace(own, backbone=str(folder)), vault, NOW)[0].level == "personal"
    monkeypatch.chdir(folder.parent)
    assert train(own, vault, NOW)[0].backbone == str(folder.resolve())


@pytest.mark.parametrize("seed", ["-5", "1" * 23, str(2**32)])
def test_a_seed_out_of_range_is_refused(seed, tmp_path):
    words = ["train", "--history", str(tmp_path / "my.json"), "--seed", seed]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "is not in the range" in result.stderr


def test_one_of_several_models_has_to_be_named(trained, tmp_path):
    arrays, about = load(trained[0], "tagging")
    vault = Vault(tmp_path / "home")
    for task in ("tagging", "rating"):
        vault.save(task, arrays, about.model_dump())
    with pytest.raises(ConfigError, match="rating and tagging") as caught:
        choose(vault, None)
    assert "--task" in caught.value.hint
    assert choose(vault, "rating") == "rating"
    with pytest.raises(ConfigError, match="for raitng") as caught:
        choose(vault, "raitng")
    assert "did you mean 'rating'" in caught.value.hint


def test_the_person_is_told_what_they_got(trained):
    vault, about, place = trained
    told = "\n".join(after_training(about, vault, 65, None))
    for words in ("10 entries", "1 min 5 s", "personal", str(place), "not encrypted"):
        assert words in told
    assert "proper-client generate" in told
    assert NOW in "\n".join(status(vault))
