import pytest

from proper_shared.errors import ConfigError
from proper_simulations import pieces as module
from proper_simulations.pieces import Pieces, code_fingerprint


def refuse():
    raise AssertionError("it is there already")


def test_a_piece_is_made_once(tmp_path):
    made = Pieces(tmp_path / "work", "a").get("one", lambda: {"x": [1, "two"]})
    assert made == {"x": [1, "two"]}
    assert Pieces(tmp_path / "work", "a").get("one", refuse) == made


def test_the_time_of_a_piece_is_known_whenever_it_was_made(tmp_path):
    first, later = Pieces(tmp_path, "a"), Pieces(tmp_path, "a")
    first.get("one", lambda: 1)
    later.get("one", refuse)
    assert later.seconds == first.seconds
    assert first.seconds["one"] >= 0


def test_pieces_of_another_run_are_refused_and_left_as_they_are(tmp_path):
    work = tmp_path / "work"
    Pieces(work / "exam", "a").get("one", lambda: 1)
    with pytest.raises(ConfigError, match="another run") as caught:
        Pieces(work / "exam", "b").get("one", refuse)
    assert f"delete {work} to" in caught.value.hint
    assert Pieces(work / "exam", "a").get("one", refuse) == 1


@pytest.mark.parametrize("content", ["", "{", '{"identity": "a"}', "[1]"])
def test_a_damaged_piece_is_made_anew(tmp_path, content):
    (tmp_path / "one.json").write_text(content)
    assert Pieces(tmp_path, "a").get("one", lambda: 2) == 2
    assert Pieces(tmp_path, "a").get("one", refuse) == 2


def test_nothing_is_kept_of_a_piece_that_was_not_finished(tmp_path):
    def stop():
        raise KeyboardInterrupt

    pieces = Pieces(tmp_path, "a")
    with pytest.raises(KeyboardInterrupt):
        pieces.get("one", stop)
    assert not list(tmp_path.iterdir())
    assert pieces.get("one", lambda: 3) == 3


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A copy of no package but one, whose code may be changed."""
    (tmp_path / "report").mkdir()
    for name in ("train.py", "report/page.py"):
        (tmp_path / name).write_text("x = 1")
    monkeypatch.setattr(module, "files", lambda _: tmp_path)
    monkeypatch.setattr(module, "PACKAGES", ("toy",))
    return tmp_path


@pytest.mark.parametrize(
    ("name", "differs"),
    [("train.py", True), ("new.py", True), ("report/page.py", False)],
)
def test_other_code_is_another_run_unless_it_only_shows(sources, name, differs):
    before = code_fingerprint.__wrapped__()
    (sources / name).write_text("x = 2")
    assert (code_fingerprint.__wrapped__() != before) is differs


def test_the_code_of_a_run_is_looked_at_once(sources):
    code_fingerprint.cache_clear()
    before = code_fingerprint()
    (sources / "train.py").write_text("x = 2")
    assert code_fingerprint() == before
    code_fingerprint.cache_clear()
