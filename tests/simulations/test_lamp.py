import json
import os
from pathlib import Path

import pytest

from proper_shared.errors import ConfigError, DataError
from proper_shared.tasks import TASKS
from proper_simulations.lamp import SPLITS, load_data

ROOT = Path(__file__).parents[2]
LAMP = [name for name in TASKS if name.startswith("LaMP")]
KEYS = {
    "LaMP_1": ("title", "abstract"),
    "LaMP_2M": ("description", "tag"),
    "LaMP_2N": ("text", "category"),
    "LaMP_3": ("text", "score"),
    "LaMP_4": ("text", "title"),
    "LaMP_5": ("abstract", "title"),
    "LaMP_7": ("text", "text"),
}
REAL = ("product_rating", "news_headline", "scholarly_title")


def record(name, number, date=None):
    text_key, output_key = KEYS[name]
    labels = () if name == "LaMP_1" else TASKS[name].labels
    output = labels[number % len(labels)] if labels else f"output {number}"
    made = {"id": f"p{number}", output_key: output}
    made.setdefault(text_key, f"text {number}")
    return made | ({"date": date} if date else {})


def gold_of(name, number=0):
    labels = TASKS[name].labels
    return labels[number % len(labels)] if labels else f"gold {number}"


def person(name, user, entries=3):
    return {
        "user_id": user,
        "profile": [record(name, n) for n in range(entries)],
        "query": [{"id": f"q-{user}", "input": f"ask {user}", "gold": gold_of(name)}],
    }


def per_user(name="LaMP_3"):
    """Return the content of the three files of the per-user layout."""
    users = [person(name, "u1"), person(name, "u2")]
    golds = [{"id": f"q-{u}", "output": gold_of(name)} for u in ("u1", "u2")]
    return {
        "user_top_100_history.json": users,
        "user_others.json": [person(name, "o1"), person(name, "o2")],
        "user_top_100_history_label.json": {"task": name, "golds": golds},
    }


def official(name="LaMP_3", split="dev", lengths=(2, 5, 3)):
    """Return the content of one split of the official files."""
    questions = [
        {
            "id": f"{split}{n}",
            "input": f"ask {n}",
            "profile": [
                record(name, 1000 * SPLITS.index(split) + 100 * n + k)
                for k in range(length)
            ],
        }
        for n, length in enumerate(lengths)
    ]
    golds = [{"id": one["id"], "output": gold_of(name)} for one in questions]
    return {
        f"{split}_questions.json": questions,
        f"{split}_outputs.json": {"task": name, "golds": golds},
    }


@pytest.fixture
def write(tmp_path):
    def _write(files):
        folder = tmp_path / "data"
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            (folder / name).write_text(json.dumps(content), encoding="utf-8")
        return folder

    return _write


@pytest.mark.parametrize("name", LAMP)
def test_every_task_loads_in_the_per_user_layout(write, name):
    data = load_data(write(per_user(name)))
    assert data.task is TASKS[name]
    assert data.name == "data"
    assert data.truth is None
    assert [user.user_id for user in data.users] == ["u1", "u2"]
    assert [user.user_id for user in data.others] == ["o1", "o2"]
    for user in (*data.users, *data.others):
        assert [entry.id for entry in user.profile] == ["p0", "p1", "p2"]
        assert [query.output for query in user.queries] == [gold_of(name)]
        assert all(data.task.accepts(entry.output) for entry in user.profile)


@pytest.mark.parametrize("name", LAMP)
def test_every_task_loads_from_the_official_files(write, name):
    data = load_data(write(official(name)), test_users=1)
    assert data.task is TASKS[name]
    assert [user.user_id for user in data.users] == ["dev1"]
    assert [user.user_id for user in data.others] == ["dev0", "dev2"]
    assert data.users[0].queries[0].output == gold_of(name)


def test_longest_and_shortest_histories_in_stable_order(write):
    folder = write(official(lengths=(2, 5, 3, 5, 2)))

    def users(choose):
        return [u.user_id for u in load_data(folder, test_users=2, choose=choose).users]

    assert users("longest") == ["dev1", "dev3"]
    assert users("shortest") == ["dev0", "dev4"]


def test_one_person_under_several_question_ids_is_there_once(write):
    files = official(lengths=(2, 5, 3, 4))
    asked = files["dev_questions.json"]
    asked[3]["profile"] = [*asked[1]["profile"], record("LaMP_3", 7)]  # a year later
    data = load_data(write(files), test_users=1)
    assert [user.user_id for user in data.users] == ["dev3"]
    assert [user.user_id for user in data.others] == ["dev0", "dev2"]


def test_several_splits_are_one_data_set_and_a_bare_test_split_is_passed_over(write):
    bare = {"test_questions.json": official(split="test")["test_questions.json"]}
    files = official(split="train") | official(split="dev") | bare
    data = load_data(write(files), test_users=2)
    assert [user.user_id for user in data.users] == ["train1", "dev1"]
    assert len(data.others) == 4


