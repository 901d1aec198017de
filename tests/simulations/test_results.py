import json
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from proper_shared.errors import FormatError
from proper_simulations.results import Results, load, schema, write

SCHEMA = Path(__file__).parents[2] / "docs" / "results.schema.json"


def changed(results, **changes):
    return Results.model_validate(results.model_dump() | changes)


def test_the_schema_in_the_docs_is_the_schema_of_the_code():
    assert SCHEMA.read_text(encoding="utf-8") == schema()


def test_results_come_back_as_they_were_written(results, tmp_path):
    write(tmp_path / "results.json", results)
    assert load(tmp_path / "results.json") == results


def test_the_file_has_the_shape_that_readers_rely_on(results, tmp_path):
    write(tmp_path / "results.json", results)
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert isinstance(found["metrics"]["chosen"]["accuracy"], float)
    pair = found["paired"]["chosen-stage1"]["accuracy"]
    assert pair.keys() == {"difference", "low", "high", "wins", "ties", "losses"}
    assert found["learning_curve"]["entries"] == [0, 1, 2, 4, 8, 16, 32, "all"]
    assert len(found["learning_curve"]["methods"]["stage2"]["accuracy"]) == 8
    assert found["executed"]["masks"] is True


def test_a_list_of_numbers_takes_one_line(results, tmp_path):
    write(tmp_path / "results.json", results)
    text = (tmp_path / "results.json").read_text(encoding="utf-8")
    assert max(len(results.embeddings), 100) < text.count("\n") < 1000


def test_a_file_that_breaks_off_leaves_the_old_one(results, tmp_path, monkeypatch):
    path = tmp_path / "results.json"
    write(path, results)

    def full_disk(_: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space left"):
        write(path, changed(results, seed=99))
    assert load(path).seed == results.seed
    assert list(tmp_path.iterdir()) == [path]


def test_results_cannot_be_changed_after_the_fact(results):
    with pytest.raises(ValidationError, match="frozen"):
        results.seed = 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "the file: invalid json"),
        ("{}", "task: field required"),
        ('{"task": 3}', "task: input should be a valid string"),
    ],
)
def test_other_files_are_refused_with_a_hint(tmp_path, text, why):
    path = tmp_path / "other.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(FormatError, match=why) as caught:
        load(path)
    assert "proper-sim run" in caught.value.hint


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FormatError, match="no such file"):
        load(tmp_path / "none.json")


def test_numbers_that_are_none_are_refused(results):
    metrics = results.model_dump()["metrics"]
    metrics["chosen"]["accuracy"] = float("nan")
    with pytest.raises(ValidationError, match="finite number"):
        changed(results, metrics=metrics)


def test_a_method_without_the_metric_of_the_run_is_refused(results):
    with pytest.raises(ValidationError, match="chosen has no accuracy"):
        changed(results, metrics={"chosen": {"macro_f1": 0.5}})


@pytest.mark.parametrize("value", [1e300, 1.01, -0.1])
def test_scores_that_no_answers_can_have_are_refused(results, value):
    metrics = results.model_dump()["metrics"]
    metrics["chosen"]["accuracy"] = value
    with pytest.raises(ValidationError, match="expected"):
        changed(results, metrics=metrics)


@pytest.mark.parametrize(
    "part", ["intervals", "learning_curve", "scores_by_user", "metrics"]
)
def test_scores_are_in_range_wherever_they_stand(results, part):
    content = json.loads(results.model_dump_json())[part]
    place = content.get("methods", content)["stage3"]
    place["accuracy"] = {
        "intervals": {"low": 0.5, "high": 1.5},
        "metrics": 1.5,
    }.get(part) or [1.5, *place["accuracy"][1:]]
    with pytest.raises(ValidationError, match=r"stage3 has 1\.5 as accuracy"):
        changed(results, **{part: content})


def test_numbers_beyond_all_measure_are_refused(results):
    with pytest.raises(ValidationError, match="beyond 1e\\+15"):
        changed(results, loss_by_round={"population": [1e300, 1.0]})
    with pytest.raises(ValidationError, match="beyond"):
        changed(results, bytes={"down": 10**400})


@pytest.mark.parametrize("method", ["stage1", "chosen"])
def test_results_without_what_a_report_compares_are_refused(results, method):
    metrics = {m: s for m, s in results.model_dump()["metrics"].items() if m != method}
    with pytest.raises(ValidationError, match=f"no {method}, which every run has"):
        changed(results, metrics=metrics)


def test_a_curve_with_a_point_too_few_is_refused(results):
    curve = results.learning_curve.model_dump()
    curve["methods"]["stage2"]["accuracy"].pop()
    with pytest.raises(ValidationError, match=r"stage2\.accuracy has 7 values"):
        changed(results, learning_curve=curve)


def test_an_interval_that_runs_backwards_is_refused(results):
    backwards = {"chosen": {"accuracy": {"low": 0.5, "high": 0.4}}}
    with pytest.raises(ValidationError, match="runs backwards"):
        changed(results, intervals=backwards)


@pytest.mark.parametrize("name", ["Stage 1", "<script>", "../x", ""])
def test_methods_are_plain_names(results, name):
    with pytest.raises(ValidationError, match="should match pattern"):
        changed(results, chosen={name: 1})


def test_unknown_keys_are_refused(results):
    with pytest.raises(ValidationError, match="extra"):
        changed(results, surprise=1)


def test_scores_can_be_read_by_user(results):
    scores = results.by_user("chosen", "accuracy")
    assert list(scores) == [gain.user for gain in results.gain_by_user]
    mean = sum(scores.values()) / len(scores)
    assert mean == pytest.approx(results.metrics["chosen"]["accuracy"], abs=1e-5)
