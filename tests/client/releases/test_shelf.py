"""One release is in use, the one before is kept, and a kill leaves one of the two."""

from pathlib import Path

import pytest

from proper_client.releases.shelf import Kept, Shelf
from proper_shared.errors import ConfigError, FormatError
from proper_shared.release import STARTER


def kept(number):
    return Kept(digest=f"{number:064x}", version=number, backbone="nano")


@pytest.fixture
def shelf(tmp_path):
    made = Shelf(tmp_path / "home")
    made.prepare()
    return made


def take(shelf, number):
    shelf.prepare()
    part = shelf.incoming / f"part-{number}"
    part.write_text(str(number))
    shelf.take(kept(number), {"release.json": part})


def content(shelf):
    current = shelf.current()
    return (shelf.place(current) / "release.json").read_text()


def test_without_a_release_there_is_the_starter(tmp_path):
    assert Shelf(tmp_path / "home").default() == (STARTER, None)
    assert not (tmp_path / "home").exists()
    with pytest.raises(ConfigError, match="no release before") as caught:
        Shelf(tmp_path / "home").back()
    assert "pull" in caught.value.hint


def test_the_one_before_is_kept_and_can_be_used_again(shelf):
    take(shelf, 1)
    with pytest.raises(ConfigError, match="no release before"):
        shelf.back()
    take(shelf, 2)
    assert content(shelf) == "2"
    assert shelf.back() == kept(1)
    assert content(shelf) == "1"
    assert shelf.default() == (shelf.place(kept(1)), "nano")
    assert shelf.back() == kept(2)


def test_the_same_release_again_forgets_nothing(shelf):
    take(shelf, 1)
    take(shelf, 2)
    take(shelf, 2)
    assert content(shelf) == "2"
    assert shelf.back() == kept(1)


def test_only_the_owner_reads(shelf):
    take(shelf, 1)
    modes = {p.stat().st_mode & 0o777 for p in shelf.folder.rglob("*") if p.is_dir()}
    assert modes == {0o700}
    assert (shelf.folder / "in-use.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("step", ["replace", "rename", "mkdir"])
@pytest.mark.parametrize("at", range(1, 5))
def test_a_kill_at_any_step_leaves_the_old_release_or_the_new(
    shelf, monkeypatch, step, at
):
    take(shelf, 1)
    (shelf.incoming).mkdir(exist_ok=True)
    real, calls = getattr(Path, step), []

    def struck(path, *args, **options):
        calls.append(path)
        if len(calls) == at:
            raise KeyboardInterrupt
        return real(path, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Path, step, struck)
        try:
            take(shelf, 2)
        except KeyboardInterrupt:
            assert len(calls) >= at
    assert content(shelf) in {"1", "2"}
    take(shelf, 2)
    assert content(shelf) == "2"
    assert shelf.back() == kept(1)


def test_a_root_is_pinned_once(shelf):
    shelf.pin(b"one")
    shelf.pin(b"one")
    with pytest.raises(ConfigError, match="another root is pinned"):
        shelf.pin(b"two")
    assert shelf.pinned() == b"one"


def test_a_damaged_index_is_named(shelf):
    (shelf.folder / "in-use.json").write_text("{}")
    with pytest.raises(FormatError, match="is damaged") as caught:
        shelf.current()
    assert caught.value.hint