@pytest.mark.parametrize(
    ("edition", "keys"), [("LaMP_2M", "movies"), ("LaMP_2N", "news")]
)
def test_the_two_editions_of_the_second_task_are_told_apart(write, edition, keys):
    files = per_user(edition)
    for name in ("LaMP_2", "LaMP-2", f"LaMP_2_{keys}"):
        files["user_top_100_history_label.json"]["task"] = name
        assert load_data(write(files)).task.name == edition


@pytest.mark.parametrize(
    ("wanted", "left"), [(1, ["u1"]), (2, ["u1", "u2"]), (9, ["u1", "u2"])]
)
def test_of_users_in_files_of_their_own_the_first_are_taken(write, wanted, left):
    data = load_data(write(per_user()), test_users=wanted)
    assert [user.user_id for user in data.users] == left
    assert [user.user_id for user in data.others] == ["o1", "o2"]


def test_fewer_users_are_other_data(write):
    folder = write(per_user())
    one, both, all_of_them = (load_data(folder, test_users=n) for n in (1, 2, 100))
    assert one.fingerprint != both.fingerprint == all_of_them.fingerprint


def test_profiles_are_sorted_by_date_and_equal_dates_stay(write):
    files = per_user()
    days = ["2020-03-01", "2020-01-01", "2020-02-01", "2020-01-01"]
    files["user_top_100_history.json"][0]["profile"] = [
        record("LaMP_3", n, day) for n, day in enumerate(days)
    ]
    files["user_top_100_history.json"][1]["profile"] = [
        record("LaMP_3", n, day) for n, day in enumerate(["10", "9"])
    ]
    users = load_data(write(files)).users
    assert [entry.id for entry in users[0].profile] == ["p1", "p3", "p2", "p0"]
    assert [entry.date for entry in users[1].profile] == ["9", "10"]


def test_the_fingerprint_is_of_the_content_alone(write, tmp_path):
    files = per_user()
    folder = write(files)
    before = load_data(folder).fingerprint
    (folder / "user_others.json").write_text(
        json.dumps(files["user_others.json"], indent=3), encoding="utf-8"
    )
    moved = folder.rename(tmp_path / "elsewhere")
    assert load_data(moved).fingerprint == before
    files["user_others.json"][1]["profile"][2]["text"] += "!"
    assert load_data(write(files)).fingerprint != before


def test_queries_of_others_without_gold_are_left_out(write):
    files = per_user()
    del files["user_others.json"][0]["query"][0]["gold"]
    assert [len(user.queries) for user in load_data(write(files)).others] == [0, 1]


def test_golds_of_users_may_stand_in_the_labels_file_alone(write):
    files = per_user()
    del files["user_top_100_history.json"][0]["query"][0]["gold"]
    assert load_data(write(files)).users[0].queries[0].output == "1"


def test_numbers_are_read_as_ids_users_and_golds(write):
    files = per_user()
    files["user_top_100_history.json"][0]["user_id"] = 17
    files["user_top_100_history.json"][0]["query"][0] |= {"id": 4, "gold": 1}
    files["user_top_100_history_label.json"]["golds"][0] = {"id": 4, "output": 1}
    user = load_data(write(files)).users[0]
    assert (user.user_id, user.queries[0].id, user.queries[0].output) == (
        "17",
        "4",
        "1",
    )


USERS, OTHERS = "user_top_100_history.json", "user_others.json"
LABELS = "user_top_100_history_label.json"


def at(*path, value):
    """Return a change of the files: put `value` where the path leads."""

    def change(files):
        place = files
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


