"""The vault against crashes, other accounts and names that climb."""

import contextlib
import errno
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from proper_client.vault import Vault, default_home
from proper_shared.errors import ConfigError, DataError, FormatError

OLD = {"a": np.arange(6, dtype=np.float32).reshape(2, 3)}
NEW = {"a": np.full((2, 3), 7, np.float32), "b": np.zeros(4, np.float32)}


@pytest.fixture
def vault(tmp_path):
    vault = Vault(tmp_path / "home")
    vault.save("tagging", OLD, {"level": "old"})
    return vault


def assert_holds(vault, arrays, about):
    held, known = vault.load("tagging")
    assert known == about
    assert held.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(held[name], array)


def files_in(vault):
    """Return the names of all files but the lock, which holds nothing."""
    found = (path.name for path in vault.home.rglob("*") if path.is_file())
    return sorted(name for name in found if name != ".lock")


def test_what_is_saved_is_loaded(vault):
    vault.save("tagging", NEW, {"level": "user", "note": "naïve 🙂 שלום"})
    assert_holds(vault, NEW, {"level": "user", "note": "naïve 🙂 שלום"})
    assert vault.names() == ["tagging"]


def test_a_transposed_view_is_saved_as_it_looks(vault):
    view = np.arange(6, dtype=np.float32).reshape(2, 3).T
    vault.save("tagging", {"a": view}, {})
    assert_holds(vault, {"a": view}, {})


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_only_the_owner_reads(tmp_path, umask):
    vault = Vault(tmp_path / "deep" / "home")
    (tmp_path / "deep").mkdir()
    before = os.umask(umask)
    try:
        path = vault.save("tagging", OLD, {})
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for folder in (path.parent, vault.home):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_that_was_open_is_closed(vault):
    folder = vault.path("tagging").parent
    folder.chmod(0o755)
    vault.save("tagging", NEW, {})
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


# Every call that reaches the disk on the way of a save, and what may go wrong there.
STEPS = ["os.open", "os.write", "os.fsync", "Path.replace", "Path.chmod"]
FULL = OSError(errno.ENOSPC, "No space left on device")


def strike(monkeypatch, step, fault, at):
    """Let call number `at` of `step` raise `fault`, or end the process if None."""
    owner = os if step.startswith("os.") else Path
    name = step.partition(".")[2]
    real, calls = getattr(owner, name), []

    def struck(*args, **kwargs):
        calls.append(args)
        if len(calls) == at:
            if fault is None:
                os._exit(9)
            raise fault
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, struck)
    return calls


def assert_old_or_new(vault):
    _, about = vault.load("tagging")
    if about["level"] == "old":
        assert_holds(vault, OLD, {"level": "old"})
    else:
        assert_holds(vault, NEW, {"level": "new"})


