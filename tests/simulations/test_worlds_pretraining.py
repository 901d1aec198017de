"""Text for backbones teaches to read the worlds and betrays none of them."""

import numpy as np

from proper_shared.tasks import get_task
from proper_simulations.worlds import (
    LANGUAGES,
    lexicon,
    make_world,
    pretraining_text,
)


def _documents(n, seed=0):
    return list(pretraining_text(np.random.default_rng(seed), n))


def test_the_same_generator_writes_the_same_documents():
    assert _documents(30) == _documents(30)
    assert _documents(30) != _documents(30, seed=1)
    assert len(_documents(7)) == 7


def test_all_words_of_all_worlds_are_met():
    met = {word for doc in _documents(6000) for word in doc.split()}
    tables = (lexicon.THEMES, lexicon.ASPECTS, lexicon.SENTIMENTS)
    concepts = (lexicon.NOUNS, lexicon.ADJECTIVES, lexicon.VERBS)
    words = {w for table in (*tables, *concepts) for row in table.values() for w in row}
    assert words - met == set()
    assert set(get_task("tagging").labels) - met == set()


def test_no_text_of_the_people_is_in_the_text_for_pretraining():
    documents = _documents(6000)
    met = {entry.split("\n")[0] for doc in documents for entry in doc.split("\n\n")}
    for name in LANGUAGES:
        data = make_world(name, 0, others=20, users=20)
        for user in (*data.others, *data.users):
            assert not met & {e.text for e in (*user.profile, *user.queries)}


def test_entries_are_in_the_prompt_format_of_their_tasks():
    cues = {get_task(name).cue for name in LANGUAGES}
    for document in _documents(60):
        for entry in document.split("\n\n"):
            _, answer = entry.split("\n")
            cue = answer.split(": ")[0]
            assert cue in {*cues, "about"} or cue.isalpha()


def test_a_reader_is_consistent_within_a_document():
    for document in _documents(300, seed=2):
        said = {}
        for entry in document.split("\n\n"):
            text, answer = entry.split("\n")
            if answer.startswith("in my words: "):
                words = answer.removeprefix("in my words: ").split()
                for plain, own in zip(text.split(), words, strict=True):
                    assert said.setdefault(plain, own) == own


def test_readers_agree_with_a_world_no_more_often_than_by_chance():
    data = make_world("tagging", 0, others=0)
    language, table = data.truth.language, data.truth.prior.tables[0]
    same = []
    for document in _documents(900)[2::3]:  # the worlds take turns, tagging is last
        for entry in document.split("\n\n"):
            text, answer = entry.split("\n")
            if answer.startswith("tag: "):
                theme = language.read(text)[0]
                same.append(answer.removeprefix("tag: ") == language.tags[table[theme]])
    assert len(same) > 500
    assert abs(np.mean(same) - 1 / 15) < 0.05


def test_some_readers_name_what_a_text_is_about_where_its_task_asks_for_a_label():
    for turn, name in ((0, "rating"), (2, "tagging")):  # the worlds take turns
        language, cue = LANGUAGES[name](), get_task(name).cue
        named = 0
        for document in _documents(300)[turn::3]:
            text, answer = document.split("\n\n")[0].split("\n")
            about = language.name(np.random.default_rng(0), text)
            said = answer.removeprefix(f"{cue}: ")
            named += sorted(said.split()) == sorted(about.split())
        assert 20 < named < 60  # of 100
