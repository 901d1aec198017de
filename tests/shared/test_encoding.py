from dataclasses import replace

import pytest
import tiny
import torch

from proper_shared.encoding import IGNORED, Encoder, Example, collate
from proper_shared.errors import ModelError
from proper_shared.history import Entry

TOKENIZER = tiny.backbone().tokenizer
ENCODER = Encoder(TOKENIZER, tiny.TAGGING)
ODD = ["a 🦊🏳️‍🌈 ran", "שלום עולם", "日本語", "\u202eabc\u0000", "é" * 90]


@pytest.mark.parametrize("text", ODD)
def test_odd_characters_survive(text):
    prompt = ENCODER.prompt(text[:8])
    assert TOKENIZER.decode(prompt, skip_special_tokens=True).strip() == (
        f"{text[:8]}\ntag:".strip()
    )
    output = TOKENIZER.decode(ENCODER.ids(tiny.TAGGING.target("🦊")))
    assert output == " 🦊"


@pytest.mark.parametrize("text", [*ODD, "word " * 500, "x" * 10_000, "🦊" * 300])
def test_a_prompt_is_cut_to_its_length_and_keeps_the_cue(text):
    prompt = ENCODER.prompt(text)
    cue = tuple(ENCODER.ids("\ntag:"))
    slack = 4  # a character cut in two reads as a sign of its own
    assert len(prompt) <= 1 + tiny.TAGGING.max_text_tokens + len(cue) + slack
    assert TOKENIZER.decode(prompt).endswith("\ntag:")
    assert prompt[0] == TOKENIZER.bos_token_id


@pytest.mark.parametrize(("reads", "kept"), [("start", "first"), ("end", "last")])
def test_a_long_text_keeps_the_end_that_the_task_reads(reads, kept):
    task = replace(tiny.TAGGING, max_text_tokens=12, reads=reads)
    prompt = Encoder(TOKENIZER, task).prompt(f"first {'word ' * 5000}last")
    words = TOKENIZER.decode(prompt, skip_special_tokens=True)
    assert {"first", "last"} & set(words.split()) == {kept}
    assert words.endswith("\ntag:")


def test_a_text_that_fits_is_left_as_it_is():
    text = "the chef left the harbor"
    expected = ENCODER.ids(f"{text}\ntag:")
    assert ENCODER.prompt(text) == (TOKENIZER.bos_token_id, *expected)


@pytest.mark.parametrize(
    "labels", [("comedy", "war", "comedy"), ("a b c d e", "a b c d f")]
)
def test_labels_that_a_tokenizer_cannot_tell_apart_are_refused(labels):
    task = replace(tiny.TAGGING, labels=labels, max_output_tokens=4)
    with pytest.raises(ModelError, match="is the same as") as caught:
        Encoder(TOKENIZER, task)
    assert "tokenizer" in caught.value.hint


def test_a_target_is_cut_and_free_text_is_ended():
    entry = Entry("0", "a", "b c d e f g h i j k l m n o p")
    short = Encoder(TOKENIZER, replace(tiny.WRITING, max_output_tokens=3))
    assert short.example(entry).target[:3] == short.target("b c d e f g")[:3]
    assert len(short.target(entry.output)) == 4
    assert short.target("b")[-1] == TOKENIZER.eos_token_id
    assert TOKENIZER.eos_token_id not in ENCODER.target("comedy")


def test_rows_of_users_are_laid_side_by_side_and_end_together():
    rows = [
        [Example((1, 5, 6), (7,)), Example((1, 5), (8, 9))],
        [Example((1, 3, 4, 5, 6), (7, 8, 9))],
    ]
    batch = collate(rows, padding=0)
    assert batch.ids.tolist() == [
        [0, 0, 0, 0, 1, 5, 6, 7],
        [0, 0, 0, 0, 1, 5, 8, 9],
        [1, 3, 4, 5, 6, 7, 8, 9],
        [0] * 8,
    ]
    ignored = IGNORED
    assert batch.targets.tolist() == [
        [ignored, ignored, 7],
        [ignored, 8, 9],
        [7, 8, 9],
        [ignored] * 3,
    ]
    assert batch.extents == ((2, 4), (1, 8))
    assert batch.mask.sum(1).tolist() == [4, 4, 8, 1]


def test_positions_are_counted_from_a_rows_first_token():
    batch = collate([[Example((1, 5), (7,)), Example((1, 3, 4, 5), (7,))]], 0)
    assert batch.positions.tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 3, 4]]


def test_padding_changes_no_answer():
    made = tiny.adapted("llama", "group")
    short, long = tiny.examples(2, seed=3)[1], Example(tuple(range(3, 40)), (40, 41))
    with torch.no_grad():
        alone = made.logits(collate([[short]], 0))
        beside = made.logits(collate([[short, long]], 0))[:1]
    torch.testing.assert_close(beside[:, -alone.shape[1] :], alone)


def test_what_the_padding_is_called_does_not_matter():
    made = tiny.adapted("gemma")
    rows = [tiny.examples(4)]
    with torch.no_grad():
        zero, other = (made.logits(collate(rows, padding)) for padding in (0, 9))
    known = collate(rows, 0).targets != IGNORED
    assert torch.equal(zero[known], other[known])
