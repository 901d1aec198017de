"""Offline by construction: every command of a person works where there is no network.

In a process of its own each way to a network is blocked and written down: a library
that tries one and swallows the error is found too. Where the kernel lets us, there is
no network device besides.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from toy_release import toy_release

from proper_client.cli import main as client
from proper_coordinator.cli import main as coordinator
from proper_shared.environment import QUIET
from proper_simulations.cli import main as simulations

# Loaded by Python itself before anything else, also in processes that ours starts.
BLOCKED = """
import errno, os, socket

def barred(name, real=None):
    def call(*words, **options):
        if real and words[0].family not in (socket.AF_INET, socket.AF_INET6):
            return real(*words, **options)
        with open(os.environ["TRIED"], "a") as file:
            file.write(f"{name} {words} {options}\\n")
        raise OSError(errno.ENETUNREACH, "there is no network in this test")
    return call

for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "create_connection"):
    setattr(socket, name, barred(name))
for name in ("connect", "connect_ex", "sendto", "sendmsg"):
    setattr(socket.socket, name, barred(name, getattr(socket.socket, name)))
"""
RUN = """
import json, sys
from proper_client.cli import main
codes = []
for words in json.loads(sys.argv[1]):
    try:
        main(words, prog_name="proper-client")
    except SystemExit as end:
        codes.append(end.code or 0)
    sys.stdout.flush()
print(json.dumps(codes))
"""
TEXT = "a quiet story of the sea"
# Words of a command -> how it ends. What is not built yet is left out.
USE = (
    ["import", "lines.csv", "--task", "tagging", "--out", "my.json"],
    ["train", "--history", "my.json", "--release", "release"],
    ["generate", TEXT],
    ["chat"],
    ["compare", "--history", "my.json"],
    ["explain", TEXT],
    ["status"],
    ["lock", "--with", "passphrase"],
    ["generate", TEXT],
    ["export", "--out", "exported", "--history", "my.json"],
    ["history"],
    ["forget", "1", "--delete-model", "--yes"],
    ["doctor", "--open"],
    ["config", "show", "--origin"],
    ["ledger"],
    ["policy"],
)
HUB = ["train", "--history", "my.json", "--release", "release", "--backbone", "no/such"]


@pytest.fixture
def desk(tmp_path):
    toy_release(tmp_path / "release")
    rows = "".join(f"text number {n},comedy,2026-01-{n + 1:02}\n" for n in range(6))
    (tmp_path / "lines.csv").write_text("text,output,date\n" + rows)
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "sitecustomize.py").write_text(BLOCKED)
    return tmp_path


def offline(desk, commands):
    """Run commands in one process; return its end, and what was tried."""
    there = [words for words in commands if words[0] in client.commands]
    tried = desk / "tried"
    tried.write_text("")
    environment = {
        "HF_HOME": str(desk / "hub"),
        "HOME": str(desk),
        "OMP_NUM_THREADS": "1",
        "PATH": "/usr/bin:/bin",
        "PROPER_HOME": str(desk / "home"),
        "PROPER_PASSPHRASE": "five words are good enough",
        "PYTHONPATH": ":".join([str(desk / "blocked"), *sys.path]),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
        "TRIED": str(tried),
    }
    done = subprocess.run(  # noqa: S603 - our own words
        [*without_network(), sys.executable, "-c", RUN, json.dumps(there)],
        cwd=desk,
        env=environment,
        input=f"{TEXT}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    codes = json.loads(done.stdout.splitlines()[-1])
    names = [" ".join(words[:2]) for words in there]
    return dict(zip(names, codes, strict=True)), tried.read_text(), done


def without_network():
    """Return what starts a process without a network device, where that is allowed."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return []
    for words in ([unshare, "-rn"], [unshare, "-n"]):
        tried = subprocess.run([*words, "true"], capture_output=True, check=False)  # noqa: S603
        if tried.returncode == 0:
            return words
    return []


@pytest.mark.parametrize("program", [client, coordinator, simulations])
def test_every_program_turns_telemetry_off_before_it_imports_anything(
    program, monkeypatch
):
    for name in QUIET:
        monkeypatch.setenv(name, "unset")
    assert CliRunner().invoke(program, ["completion"]).exit_code == 0
    assert {name: os.environ[name] for name in QUIET} == QUIET


def test_a_person_needs_no_network_and_a_hub_is_asked_when_it_is_named(desk):
    codes, tried, done = offline(desk, USE)
    assert set(codes.values()) == {0}, f"{codes}\n{done.stderr[-3000:]}"
    assert tried == ""
    assert (desk / "home" / "key.json").is_file()
    codes, tried, done = offline(desk, [HUB, ["status"]])
    assert codes == {"train --history": 2, "status": 0}, done.stderr[-3000:]
    assert "no/such is no local folder and the hub did not give it" in done.stderr
    assert "huggingface.co" in tried  # so what is blocked is what a library would use
    assert not list(Path(desk / "home").rglob("*.tmp"))