@pytest.mark.parametrize("fault", [FULL, KeyboardInterrupt()], ids=["full", "ctrl-c"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_fault_at_any_step_leaves_the_old_model_or_the_new(
    vault, monkeypatch, step, fault, at
):
    with monkeypatch.context() as patch:
        calls = strike(patch, step, fault, at)
        try:
            vault.save("tagging", NEW, {"level": "new"})
        except (ConfigError, KeyboardInterrupt):
            assert len(calls) >= at
    assert_old_or_new(vault)
    assert files_in(vault) == ["tagging.safetensors"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("at", [1, 2])
def test_a_kill_at_any_step_leaves_the_old_model_or_the_new(
    vault, monkeypatch, step, at
):
    if (child := os.fork()) == 0:
        strike(monkeypatch, step, None, at)
        vault.save("tagging", NEW, {"level": "new"})
        os._exit(0)
    os.waitpid(child, 0)
    assert_old_or_new(vault)
    vault.save("tagging", NEW, {"level": "new"})  # and what was left is swept
    assert files_in(vault) == ["tagging.safetensors"]


def test_the_data_is_on_disk_before_it_has_the_name(vault, monkeypatch):
    order = []
    real_sync, real_replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append("sync"), real_sync(fd)))
    monkeypatch.setattr(
        Path, "replace", lambda a, b: (order.append("name"), real_replace(a, b))
    )
    vault.save("tagging", NEW, {})
    assert order == ["sync", "name", "sync"]  # file, rename, folder


def test_what_a_killed_process_left_is_swept_by_the_next_save(vault):
    folder = vault.path("tagging").parent
    dead, ours = 2**22 + 1, os.getppid()  # no process has the first number
    (folder / f".tagging.safetensors.{dead}.tmp").write_bytes(b"half")
    living = folder / f".tagging.safetensors.{ours}.tmp"
    living.write_bytes(b"being written")
    vault.save("tagging", NEW, {})
    assert files_in(vault) == [living.name, "tagging.safetensors"]


def test_a_full_disk_is_named_and_the_old_model_stays(vault, monkeypatch):
    strike(monkeypatch, "os.fsync", OSError(errno.ENOSPC, "no space"), 1)
    with pytest.raises(ConfigError, match=r"the disk of .* is full") as caught:
        vault.save("tagging", NEW, {})
    assert "untouched" in caught.value.hint
    assert_holds(vault, OLD, {"level": "old"})


def test_a_read_only_home_is_found_before_anything_is_learnt(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(ConfigError, match="cannot write") as caught:
        Vault(tmp_path / "home").prepare()
    assert "--home" in caught.value.hint


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_home_that_cannot_be_made_is_a_clear_error(tmp_path, monkeypatch, code):
    def refuse(*_args, **_kwargs):
        raise OSError(code, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(ConfigError, match="cannot write") as caught:
        Vault(tmp_path / "home").save("tagging", NEW, {})
    assert "PROPER_HOME" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_home_is_a_clear_error(tmp_path):
    (tmp_path / "home").write_text("mine")
    with pytest.raises(ConfigError, match="is a file, expected a folder") as caught:
        Vault(tmp_path / "home").save("tagging", NEW, {})
    assert "--home" in caught.value.hint
    assert (tmp_path / "home").read_text() == "mine"


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../x", "a/b", "/etc/x", "a\\b", "a\0b", ".a", "-a", "a.b"),
        *("a\n", "é", "x" * 65),
    ],
)
def test_a_name_cannot_lead_elsewhere(vault, tmp_path, name):
    before = sorted(tmp_path.rglob("*"))
    for call in (lambda: vault.save(name, NEW, {}), lambda: vault.load(name)):
        with pytest.raises(ConfigError, match="expected 1 to 64"):
            call()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_in_the_place_of_a_model_is_replaced_and_not_followed(vault, tmp_path):
    outside = tmp_path / "outside"
    outside.write_text("mine")
    vault.path("tagging").unlink()
    vault.path("tagging").symlink_to(outside)
    vault.save("tagging", NEW, {})
    assert outside.read_text() == "mine"
    assert_holds(vault, NEW, {})


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_could_not_be_read_again_are_not_written(vault, bad):
    with pytest.raises(ValueError, match="finite"):
        vault.save("tagging", {"a": np.array([bad], np.float32)}, {})
    assert_holds(vault, OLD, {"level": "old"})


def test_a_model_that_is_not_there_says_how_to_make_one(tmp_path):
    vault = Vault(tmp_path / "home")
    assert vault.names() == []
    with pytest.raises(DataError, match="no personal model 'tagging'") as caught:
        vault.load("tagging")
    assert "proper-client train" in caught.value.hint
    assert list(tmp_path.iterdir()) == []  # reading makes nothing


def test_a_home_that_is_a_file_is_no_empty_home(tmp_path):
    (tmp_path / "home").write_text("a file of somebody")
    with pytest.raises(ConfigError, match="is a file, expected a folder"):
        Vault(tmp_path / "home").names()


@pytest.mark.parametrize("length", [0, 7, 8, 40, -1])
def test_a_file_that_was_cut_off_is_refused(vault, length):
    path = vault.path("tagging")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(FormatError, match=r"tagging\.safetensors"):
        vault.load("tagging")


@pytest.mark.parametrize(
    ("environment", "platform", "expected"),
    [
        ({"PROPER_HOME": "/p"}, "linux", "/p"),
        ({"PROPER_HOME": "~/p"}, "linux", "/me/p"),
        ({"PROPER_HOME": "  "}, "linux", "/me/.local/share/proper"),
        ({"PROPER_HOME": "/p", "XDG_DATA_HOME": "/x"}, "linux", "/p"),
        ({"XDG_DATA_HOME": "/x"}, "linux", "/x/proper"),
        ({"XDG_DATA_HOME": "relative"}, "linux", "/me/.local/share/proper"),
        ({}, "linux", "/me/.local/share/proper"),
        ({}, "darwin", "/me/Library/Application Support/proper"),
        ({"LOCALAPPDATA": "/local"}, "win32", "/local/proper"),
    ],
)
def test_the_home_follows_the_platform(monkeypatch, environment, platform, expected):
    monkeypatch.setattr(Path, "home", lambda: Path("/me"))
    monkeypatch.setenv("HOME", "/me")
    assert default_home(environment, platform) == Path(expected)


def test_a_record_is_replaced_as_a_whole_and_read_by_its_owner_alone(vault):
    assert vault.read_record("record") is None
    vault.write_record("record", {"a": [1, 2]})
    vault.write_record("record", {"b": "naïve"})
    assert vault.read_record("record") == {"b": "naïve"}
    path = vault.home / "federation" / "record.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("step", STEPS)
def test_a_fault_at_any_step_leaves_the_old_record_or_the_new(vault, monkeypatch, step):
    vault.write_record("record", {"level": "old"})
    with monkeypatch.context() as patch:
        strike(patch, step, FULL, 1)
        with contextlib.suppress(ConfigError):
            vault.write_record("record", {"level": "new"})
    assert vault.read_record("record") in ({"level": "old"}, {"level": "new"})
    assert files_in(vault) == ["record.json", "tagging.safetensors"]


def test_a_damaged_record_is_refused(vault):
    vault.write_record("record", {})
    (vault.home / "federation" / "record.json").write_bytes(b'{"a":')
    with pytest.raises(FormatError, match=r"record\.json is not strict JSON"):
        vault.read_record("record")


def test_a_journal_only_grows_and_is_read_by_its_owner_alone(vault):
    for number in range(3):
        with vault.journal("log") as journal:
            journal.append(b"line %d" % number)
    assert list(vault.lines("log")) == [b"line 0\n", b"line 1\n", b"line 2\n"]
    path = vault.home / "federation" / "log.jsonl"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("length", [1, 4095, 4096, 4097, 70_000])
def test_a_journal_remembers_its_last_line_however_long(vault, length):
    with vault.journal("log") as journal:
        assert (journal.last, journal.was_cut) == (b"", False)
        journal.append(b"first")
        journal.append(b"x" * length)
    with vault.journal("log") as journal:
        assert (journal.last, journal.was_cut) == (b"x" * length, False)


def test_a_journal_says_that_a_line_was_cut_and_keeps_it(vault):
    with vault.journal("log") as journal:
        journal.append(b"first")
    path = vault.home / "federation" / "log.jsonl"
    path.write_bytes(b"first\nsec")
    with vault.journal("log") as journal:
        assert (journal.last, journal.was_cut) == (b"sec", True)
        journal.append(b"third")
    assert path.read_bytes() == b"first\nsec\nthird\n"


def test_a_line_of_a_journal_holds_no_other(vault):
    with (
        vault.journal("log") as journal,
        pytest.raises(ValueError, match="end of line"),
    ):
        journal.append(b"one\ntwo")
    assert list(vault.lines("log")) == []


def test_a_journal_is_open_once(vault):
    with vault.journal("log"), pytest.raises(ConfigError, match="another process"):
        vault.journal("log")
    vault.journal("log").close()


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "a.b"])
def test_a_journal_or_record_cannot_lie_elsewhere(vault, name):
    for call in (vault.journal, vault.read_record, lambda n: list(vault.lines(n))):
        with pytest.raises(ConfigError, match="expected 1 to 64"):
            call(name)
