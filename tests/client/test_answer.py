"""Answers for many users at once, against a plain loop."""

import itertools
import math
from dataclasses import replace

import pytest
import tiny
import torch

from proper_client.answer import Answerer, tables
from proper_shared.encoding import Encoder, Example, collate
from proper_shared.method.stages import AdaptedModel

TEXTS = [
    ["the ship", "a long letter from the storm and the queen", "x 🦊🏳️‍🌈"],
    ["the garden"],
    [f"robot {n} שלום" for n in range(7)],
]
LABELS = ("comedy", "a thought-provoking comedy", "crime and punishment", "war")


def answerer(task=tiny.TAGGING, users=3, rows=512):
    own = tiny.backbone()
    made = AdaptedModel(own.model, tiny.method())
    made.add("group")
    made.add("user")
    tiny.stir(made, "group", "user")
    generator = torch.Generator().manual_seed(1)
    made.load({"users.embedding": torch.randn(3, 6, generator=generator)[:users]})
    made.users.use("group", "user")
    return Answerer(made, Encoder(own.tokenizer, task), rows)


def alone(made, seat):
    """The same model with one user in it."""
    twin = answerer(made.encoder.task, rows=made.rows)
    twin.adapted.load(
        {"users.embedding": twin.adapted.users.embedding[seat : seat + 1]}
    )
    return twin


@torch.no_grad()
def naive(made, prompt, target):
    """The log probability of each target token, in an unpadded row of its own."""
    logits = made.adapted.model(torch.tensor([prompt + target])).logits[0]
    log_probs = logits.log_softmax(-1)
    places = range(len(prompt) - 1, len(prompt) + len(target) - 1)
    return [log_probs[p, t].item() for p, t in zip(places, target, strict=True)]


def prompts(made):
    return [[made.encoder.prompt(text) for text in own] for own in TEXTS]


@pytest.mark.parametrize("rows", [3, 6, 512])
@pytest.mark.parametrize("labels", [LABELS, tiny.TAGS])
def test_a_label_is_as_likely_as_its_tokens_one_by_one(labels, rows):
    made = answerer(replace(tiny.TAGGING, labels=labels), rows=rows)
    assert (labels == LABELS) == any(len(label) > 1 for label in made.labels)
    found = made.label_log_probs(prompts(made))
    for seat, own in enumerate(prompts(made)):
        twin = alone(made, seat)
        expected = [[sum(naive(twin, p, t)) for t in made.labels] for p in own]
        torch.testing.assert_close(
            found[seat], torch.tensor(expected), rtol=1e-4, atol=1e-4
        )


def test_the_likeliest_label_is_answered():
    made = answerer(replace(tiny.TAGGING, labels=LABELS))
    answers = made.answers(TEXTS)
    best = [rows.argmax(-1) for rows in made.label_log_probs(prompts(made))]
    assert answers == [[LABELS[i] for i in own.tolist()] for own in best]
    assert len({answer for own in answers for answer in own}) > 1


@pytest.mark.parametrize(
    ("probabilities", "median"),
    [
        ([0.1, 0.1, 0.1, 0.3, 0.4], "4"),
        ([0.4, 0.05, 0.05, 0.1, 0.4], "3"),
        ([0.6, 0.1, 0.1, 0.1, 0.1], "1"),
        ([0.0, 0.0, 0.0, 0.0, 1.0], "5"),
        ([0.5, 0.0, 0.0, 0.0, 0.5], "1"),
    ],
)
def test_a_score_is_the_median_of_the_label_probabilities(probabilities, median):
    made = answerer(tiny.SCORING)
    log_probs = (torch.tensor([probabilities]) * 0.01).log()
    assert made._pick(log_probs) == [median]
    p = torch.tensor(probabilities)
    scores = torch.arange(1.0, 6)
    errors = [(p * (scores - s).abs()).sum() for s in scores]
    assert errors[int(median) - 1] <= min(errors) + 1e-6


@pytest.mark.parametrize("task", [tiny.TAGGING, tiny.SCORING, tiny.WRITING])
@pytest.mark.parametrize("rows", [3, 512])
def test_a_cohort_is_answered_as_each_user_alone(task, rows):
    made = answerer(task, rows=rows)
    together = made.answers(TEXTS)
    assert [len(own) for own in together] == [len(own) for own in TEXTS]
    for seat, own in enumerate(TEXTS):
        for text, answer in zip(own, together[seat], strict=True):
            assert alone(made, seat).answers([[text]]) == [[answer]]


def test_writing_is_greedy_and_stops_at_the_length():
    made = answerer(tiny.WRITING, users=1)
    text = TEXTS[0][1]
    ids = made.encoder.prompt(text)
    for _ in range(tiny.WRITING.max_output_tokens):
        with torch.no_grad():
            best = int(made.adapted.model(torch.tensor([ids])).logits[0, -1].argmax())
        ids = (*ids, best)
        if best == made.encoder.end[0]:
            break
    new = ids[len(made.encoder.prompt(text)) :]
    expected = made.encoder.tokenizer.decode(new, skip_special_tokens=True).strip()
    assert made.answers([[text]]) == [[expected]]
    assert expected


