"""`proper-client import` as a person meets it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from proper_client.cli import main
from proper_client.importers.importing import FORMATS
from proper_shared.history import load_history

FIXTURES = Path(__file__).parent / "fixtures"


def run(*words):
    return CliRunner().invoke(main, ["import", *map(str, words)])


def test_a_dry_run_shows_counts_samples_and_reasons_and_writes_nothing(tmp_path):
    out = tmp_path / "my.json"
    result = run(FIXTURES / "chatgpt", "--dry-run", "--out", out)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == (
        "format      chatgpt, a ChatGPT export: zip, folder or conversations.json\n"
        "task        writing\n"
        "found       3 entries\n"
        "new         3, 2024-02-01 to 2024-03-05; 3 entries together\n"
        "dropped     1 openings with nothing before them\n"
        "\n"
        "  text      Hello! What is on your mind?\n"
        "  output    spoken words\n"
        "\n"
        "  text      Garden in March\n"
        "  output    What grows here? 🌱\n"
        "\n"
        "  text      Peas, by the look of it.\n"
        "  output    lovely, thanks\n"
        "\n"
        "nothing was written: give --out my.json, without --dry-run\n"
    )
    assert not out.exists()


def test_an_import_is_written_for_its_owner_alone_and_adds_once(tmp_path):
    out = tmp_path / "my.json"
    before = os.umask(0)
    try:
        result = run(FIXTURES / "chatgpt", "--out", out)
    finally:
        os.umask(before)
    assert result.exit_code == 0, result.stderr
    assert f"kept in     {out}" in result.stdout
    assert out.stat().st_mode & 0o777 == 0o600
    data = out.read_bytes()
    again = run(FIXTURES / "chatgpt", "--out", out)
    assert f"nothing new: {out} is as it was" in again.stdout
    assert "3 entries that were there already" in again.stdout
    assert out.read_bytes() == data
    more = run(FIXTURES / "notes", "--out", out)
    assert "new         4, 2026-01-15 to 2026-03-01; 7 entries together" in more.stdout
    assert len(load_history(out)[1].profile) == 7


def test_a_sample_cannot_steer_the_terminal(tmp_path):
    said = "\x1b[2J\u202egone\nkept in     elsewhere" + "x" * 200
    turns = [
        {"role": "assistant", "content": "\x07?"},
        {"role": "user", "content": said},
    ]
    (tmp_path / "x").write_text(json.dumps(turns))
    result = run(tmp_path / "x", "--dry-run")
    assert "\\x1b[2J\\u202egone\\nkept in" in result.stdout
    assert not {"\x1b", "\x07", "\u202e"} & set(result.stdout)
    assert max(map(len, result.stdout.splitlines())) < 120


def test_the_formats_are_listed():
    result = run("--formats")
    assert result.stdout.splitlines() == [
        f"{one.name:<9}{one.about}" for one in FORMATS
    ]


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ((), "got no source"),
        ((FIXTURES / "notes",), "got nothing to write to"),
        ((FIXTURES / "table.csv", "--dry-run"), "names no task"),
        ((FIXTURES / "notes", "--dry-run", "--format", "note"), "got format 'note'"),
        (
            (FIXTURES / "notes", "--dry-run", "--task", "rating"),
            "has no entry of rating",
        ),
        (("nowhere", "--dry-run"), "there is no file nowhere"),
    ],
)
def test_what_cannot_be_is_refused_with_a_hint(words, match):
    result = run(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    error, hint = result.stderr.rstrip("\n").split("\n")
    assert match in error
    assert hint.startswith("hint: ")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    result = run(FIXTURES / "notes", "--out", tmp_path / "no" / "my.json")
    assert result.exit_code == 2
    assert "no such file or directory" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_options_of_tables_and_chats_arrive(tmp_path):
    out = tmp_path / "my.json"
    words = ("--task", "writing", "--text-column", "Stars", "--output-column", "Review")
    result = run(FIXTURES / "table.csv", "--out", out, *words, "--date-column", "Date")
    assert result.exit_code == 0, result.stderr
    assert load_history(out)[1].profile[0].text == "4.0"
    result = run(FIXTURES / "chat.jsonl", "--dry-run", "--role", "assistant")
    assert "output    It is ten." in result.stdout
    result = run(FIXTURES / "lamp", "--dry-run", "--user", "211")
    assert "text      never again" in result.stdout


def test_an_import_needs_no_torch(tmp_path):
    script = f"""
import sys
from proper_client.cli import main
try:
    main(["import", {str(FIXTURES / "notes")!r}, "--out", {str(tmp_path / "a")!r}])
except SystemExit as end:
    assert not end.code
heavy = ["torch", "transformers", "peft", "numpy", "pydantic"]
sys.exit(", ".join(name for name in heavy if name in sys.modules) or 0)
"""
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "a").is_file()
