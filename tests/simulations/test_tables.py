import re

import pytest
from click.testing import CliRunner

from proper_simulations.cli import main
from proper_simulations.results import write
from proper_simulations.tables import difference, over_seeds, percent, short, tables


@pytest.fixture
def folder(make_results, tmp_path):
    for seed in (0, 1):
        run = make_results().model_copy(update={"seed": seed})
        write(tmp_path / f"world-tagging-seed{seed}.json", run)
    return tmp_path


def test_each_run_has_a_row_and_all_seeds_have_one(folder):
    lines = tables(folder).splitlines()
    assert sum(bool(re.match(r"\| [^|]*, [01] \|", line)) for line in lines) == 2
    assert any("| 0, 1 |" in line for line in lines)
    for table in tables(folder).split("\n\n"):
        assert len({line.count("|") for line in table.strip().splitlines()}) == 1


def test_the_same_people_count_once_and_other_people_each(make_results):
    run = make_results()
    other = run.data.model_copy(update={"sha256": "1" * 64})
    again = run.model_copy(update={"seed": 1})
    strangers = again.model_copy(update={"data": other})
    alone = over_seeds([run], "chosen", "stage1")
    same = over_seeds([run, again], "chosen", "stage1")
    both = over_seeds([run, strangers], "chosen", "stage1")
    users = alone.wins + alone.ties + alone.losses
    assert same.wins + same.ties + same.losses == users
    assert both.wins + both.ties + both.losses == 2 * users
    assert both.high - both.low < 0.8 * (same.high - same.low)
    assert both.difference == pytest.approx(alone.difference, abs=1e-9)


def test_numbers_are_short_and_never_minus_zero(make_results):
    assert (short(0.4225), short(-0.19, 2), short(1.04)) == (".422", "-.19", "1.040")
    assert (percent(-0.001), percent(0.07), percent(0.0567, 1)) == (
        "0 %",
        "7 %",
        "5.7 %",
    )
    pair = over_seeds([make_results()], "stage1", "stage1")
    assert difference(pair) == "+.000 (+.000 to +.000)"


def test_the_command_prints_the_tables_or_says_what_is_missing(folder, tmp_path):
    done = CliRunner().invoke(main, ["tables", str(folder)])
    assert done.output == tables(folder)
    (tmp_path / "empty").mkdir()
    failed = CliRunner().invoke(main, ["tables", str(tmp_path / "empty")])
    assert failed.exit_code == 2
    assert "there are no results" in failed.output
