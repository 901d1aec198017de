import json
import os
import stat

import pytest

from proper_client.export_folder import RECORD, check_place, write_export
from proper_shared.errors import ConfigError


def fill(empty):
    (empty / "weights").write_bytes(b"123")
    (empty / "README.md").write_text("what it is")


def content(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != RECORD}


def test_an_export_is_for_its_owner_alone(tmp_path):
    write_export(tmp_path / "out", fill)
    assert content(tmp_path / "out") == {"weights": b"123", "README.md": b"what it is"}
    if os.name == "posix":
        modes = [stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "out").iterdir()]
        assert set(modes) == {0o600}
        assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700


@pytest.mark.parametrize("made", [False, True])
def test_nothing_or_an_empty_folder_is_no_obstacle(tmp_path, made):
    if made:
        (tmp_path / "out").mkdir()
    check_place(tmp_path / "out")
    write_export(tmp_path / "out", fill)


def test_an_export_of_ours_is_replaced_as_a_whole(tmp_path):
    write_export(tmp_path / "out", lambda empty: (empty / "old").write_text("x"))
    write_export(tmp_path / "out", fill)
    assert content(tmp_path / "out").keys() == {"weights", "README.md"}


def strange_folder(out):
    out.mkdir()
    (out / "thesis.tex").write_text("years")


def strange_file(out):
    out.write_text("years")


def strange_link(out):
    (out.parent / "elsewhere").mkdir()
    out.symlink_to(out.parent / "elsewhere")


def strange_addition(out):
    write_export(out, fill)
    (out / "notes.txt").write_text("years")


def strange_change(out):
    write_export(out, fill)
    (out / "README.md").write_text("my own words")


def strange_record(out):
    write_export(out, fill)
    (out / RECORD).write_text(json.dumps({"made_by": "somebody", "files": {}}))


def strange_json(out):
    write_export(out, fill)
    (out / RECORD).write_text("[" * 100_000)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (strange_folder, "has files that no export wrote"),
        (strange_file, "is there and is no folder"),
        (strange_link, "is there and is no folder"),
        (strange_addition, "has notes.txt, which no export wrote"),
        (strange_change, "README.md was changed since"),
        (strange_record, "is no record of an export"),
        (strange_json, "is no record of an export"),
    ],
)
def test_what_no_export_wrote_is_never_replaced(tmp_path, spoil, message):
    out = tmp_path / "out"
    spoil(out)
    before = None if not out.is_dir() else content(out)
    with pytest.raises(ConfigError, match=message) as caught:
        write_export(out, lambda _empty: pytest.fail("began to write"))
    assert "another folder" in caught.value.hint
    assert (None if not out.is_dir() else content(out)) == before


def test_a_fault_half_way_leaves_what_was_there(tmp_path):
    write_export(tmp_path / "out", fill)

    def full(empty):
        (empty / "weights").write_bytes(b"9")
        raise OSError(28, "no space left on device")

    with pytest.raises(OSError, match="no space"):
        write_export(tmp_path / "out", full)
    assert content(tmp_path / "out")["weights"] == b"123"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
