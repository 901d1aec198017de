"""Answers token by token through the cache, against the whole text read anew."""

import io
from dataclasses import replace

import pytest
import tiny
import torch

from proper_client.answer import Answerer
from proper_client.chatting import Chat
from proper_client.conversation import MANY, Conversation, usual_turns
from proper_client.kept import About
from proper_client.opening import Opened
from proper_client.speaking import Speaker, Voice
from proper_shared.encoding import Encoder
from proper_shared.errors import ConfigError
from proper_shared.method.decoding import decoding
from proper_shared.method.stages import AdaptedModel
from proper_shared.tasks import get_task

TEXTS = ["the ship", "a long letter from the storm and the queen", "x 🦊🏳️‍🌈 שלום"]
ALL = ("group", "user", "lora_router")
WRITING = replace(tiny.WRITING, max_output_tokens=12)


def person(task=WRITING):
    own = tiny.backbone()
    made = AdaptedModel(own.model, tiny.method())
    made.add("group")
    made.add("user")
    tiny.stir(made, "group", "user")
    made.users.embedding.data = torch.randn(1, 6, generator=torch.manual_seed(1))
    made.users.use(*ALL)
    encoder = Encoder(own.tokenizer, task)
    about = About.model_construct(task=task.name, level="personal")
    return Speaker(about, Opened(made, encoder, {}, None, ""))


def talk_of(speaker, turns=None):
    return Conversation(speaker.opened.adapted, speaker.opened.encoder, turns)


@torch.no_grad()
def read_anew(speaker, ids, longest):
    """Greedy tokens, the whole text read for each of them."""
    said = []
    for _ in range(longest):
        out = speaker.opened.adapted.model(torch.tensor([ids + said]), use_cache=False)
        said.append(int(out.logits[0, -1].argmax()))
        if said[-1] == speaker.opened.encoder.end[0]:
            return said[:-1]
    return said


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("strength", [0, 0.4, 0.5, 0.8, 1])
def test_pieces_are_the_answer_that_is_given_at_once(text, strength):
    speaker = person()
    speaker.speak_as(Voice(strength=strength))
    whole = Answerer(speaker.opened.adapted, speaker.opened.encoder)
    expected = whole.answers([[text]])[0][0]
    with decoding(speaker.opened.adapted):
        pieces = list(talk_of(speaker).ask(text))
    assert "".join(pieces) == expected
    assert speaker.answer(text) == expected
    assert len(pieces) > 1


def test_a_conversation_reads_what_was_said_and_the_cache_changes_no_token():
    speaker = person()
    talk = talk_of(speaker, MANY)
    ids = []
    for text in TEXTS:
        "".join(talk.ask(text))
        prompt = list(speaker.opened.encoder.prompt(text))
        said = read_anew(speaker, ids + prompt, WRITING.max_output_tokens)
        ids += prompt + said + list(speaker.opened.encoder.end)
        assert talk.past[-1] == tuple(prompt + said) + speaker.opened.encoder.end
        assert not any("forgotten" in note for note in talk.cut)
    assert len(talk._read) > len(ids) - 4  # read on, not read again


def test_each_token_is_read_once(monkeypatch):
    speaker = person()
    talk, read = talk_of(speaker, MANY), []
    inner = speaker.opened.adapted.model.forward

    def counted(*args, input_ids, **more):
        read.append(input_ids.shape[1])
        return inner(*args, input_ids=input_ids, **more)

    monkeypatch.setattr(speaker.opened.adapted.model, "forward", counted)
    for text in TEXTS:
        "".join(talk.ask(text))
    assert sum(read) == len(talk._read)
    assert sum(read) <= sum(map(len, talk.past))


def test_the_oldest_exchanges_go_first_and_it_is_said():
    speaker = person()
    talk = talk_of(speaker, MANY)
    talk.window = 90
    cut = []
    for n in range(6):
        "".join(talk.ask(f"the ship {n}"))
        cut.append(talk.cut)
        assert sum(map(len, talk.past)) <= 90
    assert any("forgotten: 90 tokens fit" in note for notes in cut for note in notes)
    newest = speaker.opened.encoder.prompt("the ship 5")
    assert talk.past[-1][: len(newest)] == newest


