"""Shells complete commands, options and names, by the protocol that click speaks."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from proper_client.cli import main as client
from proper_coordinator.cli import main as coordinator
from proper_simulations.cli import main as simulations

PROGRAMS = {
    "proper-client": client,
    "proper-coordinator": coordinator,
    "proper-sim": simulations,
}
HEAVY = ("torch", "transformers", "peft", "flwr", "numpy", "pydantic")
# What `main` of each program does when a shell asks; then, what had to be loaded.
ASK = f"""
import sys
sys.argv[0] = "proper-client"
from proper_client.cli import main
try:
    main()
finally:
    sys.stderr.write(",".join(name for name in {HEAVY} if name in sys.modules))
"""


def completed(line, home):
    """Ask as the script for bash does: all words, and which one is at the cursor."""
    environment = {
        "_PROPER_CLIENT_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(line.split(" ")) - 1),
        "PROPER_HOME": str(home),
        "PYTHONPATH": ":".join(sys.path),
    }
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-c", ASK],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == "", "a tab loads something heavy"
    return [answer.partition(",")[2] for answer in done.stdout.splitlines()]


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_program_has_a_script_for_each_shell(program, shell):
    done = CliRunner().invoke(PROGRAMS[program], ["completion", shell])
    assert done.exit_code == 0, done.output
    name = program.upper().replace("-", "_")
    assert f"_{name}_COMPLETE={shell}_complete" in done.stdout
    assert program in done.stdout


def test_commands_and_options_are_completed(tmp_path):
    assert "doctor" in completed("proper-client d", tmp_path)
    assert "--origin" in completed("proper-client config show --o", tmp_path)


def test_levels_are_completed(tmp_path):
    found = completed("proper-client generate --level p", tmp_path)
    assert found == ["population", "personal"]


def test_tasks_are_completed_and_those_of_own_models_come_first(tmp_path):
    assert "rating" in completed("proper-client train --task ra", tmp_path)
    assert "rating" in completed("proper-client generate --task ra", tmp_path)
    (tmp_path / "personal").mkdir()
    (tmp_path / "personal" / "LaMP_3.safetensors").write_bytes(b"")
    assert completed("proper-client generate --task ", tmp_path) == ["LaMP_3"]
    assert "rating" in completed("proper-client train --task ra", tmp_path)