def test_a_models_own_settings_change_no_answer():
    made = answerer(tiny.WRITING)
    plain = made.answers(TEXTS)
    settings = made.adapted.model.generation_config
    own = {"num_beams": 3, "min_new_tokens": 9, "eos_token_id": 7, "top_k": 2}
    own |= {"no_repeat_ngram_size": 1, "suppress_tokens": list(range(500))}
    settings.update(**own)
    assert made.answers(TEXTS) == plain
    assert made.adapted.model.generation_config is settings  # a release ships them
    assert settings.num_beams == 3


def test_writing_ends_where_training_let_answers_end():
    made = answerer(tiny.WRITING, users=1)
    ids = [made.encoder.prompt("a long day")]
    first = int(made._continued(collate([[Example(p, ()) for p in ids]], 0))[0, 0])
    tokenizer = made.encoder.tokenizer
    tokenizer.eos_token = tokenizer.convert_ids_to_tokens(first)
    again = made._continued(collate([[Example(p, ()) for p in ids]], 0))
    assert again.tolist() == [[first]]


@pytest.mark.parametrize("rows", [3, 512])
def test_losses_are_means_over_the_users_own_target_tokens(rows):
    made = answerer(rows=rows)
    examples = [tiny.examples(5, seed=1), [], tiny.examples(2, seed=2)]
    found = made.losses(examples)
    for seat in (0, 2):
        twin = alone(made, seat)
        each = [naive(twin, x.prompt, x.target) for x in examples[seat]]
        flat = [value for own in each for value in own]
        assert found[seat] == pytest.approx(-sum(flat) / len(flat), abs=1e-4)
    assert found[1] == 0


def test_texts_cost_their_loss():
    made = answerer(tiny.WRITING)
    examples = [tiny.examples(5, seed=1), [], tiny.examples(2, seed=2)]
    tokens = [sum(len(x.target) for x in own) for own in examples]
    means = made.losses(examples)
    expected = [count * mean for count, mean in zip(tokens, means, strict=True)]
    assert made.costs(examples) == pytest.approx(expected)


@pytest.mark.parametrize("rows", [3, 512])
@pytest.mark.parametrize("task", [tiny.TAGGING, tiny.SCORING])
def test_labels_cost_what_drawn_answers_would_be_wrong_by(task, rows):
    made = answerer(task, rows=rows)
    label = itertools.cycle(made.labels)
    examples = [[Example(p, next(label)) for p in own] for own in prompts(made)]
    examples[1] = []
    found = made.costs(examples)
    for seat in (0, 2):
        twin, expected = alone(made, seat), 0.0
        for example in examples[seat]:
            gold = made.labels.index(example.target)
            each = [sum(naive(twin, example.prompt, target)) for target in made.labels]
            total = sum(math.exp(value) for value in each)
            for place, value in enumerate(each):
                off = abs(place - gold) if task.kind == "score" else place != gold
                expected += off * math.exp(value) / total
        assert found[seat] == pytest.approx(expected, abs=1e-4)
    assert found[1] == 0


def test_users_who_ask_nothing_are_answered_nothing():
    for task in (tiny.TAGGING, tiny.WRITING):
        made = answerer(task)
        assert [len(own) for own in made.answers([["a"], [], ["b", "c"]])] == [1, 0, 2]


def test_an_example_without_a_prompt_or_a_target_is_no_harm():
    made = answerer(users=1)
    loss = made.losses([[Example((1, 5), ()), Example((1, 5), (7,))]])
    assert loss == pytest.approx(made.losses([[Example((1, 5), (7,))]]))


def test_users_sit_at_tables_of_those_who_ask_about_as_much():
    counts = [1, 0, 300, 7, 5, 2, 3, 290]
    found = tables(counts)
    assert sorted(seat for table in found for seat in table) == [0, 2, 3, 4, 5, 6, 7]
    for table in found:
        asked = [counts[seat] for seat in table]
        assert max(asked) < 2 * min(asked)


def test_one_who_asks_much_costs_the_others_nothing(monkeypatch):
    made = answerer(rows=6)
    rows = []
    inner = made.adapted.logits
    monkeypatch.setattr(
        made.adapted, "logits", lambda b: rows.append(len(b.ids)) or inner(b)
    )
    made.answers([["the ship"], ["the garden"], ["a robot"] * 40])
    assert sum(rows) == 42


def test_all_sit_as_before_when_some_were_asked_alone():
    made = answerer().adapted
    before = {name: tensor for name, (_, _, tensor) in made._named()}
    with made.only([2, 0]):
        own = made.users.embedding
        assert torch.equal(own, before["users.embedding"][[2, 0]])
    with pytest.raises(IndexError), made.only([7]):
        pass
    assert all(tensor is before[name] for name, (_, _, tensor) in made._named())
