"""The main job from its command to its files, small enough to wait for."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from small_run import (
    OTHERS,
    ROUNDS,
    USERS,
    findings,
    forget,
    llama,
    released,
    run,
    small,
)

from proper_client.cli import main as client
from proper_coordinator.cli import main as coordinator
from proper_coordinator.ledger import Ledger
from proper_coordinator.store import Store
from proper_shared.history import Entry, User
from proper_shared.privacy.accounting import Spent
from proper_shared.privacy.losses import Loss
from proper_shared.release import read_manifest
from proper_simulations import run as running
from proper_simulations.config import RunConfig
from proper_simulations.exam import Exam
from proper_simulations.results import METHODS, load
from proper_simulations.worlds import make_world

__all__ = ["llama", "small"]  # fixtures


@pytest.fixture(scope="module")
def whole(small, llama, tmp_path_factory):  # noqa: ARG001  small changes the runs
    """A run that nobody interrupted, and what its command said."""
    out = tmp_path_factory.mktemp("whole")
    return out, run(out, llama, "--world", "tagging", "--ablation")


def test_the_command_prints_the_table_and_nothing_that_looks_like_a_fault(whole):
    _, said = whole
    assert said.exit_code == 0, said.output
    assert "stage1" in said.stdout
    assert "oppu" in said.stdout
    assert "gemm_4bit" not in said.stderr
    assert "Warning" not in said.stderr


def test_what_was_found_fits_the_schema_and_names_all_that_it_depends_on(whole):
    out, _ = whole
    found = load(out / "results.json")
    assert found.task == "tagging"
    assert found.metric == "accuracy"
    assert found.metrics.keys() == {*METHODS}
    assert found.executed.rounds == ROUNDS
    assert (found.executed.others, found.executed.users) == (OTHERS + USERS, USERS)
    assert found.executed.quick
    assert found.executed.settings["group.rounds"] == ROUNDS["group"]
    world = make_world("tagging", 0, OTHERS, USERS)
    assert found.data.sha256 == world.fingerprint
    assert (
        found.executed.backbone_sha256
        == read_manifest(out / "release").backbone.fingerprint
    )
    assert {"torch", "flwr", "python"} <= found.versions.keys()
    assert sum(found.chosen.values()) == USERS


def test_every_part_of_the_report_has_its_numbers(whole):
    out, _ = whole
    found = load(out / "results.json")
    assert found.learning_curve.entries == [0, 4, "all"]
    assert {len(v) for v in found.loss_by_round.values()} == {2, 3}
    assert "grouping" not in found.loss_by_round  # it has no loss
    assert len(found.embeddings) == OTHERS + USERS
    assert len(found.gain_by_user) == USERS
    assert found.router.without_constraint is not None
    assert found.groups is not None
    assert found.bytes["down"] > 0
    page = (out / "report.html").read_text()
    assert "tagging" in page


def test_the_ceilings_are_those_of_the_world(whole):
    out, _ = whole
    found = load(out / "results.json")
    world = make_world("tagging", 0, OTHERS, USERS)
    for name in ("best_possible", "best_given_history"):
        answers = [getattr(world.truth, name)(user) for user in world.users]
        right = [
            answer == query.output
            for user, own in zip(world.users, answers, strict=True)
            for query, answer in zip(user.queries, own, strict=True)
        ]
        assert found.metrics[name]["accuracy"] == pytest.approx(np.mean(right))


def test_a_device_can_start_from_the_release(whole, llama, tmp_path):
    out, _ = whole
    entries = [{"text": f"a ship number {n}", "output": "comedy"} for n in range(6)]
    history = tmp_path / "my.json"
    history.write_text(json.dumps({"task": "tagging", "entries": entries}))
    words = ["train", "--history", str(history), "--release", str(out / "release")]
    words += ["--home", str(tmp_path / "home")]
    alone = CliRunner().invoke(client, words)  # a release tells no path
    assert (alone.exit_code, "--backbone FOLDER" in alone.stderr) == (2, True)
    assert read_manifest(out / "release").backbone.name == llama.name
    result = CliRunner().invoke(client, [*words, "--backbone", str(llama)])
    assert result.exit_code == 0, result.output
    asked = ["generate", "a quiet ship", "--home", str(tmp_path / "home")]
    answer = CliRunner().invoke(client, asked)
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.strip()


@pytest.fixture(scope="module")
def noised(small, llama, tmp_path_factory):  # noqa: ARG001  small changes the runs
    """A run under noise, and what its command said."""
    out = tmp_path_factory.mktemp("noised")
    words = ["--world", "tagging", "--curve", "none", "--epsilon", "8"]
    return out, run(out, llama, *words)


def test_a_run_under_noise_says_what_it_cost_wherever_one_looks(noised):
    out, said = noised
    assert said.exit_code == 0, said.output
    assert "noise multiplier" in said.stderr
    budget = read_manifest(out / "release").privacy
    assert 7.9 < budget.losses.epsilon.third <= 8
    assert budget.losses.participations == sum(-(-n // 2) for n in ROUNDS.values())
    line = budget.summary()
    assert load(out / "results.json").executed.privacy == line
    assert line in (out / "report.html").read_text()
    assert f"privacy: {line}" in " ".join(said.stdout.split())
    assert max(map(len, said.stdout.splitlines())) <= 80
    inspected = CliRunner().invoke(coordinator, ["inspect", str(out / "release")])
    assert f"privacy     {line}" in inspected.output


def test_a_budget_that_is_spent_ends_training_and_not_the_run(small, llama, tmp_path):  # noqa: ARG001
    out = tmp_path / "spent"
    forget()
    words = ["--world", "tagging", "--curve", "none", "--epsilon", "8"]
    config = RunConfig(
        users=USERS, backbone=str(llama), quick=True, curve=(), epsilon=8.0, out=out
    )
    store = Store(out / "work" / "federation", running.Run(config).identity)
    divided = store.blocks(lambda: (tuple(range(OTHERS + USERS)),))
    loss = Loss.of(Spent(400.0, 100.0, len(divided[0]), 5_000), 1_000)
    ledger = Ledger(multiplier=5.0, participations=9, spent=((loss,),))
    store.keep_ledger(ledger)
    said = run(out, llama, *words)
    assert said.exit_code == 0, said.output
    assert "training ends here: population 1 would cost" in said.stderr
    found = load(out / "results.json")
    assert found.executed.rounds == {}
    assert found.groups is None
    budget = read_manifest(out / "release").privacy
    assert budget == ledger.budget(config.delta)
    assert budget.losses.epsilon.third > 8  # the release says what was spent, not less


def test_noise_is_part_of_what_a_run_is(noised, llama):
    out, _ = noised
    other = run(out, llama, "--world", "tagging", "--curve", "none", "--epsilon", "4")
    assert other.exit_code == 2
    assert "another run" in other.stderr


@pytest.mark.parametrize("other", ["--no-masks", "--ablation"])
def test_noise_does_not_go_with_everything(llama, tmp_path, other):
    said = run(tmp_path / "out", llama, "--epsilon", "8", other)
    assert said.exit_code == 2
    assert f"got --epsilon and {other}" in said.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("value", ["0", "-1", "nan", "much"])
def test_an_epsilon_that_is_none_is_refused(llama, tmp_path, value):
    said = run(tmp_path / "out", llama, "--epsilon", value)
    assert said.exit_code == 2
    assert "epsilon" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_finished_run_is_not_run_again_and_says_the_same(whole, llama, monkeypatch):
    out, said = whole
    before, files = findings(out), released(out)
    monkeypatch.setattr(Exam, "_examine", None)
    again = run(out, llama, "--world", "tagging", "--ablation")
    assert again.exit_code == 0, again.output
    assert findings(out) == before
    assert released(out) == files
    assert again.stdout == said.stdout


@pytest.mark.parametrize("stop", [("grouping", 1), ("group", 0), ("exam", 1)])
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(whole, llama, tmp_path, stop):
    words = ("--world", "tagging", "--ablation")
    with pytest.MonkeyPatch.context() as patch:
        interrupt(patch, *stop)
        stopped = run(tmp_path, llama, *words)
    assert stopped.exit_code == 130, stopped.output
    assert not (tmp_path / "results.json").exists()
    assert run(tmp_path, llama, *words).exit_code == 0
    assert findings(tmp_path) == findings(whole[0])
    assert released(tmp_path) == released(whole[0])


def interrupt(patch, where, after):
    """Press Ctrl-C after a round of a part, or after a point of the exam."""
    if where == "exam":
        examine, calls = Exam._examine, []

        def examine_some(exam, users, *name):
            calls.append(users)
            if len(calls) > after:
                raise KeyboardInterrupt
            return examine(exam, users, *name)

        patch.setattr(Exam, "_examine", examine_some)
        return

    def watch(_, at):
        if (at.stage, at.round) == (where, after):
            raise KeyboardInterrupt

    patch.setattr(running.Run, "_watch", watch)


def test_another_run_does_not_mix_with_what_lies_in_the_folder(whole, llama, tmp_path):
    out, _ = whole
    shutil.copytree(out / "work", tmp_path / "work")
    result = run(tmp_path, llama, "--world", "tagging", "--seed", "1")
    assert result.exit_code == 2
    assert "of another run" in result.stderr
    assert f"delete {tmp_path / 'work'} to" in result.stderr
    assert released(out)


def test_a_folder_of_somebody_else_is_refused_before_anything_is_trained(
    small,  # noqa: ARG001
    llama,
    tmp_path,
):
    (tmp_path / "release").mkdir()
    (tmp_path / "release" / "thesis.txt").write_text("mine")
    said = run(tmp_path, llama, "--world", "tagging")
    assert said.exit_code == 2
    assert "is no release" in said.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


def record(number):
    texts = ("slow and long", "quick and bright", "a book of ships")
    score = str(1 + number % 5)
    return {"id": f"p{number}", "text": texts[number % 3], "score": score}


def person(name, entries, queries):
    asked = "What is the score of the following review on a scale of 1 to 5? just answer with 1, 2, 3, 4, or 5 without further explanation. review: "  # noqa: E501
    return {
        "user_id": name,
        "profile": [record(number) for number in range(entries)],
        "query": [
            {"id": f"q-{name}-{n}", "input": f"{asked}a ship {n}", "gold": "4"}
            for n in range(queries)
        ],
    }


def write_real(folder, users):
    """Write a data folder in the per-user layout."""
    others = [person(f"o{n}", 2 + n, 1) for n in range(8)]
    golds = [
        {"id": query["id"], "output": query["gold"]}
        for user in users
        for query in user["query"]
    ]
    content = {
        "user_top_100_history.json": users,
        "user_others.json": others,
        "user_top_100_history_label.json": {"task": "LaMP_3", "golds": golds},
    }
    for name, part in content.items():
        (folder / name).write_text(json.dumps(part))
    return folder


def test_real_histories_are_run_without_a_truth(small, llama, tmp_path):  # noqa: ARG001
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    users = [person("u1", 9, 2), person("u2", 3, 1), person("u3", 5, 0)]
    write_real(data, users)
    said = run(out, llama, "--data", str(data))
    assert said.exit_code == 0, said.output
    found = load(out / "results.json")
    assert (found.task, found.metric) == ("LaMP_3", "mae")
    assert found.groups is None
    assert not {"best_possible", "best_given_history"} & found.metrics.keys()
    assert found.executed.group_level == "all"  # so few entries
    assert found.executed.users == 2  # nothing was asked of the third
    assert found.executed.others == 8 + 2
    assert found.router.without_constraint is None
    assert str(tmp_path) not in (out / "results.json").read_text()
    assert str(tmp_path) not in (out / "report.html").read_text()


def test_a_folder_of_whom_nothing_is_asked_is_refused(small, llama, tmp_path):  # noqa: ARG001
    write_real(tmp_path, [person("u1", 9, 0)])
    said = run(tmp_path / "out", llama, "--data", str(tmp_path))
    assert said.exit_code == 2
    assert "0 users to test" in said.stderr
    assert not (tmp_path / "out").exists()


def test_a_command_can_be_repeated_and_tells_no_path():
    config = RunConfig(
        data=Path("/home/ann/secret/lamp"),
        task="LaMP_3",
        world=None,
        backbone="/home/ann/models/llama",
        group_level="all",
        seed=4,
        quick=True,
    )
    words = running.command_line(config).split()
    assert not any("ann" in word for word in words)
    assert words[:6] == ["proper-sim", "run", "--data", "lamp", "--task", "LaMP_3"]
    assert {"--quick", "--group-level", "llama", "4"} <= set(words)
    hub = config.model_copy(update={"backbone": "org/model"})
    assert "--backbone org/model" in running.command_line(hub)


def test_settings_are_told_by_one_name_each():
    told = running.flat("group", {"recipe": {"steps": 4}, "targets": ["a", "b"]})
    assert told == {"group.recipe.steps": 4, "group.targets": "a b"}


@pytest.mark.parametrize(("count", "left"), [(None, "abc"), (2, "bc"), (0, "")])
def test_the_newest_entries_are_the_last(count, left):
    user = User("u", tuple(Entry(c, c, c) for c in "abc"))
    assert "".join(e.id for e in running.newest(user, count).profile) == left
