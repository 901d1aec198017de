"""What is shown of a release cannot pass for something else."""

import json

from click.testing import CliRunner
from toy_release import toy_release

from proper_coordinator.cli import main


def test_names_from_elsewhere_steer_no_terminal_and_add_no_line(tmp_path):
    folder = toy_release(tmp_path / "release")
    manifest = json.loads((folder / "release.json").read_text())
    manifest["task"] = "\x1b[31mRED\nverified        9 files\u202e"
    manifest["backbone"]["name"] = "\x9b2J\nprivacy     perfect"
    (folder / "release.json").write_text(json.dumps(manifest))
    shown = CliRunner().invoke(main, ["inspect", str(folder)])
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout.isascii()
    assert "\\x1b[31mRED" in shown.stdout
    starts = [line.split()[0] for line in shown.stdout.splitlines()]
    assert starts.count("verified") == starts.count("privacy") == 1
