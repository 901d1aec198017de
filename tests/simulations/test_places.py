import pytest

from proper_shared.errors import ConfigError
from proper_simulations import places
from proper_simulations.places import check_out


def test_a_folder_that_can_be_written_is_left_as_it_is(tmp_path):
    check_out(tmp_path / "not" / "there")
    assert not list(tmp_path.iterdir())
    for name in ("release/release.json", "results.json", "report.html"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("of an earlier run")
    check_out(tmp_path)


TAKEN = {
    "somebody's files": ("release/thesis.txt", "release is there and is no release"),
    "a page that is a folder": ("report.html/x", "report.html is a folder"),
    "results that are a folder": ("results.json/x", "results.json is a folder"),
    "a release that is a file": ("release", "release is a file"),
    "work that is a file": ("work", "work is a file"),
}


@pytest.mark.parametrize("case", TAKEN)
def test_a_folder_where_something_else_stands_is_refused(tmp_path, case):
    name, words = TAKEN[case]
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(ConfigError, match=words) as caught:
        check_out(tmp_path)
    assert caught.value.hint
    assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("name", ["", "release", "work", "work/exam"])
def test_a_link_to_nothing_is_refused(tmp_path, name):
    link = tmp_path / "out" / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="is a link to nothing"):
        check_out(tmp_path / "out")


def test_a_release_that_is_a_link_is_not_replaced(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "release").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="release is a link") as caught:
        check_out(tmp_path)
    assert "--out" in caught.value.hint


def test_a_folder_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="file is a file"):
        check_out(tmp_path / "file" / "out")


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(places.os, "access", lambda path, _: path != tmp_path)
    with pytest.raises(ConfigError, match="nothing can be written"):
        check_out(tmp_path / "out")
