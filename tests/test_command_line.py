"""The three commands as a person meets them."""

import json
import shutil
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner
from toy_release import another_llama, toy_release, without_gates

from proper_client.cli import main as client
from proper_coordinator.cli import main as coordinator
from proper_shared.progress import Progress
from proper_simulations.cli import main as simulations

COMMANDS = {
    "proper_client.cli": client,
    "proper_coordinator.cli": coordinator,
    "proper_simulations.cli": simulations,
}
ENTRIES = [
    {"id": str(n), "text": f"text number {n}", "output": "comedy", "date": "2026-01-01"}
    for n in range(6)
]


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return toy_release(tmp_path_factory.mktemp("toy") / "release")


@pytest.fixture
def desk(tmp_path, release, monkeypatch):
    """A folder to work in, with a history and a release, and no home yet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PROPER_HOME", str(tmp_path / "home"))
    shutil.copytree(release, tmp_path / "release")
    write_history(tmp_path, ENTRIES)
    return tmp_path


def write_history(folder, entries):
    content = {"task": "tagging", "entries": entries}
    (folder / "my.json").write_text(json.dumps(content, ensure_ascii=False))


def train(*options):
    words = ["train", "--history", "my.json", "--release", "release", *options]
    return CliRunner().invoke(client, words)


def assert_refused(result, match, *, left=None):
    """Two lines, code 2, no traceback; and nothing that was not there before."""
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    *before, error, hint = result.stderr.rstrip("\n").split("\n")
    assert all(line.startswith("needs about ") for line in before)
    assert error.startswith("error: ")
    assert match in error
    assert hint.startswith("hint: ")
    if left is not None:
        assert not (left / "home").exists()


def leaves(command, path=()):
    """Yield the words of each command below a group, and of the groups."""
    yield path
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from leaves(below, (*path, name))


@pytest.mark.parametrize("module", COMMANDS)
def test_help_and_version_of_every_command_load_nothing_heavy(module):
    words = [[*path, "--help"] for path in leaves(COMMANDS[module])]
    script = f"""
import sys
from {module} import main
for words in {[*words, ["--version"]]!r}:
    try:
        main(words)
    except SystemExit as end:
        assert not end.code, words
