"""Public texts of a deployment: read before a round, and asked after each."""

import json
from datetime import UTC, datetime

import pytest

from proper_coordinator.deployment import make_deployment
from proper_coordinator.lead import ground_of
from proper_coordinator.public_texts import read_public_texts
from proper_coordinator.settings import Settings
from proper_shared.errors import ConfigError, DataError, ProtocolError

LABELS = ("science", "drama")


def write(folder, name, label, task="tagging"):
    folder.mkdir(exist_ok=True)
    entries = [{"text": f"a text about {word}", "output": label} for word in "abc"]
    path = folder / name
    path.write_text(json.dumps({"task": task, "entries": entries}))
    return path


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    folder = tmp_path_factory.mktemp("public") / "d"
    settings = Settings(public_texts="texts")
    made = make_deployment(folder, settings, (), datetime.now(UTC))
    for number, label in enumerate(LABELS):
        write(folder / "texts", f"{number}.json", label)
    return ground_of(made)


def test_a_file_is_one_person_and_a_folder_many(tmp_path):
    alone = read_public_texts(write(tmp_path, "ann.json", LABELS[0]), "tagging")
    write(tmp_path, "bob.json", LABELS[1])
    both = read_public_texts(tmp_path, "tagging")
    assert (len(alone.people), len(both.people)) == (1, 2)
    assert alone.digest != both.digest
    write(tmp_path, "bob.json", LABELS[0])
    assert read_public_texts(tmp_path, "tagging").digest != both.digest


@pytest.mark.parametrize("name", ["", "missing.json", "empty"])
def test_where_nothing_is_an_operator_is_told(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="no public texts") as caught:
        read_public_texts(tmp_path / "empty" if name == "" else tmp_path / name, "x")
    assert "public_texts" in caught.value.hint


def test_texts_of_another_task_are_refused(tmp_path):
    path = write(tmp_path, "ann.json", "3", task="rating")
    with pytest.raises(DataError, match="rating"):
        read_public_texts(path, "tagging")


def test_a_deployment_judges_rounds_by_its_public_texts(ground):
    part = next(ground.blueprint.parts(Settings()))
    ground.gauge.begin(part)
    ground.gauge.check(part)  # as it was
    part.values |= {n: v + 3 for n, v in part.values.items() if n.endswith(".b")}
    with pytest.raises(ProtocolError, match="public texts cost"):
        ground.gauge.check(part)


def test_what_the_texts_say_is_a_fact_of_the_run(ground, tmp_path):
    folder = tmp_path / "d"
    plain = make_deployment(folder, Settings(), (), datetime.now(UTC))
    without = ground_of(plain)
    assert without.gauge is None
    assert without.facts == ground.facts[:1]
    assert len(ground.facts) == 2