def test_a_text_that_is_longer_than_the_task_reads_is_said_to_be_cut():
    talk = talk_of(person())
    talk.ask("word " * 15)
    assert talk.cut == []
    for long in ("word " * 40, "w" * 100_000):
        talk.ask(long)
        assert talk.cut == ["only the first 16 tokens are read"]


def test_an_answer_that_is_broken_off_leaves_no_trace():
    speaker = person()
    talk = talk_of(speaker, MANY)
    first = "".join(talk.ask(TEXTS[0]))
    pieces = talk.ask(TEXTS[1])
    next(pieces)
    pieces.close()
    assert len(talk.past) == 1
    talk.forget()
    assert "".join(talk.ask(TEXTS[0])) == first


def test_most_tasks_read_no_earlier_turn():
    assert usual_turns(get_task("rewriting")) == 0
    assert usual_turns(get_task("writing")) == MANY
    talk = talk_of(person())
    for _ in range(3):
        assert "".join(talk.ask(TEXTS[0])) == "".join(talk_of(person()).ask(TEXTS[0]))


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_strength_outside_of_the_dial_is_refused(strength):
    with pytest.raises(ConfigError, match="expected 0 to 1"):
        Voice(strength=strength)
    with pytest.raises(ConfigError, match="both"):
        Voice(level="group", strength=0.5)


class Typed(io.StringIO):
    """Lines as if typed; an `^C` among them is Ctrl-C."""

    def readline(self):
        line = super().readline()
        if line == "^C\n":
            raise KeyboardInterrupt
        return line


def chat(lines, *, asks, task=WRITING, voice=None):
    speaker, out, notes = person(task), io.StringIO(), io.StringIO()
    Chat(speaker, Typed(lines), out, notes, asks=asks).run(voice or Voice())
    return speaker, out.getvalue(), notes.getvalue()


def test_a_pipe_gets_a_label_for_each_line_and_nothing_else():
    speaker, out, notes = chat(
        "the ship\n\nthe garden\n/quit\nmore\n", asks=False, task=tiny.TAGGING
    )
    assert out.splitlines() == [
        speaker.label("the ship"),
        "",
        speaker.label("the garden"),
    ]
    assert notes == ""


def test_the_strength_can_be_turned_amid_a_chat():
    text = TEXTS[1]
    _, out, notes = chat(f"/strength 0\n{text}\n/strength 1\n{text}\n", asks=False)
    speaker, answers = person(), []
    for strength in (0, 1):
        speaker.speak_as(Voice(strength=strength))
        answers.append(speaker.answer(text))
    assert out == "".join(f"{answer}\n" for answer in answers)
    assert "strength 0" in notes
    for wrong in ("2", "nan", "", "much"):
        _, out, notes = chat(f"/strength {wrong}\n", asks=False)
        assert (out, "expected 0 to 1" in notes) == ("", True)


def test_ctrl_c_at_the_prompt_leaves_and_in_a_pipe_ends_it():
    _, out, _ = chat("^C\nthe ship\n", asks=True)
    assert out == "> \n"
    with pytest.raises(KeyboardInterrupt):
        chat("^C\nthe ship\n", asks=False)


def test_ctrl_c_breaks_an_answer_off_and_the_chat_goes_on(monkeypatch):
    inner, calls = Conversation._next, []

    def stop(self, new):
        calls.append(new)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return inner(self, new)

    monkeypatch.setattr(Conversation, "_next", stop)
    _, out, _ = chat("the ship\nthe garden\n", asks=True)
    first, second, end = out.split("\n")[:3]
    assert first.endswith("[broken off]")
    assert len(second) > len("> ")
    assert end == "> "


def test_halves_of_characters_and_steering_ones_do_no_harm():
    _, out, _ = chat("a \ud800 b \x1b[2J\n", asks=False)
    assert out.endswith("\n")
    assert "\x1b" not in out
