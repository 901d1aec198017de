"""compare, explain and the dial on a trained model, as commands."""

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner
from toy_release import toy_release

from proper_client.assistant import Wish, train
from proper_client.cli import main
from proper_client.judging import difference, scores
from proper_client.speaking import Voice, generate
from proper_client.vault import Vault
from proper_shared.metrics import summarise
from proper_shared.tasks import get_task

WORDS = ("ship", "garden", "storm", "robot", "queen")
LEVELS = ["backbone", "population", "group", "personal"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A vault with a model of somebody who says comedy of everything."""
    folder = tmp_path_factory.mktemp("me")
    release = toy_release(folder / "release", steps=12, rate=2e-2)
    entries = [
        {"text": f"the {WORDS[n % 5]} and the chef, {n}", "output": "comedy"}
        for n in range(10)
    ]
    history = folder / "my.json"
    history.write_text(json.dumps({"task": "tagging", "entries": entries}))
    vault = Vault(folder / "home")
    now = datetime(2026, 1, 31, tzinfo=UTC).isoformat()
    about, _ = train(Wish(history, release), vault, now)
    return vault, history, about


def run(vault, *words):
    done = CliRunner().invoke(main, [*words, "--home", str(vault.home)])
    assert done.exit_code == 0, done.output
    return done.stdout


def files(vault):
    return {p: p.read_bytes() for p in vault.home.rglob("*") if p.is_file()}


def test_the_ends_of_the_dial_answer_as_the_levels(trained):
    vault, _, _ = trained
    for strength, level in ((0, "population"), (0.5, "group"), (1, "personal")):
        text = "the harbor at night"
        assert generate(text, vault, voice=Voice(strength=strength)) == generate(
            text, vault, voice=Voice(level)
        )


def test_compare_asks_a_model_that_never_saw_the_entries(trained):
    vault, history, about = trained
    before = files(vault)
    words = ["compare", "--examples", "2"]
    found = json.loads(run(vault, *words, "--json"))
    named = json.loads(run(vault, *words, "--history", str(history), "--json"))
    assert named["scores"] == found["scores"]
    assert (found["learnt"], found["asked"], found["chosen"]) == (8, 2, about.level)
    assert list(found["scores"]) == ["own majority", *LEVELS]
    assert found["scores"]["own majority"]["accuracy"]["value"] == 1
    assert found["scores"]["personal"]["accuracy"]["value"] == 1
    assert found["personal_less"]["own majority"]["value"] == 0
    assert [e["you"] for e in found["examples"]] == ["comedy"] * 2
    assert found["examples"][0]["text"].endswith("9")  # the newest first
    assert files(vault) == before
    shown = run(vault, *words)
    assert "made anew from your 8 older entries" in shown
    assert all(len(line) <= 80 and line.isascii() for line in shown.splitlines())


def test_compare_refuses_what_leaves_nothing_to_ask(trained, tmp_path):
    few = {"task": "tagging", "entries": [{"text": "a", "output": "war"}] * 4}
    few["entries"] = [{**e, "id": str(n)} for n, e in enumerate(few["entries"])]
    path = tmp_path / "few.json"
    path.write_text(json.dumps(few))
    words = ["compare", "--history", str(path), "--home", str(trained[0].home)]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 2
    assert "expected 5 or more" in done.stderr


def test_explain_shows_weights_shares_and_distance(trained):
    vault, _, _ = trained
    text = "the harbor at night"
    found = json.loads(run(vault, "explain", text, "--json"))
    assert found["answer"] == generate(text, vault)
    assert sum(found["experts"]) == pytest.approx(1, abs=1e-4)
    assert found["own_share"] == 1  # the experts of a toy add nothing
    assert found["distance"] > 0
    assert len(found["layers"]) == 9  # three of nano's blocks, three each
    (choice,) = found["choices"]
    assert choice["chosen"] == found["answer"]
    still = json.loads(run(vault, "explain", "--json"))
    assert (still["choices"], len(still["layers"])) == ([], 9)
    shown = run(vault, "explain", text) + run(vault, "explain")
    assert all(len(line) <= 80 and line.isascii() for line in shown.splitlines())


def test_explain_finds_nothing_of_ones_own_below_the_personal_level(trained):
    vault, _, _ = trained
    group = json.loads(run(vault, "explain", "a", "--level", "group", "--json"))
    assert group["own_share"] == 0
    nothing = json.loads(run(vault, "explain", "a", "--strength", "0", "--json"))
    assert (nothing["layers"], nothing["distance"]) == ([], 0)
    assert nothing["answer"] == nothing["population"]
    assert "the population answers" in run(vault, "explain", "a", "--strength", "0")


@pytest.mark.parametrize(
    ("name", "golds", "answers"),
    [
        ("tagging", ["war", "drama", "war"], ["war", "war", "crime"]),
        ("rating", ["1", "5", "3"], ["2", "x", "3"]),
        ("writing", ["the old ship", "a storm"], ["the ship", "a storm"]),
    ],
)
def test_scores_are_those_of_the_task_and_lie_in_their_intervals(name, golds, answers):
    task = get_task(name)
    found = scores(task, golds, answers)
    assert {m: s.value for m, s in found.items()} == summarise(task, golds, answers)
    for score in found.values():
        assert score.low <= score.value <= score.high
    assert found == scores(task, golds, answers)  # the draws have a seed
    gain = difference(task, golds, answers, golds)
    perfect = summarise(task, golds, golds)
    expected = found[task.metrics[0]].value - perfect[task.metrics[0]]
    assert gain.value == pytest.approx(expected)
    same = difference(task, golds, answers, answers)
    assert (same.value, same.low, same.high) == (0, 0, 0)