BROKEN = {
    "no labels": (lambda f: f.pop(LABELS), f"has no {LABELS}"),
    "no users": (lambda f: f.pop(USERS), f"has no {USERS}"),
    "no others": (lambda f: f.pop(OTHERS), f"has no {OTHERS}"),
    "nothing": (lambda f: f.clear(), "holds no data"),
    "users empty": (at(USERS, value=[]), "is an empty list"),
    "others an object": (at(OTHERS, value={}), "an object as content, expected a list"),
    "a user a string": (at(OTHERS, 1, value="o2"), "a string as item 2 of content"),
    "labels a list": (at(LABELS, value=[]), "holds a list, expected an object"),
    "golds missing": (lambda f: f[LABELS].pop("golds"), "nothing as golds"),
    "task missing": (lambda f: f[LABELS].pop("task"), "has no task"),
    "task unknown": (at(LABELS, "task", value="LaMP_9"), "got task 'LaMP_9'"),
    "gold twice": (
        lambda f: f[LABELS]["golds"].append(f[LABELS]["golds"][0]),
        "gold 3 has the id 'q-u1' again",
    ),
    "gold missing": (lambda f: f[LABELS]["golds"].pop(), "'u2', query 1 has no gold"),
    "gold of nobody": (
        lambda f: f[LABELS]["golds"].append({"id": "x", "output": "1"}),
        "1 golds that nobody asks, 'x'",
    ),
    "golds differ": (
        at(USERS, 0, "query", 0, "gold", value="2"),
        "has the gold '2', but .* '1'",
    ),
    "gold no label": (at(LABELS, "golds", 0, "output", value="9"), "'1', but .* '9'"),
    "gold of others no label": (
        at(OTHERS, 0, "query", 0, "gold", value="9"),
        "has '9', expected a score of LaMP_3",
    ),
    "no user_id": (lambda f: f[USERS][0].pop("user_id"), "a user has no user_id"),
    "a user twice": (at(OTHERS, 0, "user_id", value="u1"), "'u1' stands there twice"),
    "a query twice": (
        at(USERS, 1, "query", 0, "id", value="q-u1"),
        "queries: the id 'q-u1' stands there twice",
    ),
    "no profile": (lambda f: f[USERS][0].pop("profile"), "nothing as profile"),
    "no query": (lambda f: f[USERS][0].pop("query"), "nothing as query"),
    "no input": (lambda f: f[USERS][0]["query"][0].pop("input"), "has no input"),
    "record a number": (at(USERS, 0, "profile", 1, value=3), "item 2 of profile"),
    "record without score": (
        lambda f: f[USERS][0]["profile"][1].pop("score"),
        "user 'u1', profile record 2 has no score",
    ),
    "record twice": (
        at(USERS, 0, "profile", 1, "id", value="p0"),
        "profile: the id 'p0' stands there twice",
    ),
    "one date": (at(USERS, 0, "profile", 1, "date", value="2020"), "1 has no date"),
}


@pytest.mark.parametrize(("change", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_what_is_broken_is_named_and_has_a_hint(write, change, message):
    files = per_user()
    change(files)
    with pytest.raises(DataError, match=message) as caught:
        load_data(write(files))
    assert caught.value.hint


def test_an_official_split_without_outputs_is_refused(write):
    files = official(split="train") | official(split="dev")
    del files["dev_outputs.json"]
    with pytest.raises(DataError, match=r"has no dev_outputs\.json") as caught:
        load_data(write(files), test_users=1)
    assert "labels" in caught.value.hint


def test_a_test_split_alone_needs_its_outputs(write):
    files = official(split="test")
    del files["test_outputs.json"]
    with pytest.raises(DataError, match=r"has no test_outputs\.json"):
        load_data(write(files), test_users=1)


def test_an_official_question_without_gold_is_refused(write):
    files = official()
    files["dev_outputs.json"]["golds"].pop()
    with pytest.raises(DataError, match="question 'dev2' has no gold"):
        load_data(write(files), test_users=1)


def test_splits_of_two_tasks_are_refused(write):
    files = official("LaMP_3", "train") | official("LaMP_4", "dev")
    with pytest.raises(DataError, match=r"dev_outputs\.json is of LaMP_4"):
        load_data(write(files), test_users=1)


def test_a_person_in_two_splits_is_refused(write):
    files = official(split="train") | official(split="dev")
    files["dev_questions.json"][0]["id"] = "train0"
    files["dev_outputs.json"]["golds"][0]["id"] = "train0"
    with pytest.raises(DataError, match="'train0' stands there twice") as caught:
        load_data(write(files), test_users=1)
    assert "one split" in caught.value.hint


def test_too_few_histories_to_test_and_to_learn_from(write):
    with pytest.raises(DataError, match="got 3 histories, expected more than 100"):
        load_data(write(official()))


def test_the_task_asked_for_must_be_that_of_the_files(write):
    folder = write(per_user())
    assert load_data(folder, "LaMP-3").task.name == "LaMP_3"
    with pytest.raises(DataError, match="is of LaMP_3, asked for LaMP_4"):
        load_data(folder, "LaMP_4")
    with pytest.raises(ConfigError, match="got task 'LaMP_33'"):
        load_data(folder, "LaMP_33")


def test_a_missing_folder_and_a_file_are_refused(tmp_path):
    with pytest.raises(DataError, match="there is no folder"):
        load_data(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="there is no folder"):
        load_data(tmp_path / "file")


@pytest.mark.parametrize("name", REAL)
def test_real_histories_load_and_lose_nothing(name):
    root = Path(os.environ.get("PROPER_DATA", ROOT.parent / "shared" / "data"))
    folder = root / name
    if not folder.is_dir():
        pytest.skip(f"no {name} in {root}: set PROPER_DATA to a folder of real data")
    data = load_data(folder)
    raw = json.loads((folder / USERS).read_text(encoding="utf-8"))
    assert [user.user_id for user in data.users] == [one["user_id"] for one in raw]
    for user, one in zip(data.users, raw, strict=True):
        assert [entry.id for entry in user.profile] == [p["id"] for p in one["profile"]]
        assert [query.output for query in user.queries] == [
            query["gold"].strip() for query in one["query"]
        ]
        for query, asked in zip(user.queries, one["query"], strict=True):
            assert asked["input"].strip().endswith(query.text)
            assert len(asked["input"]) - len(query.text) > 40