heavy = ["torch", "transformers", "peft", "flwr", "sklearn", "matplotlib", "numpy"]
heavy += ["pydantic", "safetensors"]
sys.exit(", ".join(name for name in heavy if name in sys.modules) or 0)
"""
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Usage:") == len(words)


@pytest.mark.parametrize("module", COMMANDS)
def test_every_option_says_what_it_is_for(module):
    for path in leaves(COMMANDS[module]):
        command = COMMANDS[module]
        for name in path:
            command = command.commands[name]
        assert command.get_short_help_str(), path


@pytest.mark.usefixtures("desk")
def test_from_a_history_to_an_answer():
    trained = train()
    assert trained.exit_code == 0, trained.stderr
    assert "learnt      6 entries for tagging" in trained.stdout
    assert "loss" in trained.stderr
    answered = CliRunner().invoke(client, ["generate", "a long day at the harbor"])
    assert answered.exit_code == 0, answered.stderr
    assert len(answered.stdout.splitlines()) == 1
    shown = CliRunner().invoke(client, ["status"])
    assert "6 entries" in shown.stdout


def test_a_new_model_in_another_home_is_found_by_the_next_command(desk):
    trained = train("--home", "my home")
    assert "--home 'my home'" in trained.stdout.splitlines()[-1]
    assert (desk / "my home" / "personal" / "tagging.safetensors").is_file()
    assert not (desk / "home").exists()


def test_emoji_and_right_to_left_text_are_text_like_any_other(desk):
    texts = ["🙂🙂 👩‍👩‍👧", "שלום עולם", "\u202eabc\u202c", "日本語", "e\u0301"]
    entries = [{"text": text, "output": "comedy"} for text in texts]
    write_history(desk, entries)
    assert train().exit_code == 0
    answered = CliRunner().invoke(client, ["generate", "🙂 שלום"])
    assert answered.exit_code == 0, answered.stderr


def entry(number, **change):
    """Return the six entries with one of them changed; None takes a key away."""
    entries = [dict(e) for e in ENTRIES]
    entries[number] |= change
    entries[number] = {k: v for k, v in entries[number].items() if v is not None}
    return entries


BAD_ENTRIES = {
    "none": ([], "no entries"),
    "no text": (entry(2, text=None), "entry 3 has no text"),
    "white text": (entry(2, text=" \n"), "entry 3 has no text"),
    "10 MB": (entry(1, text="a" * 10_000_000), "10,000,000 characters"),
    "same id": (entry(4, id="1"), "entries 2 and 5 have the same id"),
    "backwards": (entry(3, date="2025-01-01"), "entry 4 is dated before entry 3"),
    "label": (entry(0, output="comedi"), "'comedi'"),
}


@pytest.mark.parametrize(("entries", "match"), BAD_ENTRIES.values(), ids=BAD_ENTRIES)
def test_a_bad_entry_is_named_and_nothing_is_written(desk, entries, match):
    write_history(desk, entries)
    assert_refused(train(), match, left=desk)


BAD_FILES = {
    "no JSON": (b"{'task': 1}", "not JSON"),
    "empty": (b"", "empty"),
    "not UTF-8": (b'{"task": "\xff"}', "not UTF-8"),
    "a number": (b"5", "expected an object"),
    "nested": (b"[" * 100_000, "beyond all measure"),
}


@pytest.mark.parametrize(("data", "match"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_is_no_history_is_refused(desk, data, match):
    (desk / "my.json").write_bytes(data)
    assert_refused(train(), match, left=desk)


def test_no_history_at_all(desk):
    (desk / "my.json").unlink()
    assert_refused(train(), "my.json", left=desk)


def test_a_task_that_nobody_knows_is_refused_with_a_suggestion(desk):
    result = train("--task", "tagings")
    assert_refused(result, "tagings", left=desk)
    assert "did you mean 'tagging'" in result.stderr


def test_a_history_of_another_task_than_the_release_is_refused(desk):
    scores = [{"text": "a text", "output": 3}]
    (desk / "my.json").write_text(json.dumps({"task": "rating", "entries": scores}))
    assert_refused(train(), "the release was made for tagging", left=desk)


def test_a_release_of_another_backbone_is_refused(desk):
    another_llama(desk / "other")
    assert_refused(train("--backbone", "other"), "made for backbone nano", left=desk)


def test_a_backbone_without_the_modules_is_refused_with_those_it_has(desk):
    without_gates(desk / "gpt2")
    result = train("--backbone", "gpt2")
    assert_refused(result, "no linear modules", left=desk)


def test_a_backbone_that_is_not_there_is_refused(desk):
    assert_refused(train("--backbone", "/nowhere"), "/nowhere", left=desk)


def test_a_folder_without_a_release_is_refused(desk):
    shutil.rmtree(desk / "release")
    assert_refused(train(), "no release in release", left=desk)


def test_a_damaged_release_is_refused(desk):
    (desk / "release" / "experts.safetensors").write_bytes(b"short")
    assert_refused(train(), "experts.safetensors has 5 bytes", left=desk)


def test_a_home_that_cannot_be_made_is_refused_before_training(desk):
    (desk / "home").write_text("mine")
    result = train()
    assert_refused(result, "is a file, expected a folder")
    assert "personal model" not in result.stderr  # no step was made
    assert (desk / "home").read_text() == "mine"


def test_generate_without_a_model_says_how_to_make_one(desk):
    result = CliRunner().invoke(client, ["generate", "a text"])
    assert_refused(result, "no personal model", left=desk)
    assert "proper-client train" in result.stderr


def test_nothing_to_answer_is_refused(desk):
    assert_refused(CliRunner().invoke(client, ["generate", "  "]), "empty", left=desk)


def test_a_release_that_went_away_is_named_by_generate(desk):
    train()
    shutil.rmtree(desk / "release")
    result = CliRunner().invoke(client, ["generate", "a text"])
    assert_refused(result, "is gone")
    assert "train again" in result.stderr


def test_ctrl_c_in_training_leaves_the_model_that_was_there(desk, monkeypatch):
    train()
    before = (desk / "home" / "personal" / "tagging.safetensors").read_bytes()
    calls = []

    def stop(*call):
        calls.append(call)
        if len(calls) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "__call__", lambda _, *call: stop(*call))
    write_history(desk, ENTRIES[:5])
    result = train("--anew")
    assert (result.exit_code, len(calls)) == (130, 3)
    assert "hint: a model that you had is as it was; the same command goes on" in (
        result.stderr
    )
    folder = desk / "home" / "personal"
    assert [path.name for path in folder.iterdir()] == ["tagging.safetensors"]
    assert (folder / "tagging.safetensors").read_bytes() == before


def test_only_debug_shows_a_traceback(desk):
    (desk / "my.json").unlink()
    assert "Traceback" not in train().stderr
    assert "Traceback" in train("--debug").stderr


@pytest.mark.usefixtures("desk")
def test_inspect_shows_what_a_release_holds():
    result = CliRunner().invoke(coordinator, ["inspect", "release"])
    assert result.exit_code == 0, result.stderr
    assert "task        tagging" in result.stdout
    assert "no differential privacy" in result.stdout
    assert "verified        4 files" in result.stdout


def test_inspect_refuses_a_damaged_release(desk):
    path = desk / "release" / "routers.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    result = CliRunner().invoke(coordinator, ["inspect", "release"])
    assert_refused(result, "routers.safetensors has SHA-256")


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["run", "--data", "x", "--world", "rating"], "both --data and --world"),
        (["run", "--task", "LaMP_3"], "--task without --data"),
        (["report", "results.json"], "results.json"),
        (["make-starter", "nowhere"], "no release in nowhere"),
    ],
)
def test_the_simulations_refuse_what_cannot_be(desk, words, match):
    assert_refused(CliRunner().invoke(simulations, words), match, left=desk)
    assert not (desk / "out").exists()


@pytest.mark.parametrize("words", [["--users", "0"], ["--engine", "cloud"], ["-x"]])
def test_an_option_that_does_not_exist_ends_with_the_same_code(words):
    assert CliRunner().invoke(simulations, ["run", *words]).exit_code == 2
