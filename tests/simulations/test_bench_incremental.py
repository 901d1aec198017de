"""The comparison of learning later with learning anew, on a release of nobody."""

import json

import pytest
from toy_release import toy_release

from proper_shared.errors import ConfigError, DataError
from proper_simulations.bench.incremental import Plan, as_text, incremental


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return toy_release(tmp_path_factory.mktemp("toy") / "release")


@pytest.fixture(scope="module")
def found(release):
    return incremental(release, plan=Plan(users=8, updates=2, timed=1))


def test_the_numbers_are_of_everybody_with_entries_enough(found):
    assert 0 < found["users"] <= 8
    assert found["entries"]["least"] >= 10
    assert found["new_in_an_update"]["most"] <= 0.1 * found["entries"]["most"] + 1
    assert json.loads(json.dumps(found)) == found


def test_an_update_costs_less_than_all_anew(found):
    cost = found["cost"]
    assert 0 < cost["later"] < cost["anew"]
    assert cost["ratio"] == pytest.approx(cost["later"] / cost["anew"])
    assert found["seconds"]["users"] == 1


def test_a_ratio_lies_in_its_interval_and_is_shown(found):
    told = as_text(found)
    for name, own in found["later_over_anew"].items():
        assert own["low"] <= own["change"] <= own["high"]
        assert name in told


def test_real_histories_need_a_folder_with_somebody_who_has_entries(tmp_path_factory):
    other = toy_release(tmp_path_factory.mktemp("toy") / "r", task="LaMP_3")
    with pytest.raises(ConfigError, match="none of the worlds") as caught:
        incremental(other)
    assert "--data" in caught.value.hint
    folder = tmp_path_factory.mktemp("data")
    record = {"user_id": "1", "profile": [], "query": []}
    (folder / "user_top_100_history.json").write_text(json.dumps([record]))
    somebody = {**record, "user_id": "2"}
    (folder / "user_others.json").write_text(json.dumps([somebody]))
    label = {"task": "LaMP_3", "golds": []}
    (folder / "user_top_100_history_label.json").write_text(json.dumps(label))
    with pytest.raises(DataError, match="has 0 users"):
        incremental(other, folder)
