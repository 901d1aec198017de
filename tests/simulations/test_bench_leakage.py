"""Personal adapters are attacked as they are, on halves that nothing else parts."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from small_run import forget, llama, small
from toy_release import toy_release

from proper_client.personal import LEVELS
from proper_shared.encoding import Example
from proper_shared.errors import ConfigError
from proper_shared.history import Entry, User
from proper_simulations.bench import leakage as bench
from proper_simulations.bench.leak_canaries import Canaries
from proper_simulations.bench.leak_guess import Guesser
from proper_simulations.bench.leak_models import METHODS, Models
from proper_simulations.bench.leak_people import ASKED, Halves, Secrets, deduplicated
from proper_simulations.cli import main
from proper_simulations.pieces import Pieces
from proper_simulations.worlds import make_world

__all__ = ["llama", "small"]  # fixtures
TINY = bench.Plan(
    users=4, shadows=4, rates=(0.5,), planted=(1, 3), alternatives=40, resamples=20
)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("leak") / "release"
    return toy_release(folder, task="rewriting", steps=3, rate=2e-2)


@pytest.fixture(scope="module")
def models(release):
    return Models(release)


@pytest.fixture(scope="module")
def users():
    return make_world("rewriting", 0, others=0, users=3).users


@pytest.fixture(scope="module")
def secrets():
    return Secrets.drawn(40, np.random.default_rng(0))


@pytest.fixture(scope="module")
def found(small, tmp_path_factory):  # noqa: ARG001  small changes the federation
    forget()
    folder = tmp_path_factory.mktemp("bench")
    labels = toy_release(folder / "labels", steps=3, rate=2e-2)
    under = bench.Under(release=labels)
    return folder, under, bench.leakage(TINY, folder / "own", under=under)


def test_each_attack_and_canary_has_its_figures(found):
    result = found[2]
    assert json.loads(bench.as_text(result, as_json=True)) == json.loads(
        json.dumps(result)
    )
    membership = result["membership"]
    assert membership["attacks"].keys() == {"loss", "reference", "lira"}
    for by in membership["attacks"].values():
        for who in (*METHODS, "difference"):
            assert by[who].keys() == {"auc", "tpr_at_0.5"}
    assert [row["planted"] for row in result["canaries"]["rows"]] == [1, 3]
    table = bench.as_text(result, as_json=False)
    assert "lira, tpr at 0.5" in table
    assert "without the model" in table


def test_a_finished_attack_trains_nothing_again_and_more_shadows_go_on(found):
    folder, under, result = found
    files = {p: p.stat().st_mtime_ns for p in (folder / "own").rglob("*.json")}
    again = bench.leakage(TINY, folder / "own", under=under)
    assert again["membership"] == result["membership"]
    assert again["canaries"] == result["canaries"]
    more = bench.Plan(**{**vars(TINY), "shadows": 5})
    assert (
        bench.leakage(more, folder / "own", under=under)["membership"][
            "adapters_of_each_user"
        ]
        == 6
    )
    after = {p: p.stat().st_mtime_ns for p in (folder / "own").rglob("*.json")}
    assert after.items() >= files.items()
    assert len(after) == len(files) + 2
    with pytest.raises(ConfigError, match="another run"):
        bench.leakage(TINY, folder / "own", under=under, seed=1)


def test_a_half_holds_half_of_each_users_entries_and_each_text_once(users):
    halves = Halves(users, seed=5)
    for drawing in range(20):
        inside = halves.inside(drawing)
        assert (inside == halves.inside(drawing)).all()
        people = halves.halved(drawing)
        for seat, (person, whole) in enumerate(zip(people, halves.users, strict=True)):
            count = len(whole.profile)
            assert len(person.profile) in {count // 2, (count + 1) // 2}
            own = inside[halves.owners == seat]
            chosen = [e for e, is_in in zip(whole.profile, own, strict=True) if is_in]
            assert list(person.profile) == chosen


def test_halves_are_not_split_by_time(users):
    halves = Halves(users, seed=5)
    share = np.mean([halves.inside(drawing) for drawing in range(400)], axis=0)
    assert np.abs(share - 0.5).max() < 0.12  # the oldest entry as often as the newest


def test_a_text_that_stands_twice_is_kept_once():
    entries = (Entry("1", "a", "x"), Entry("2", "b", "x"), Entry("3", "a", "y"))
    assert deduplicated(User("me", entries)).profile == entries[:2]


def test_a_loss_is_the_mean_over_the_tokens_of_the_answer(models, users):
    encoder = models.encoder
    examples = [[encoder.example(e) for e in u.profile[: 3 + k]]
                for k, u in enumerate(users)]  # fmt: skip
    score = models.losses(examples)
    own = models.after("proper", users, 0, score)
    assert [len(losses) for losses in own] == [3, 4, 5]
    models.adapted.users.use(*LEVELS["personal"])
    example = examples[2][4]  # all users still sit in the model
    with models.adapted.only([2]):
        alone = by_hand(models, example)
    assert own[2][4] == pytest.approx(alone, abs=1e-4)


@torch.no_grad()
def by_hand(models, example: Example):
    ids = torch.tensor([example.prompt + example.target])
    logits = models.adapted.model(input_ids=ids, use_cache=False).logits[0]
    start = len(example.prompt) - 1
    chosen = logits.log_softmax(-1)[range(start, start + len(example.target))]
    return -float(chosen[range(len(example.target)), list(example.target)].mean())


def test_what_was_learnt_is_known_better_and_each_method_has_adapters_of_its_own(
    models, users
):
    halves = Halves(users, seed=0)
    examples = [[models.encoder.example(e) for e in u.profile] for u in halves.users]
    score = models.losses(examples)
    found = {}
    before = np.concatenate(models.before(halves.users, score))
    for method in METHODS:
        after = np.concatenate(models.after(method, halves.halved(0), 0, score))
        assert after[halves.inside(0)].mean() < before[halves.inside(0)].mean()
        found[method] = after
    assert not np.allclose(found["proper"], found["oppu"])


def test_every_alternative_is_scored_as_if_it_were_read_alone(models, users, secrets):
    guess = Guesser(models.adapted, models.encoder, secrets)
    scored = models.after("proper", users, 0, guess)
    seats = range(len(users))
    assert np.stack(scored).shape == (3, 40)
    prompt = models.encoder.prompt(ASKED)
    for seat in seats:
        for number in (0, 7, 39):
            text = models.encoder.task.target(secrets.written(number))
            example = Example(prompt, tuple(models.encoder.ids(text)))
            assert len(example.target) == 6
            with models.adapted.only([seat]):
                alone = -6 * by_hand(models, example)
            assert scored[seat][number] == pytest.approx(alone, abs=1e-3)


def test_a_secret_is_planted_as_often_as_was_said(users, secrets):
    rng = np.random.default_rng(0)
    for times in (1, 4, 16):
        planted = secrets.planted(users[0], 23, times, rng)
        canaries = [e for e in planted.profile if e.text == ASKED]
        assert [e.output for e in canaries] == [secrets.written(23)] * times
        rest = tuple(e for e in planted.profile if e.text != ASKED)
        assert rest == users[0].profile


def test_all_that_a_secret_can_be_is_different(secrets):
    written = {secrets.written(number) for number in range(secrets.count)}
    assert len(written) == secrets.count == 40
    assert all(len(word.split()) == 6 for word in written)


def test_a_secret_that_was_planted_stands_further_up_than_a_neighbours(
    models, users, tmp_path
):
    canaries = Canaries(models, users, 1000, Pieces(tmp_path, ""), seed=0)
    found = canaries._found("proper", 16, lambda _: None)
    assert np.median(found["own"]) < 100 < np.median(found["other"])


def test_a_canary_is_in_nobody_elses_adapter(models, users):
    canaries = Canaries(models, users, 100, Pieces("unused", ""), seed=0)
    planted = [
        canaries.secrets.planted(user, 5, 4, np.random.default_rng(0)) for user in users
    ]
    examples = [[models.encoder.example(e) for e in u.profile[:3]] for u in users]
    mixed = [planted[0], *users[1:]]
    for method in METHODS:
        plain = models.after(method, users, 0, models.losses(examples))
        with_canary = models.after(method, mixed, 0, models.losses(examples))
        assert not np.allclose(plain[0], with_canary[0], atol=1e-3)
        for seat in (1, 2):
            np.testing.assert_allclose(plain[seat], with_canary[seat], atol=2e-3)


def test_the_command_says_what_it_found(found, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(
        bench, "leakage", lambda *given, **_: calls.append(given) or found[2]
    )
    words = ["bench", "leakage", "--shadows", "5", "--out", str(tmp_path)]
    answer = CliRunner().invoke(main, [*words, "--json"])
    assert json.loads(answer.stdout)["canaries"]["alternatives"] == 40
    assert calls[0] == (bench.Plan(shadows=5), tmp_path / "full-0")
    assert "canar" not in CliRunner().invoke(main, words).stderr
