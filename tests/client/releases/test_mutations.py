"""Releases that were changed at random: refused by name, in bounded time and memory."""

import json
import subprocess
import sys
from pathlib import Path

COMMAND = Path(__file__).parents[2] / "mutations.py"


COUNT = 200  # by itself the command makes 10,000


def test_mutations_are_refused_within_limits_of_the_system():
    words = [sys.executable, str(COMMAND), "--count", str(COUNT)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout)
    assert sum(result["ended_in"].values()) == result["made"] == COUNT
    assert len(result["ended_in"]) > 8  # they reach many checks
    assert result["named_kinds"] >= 60
    cost = result["cost_of_one"]
    assert cost["cpu_s_most"] <= cost["cpu_s_allowed"]
    assert cost["memory_mib_most"] <= cost["memory_mib_allowed"]
