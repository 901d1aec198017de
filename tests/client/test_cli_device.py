import json

import click
import pytest
import torch
from click.testing import CliRunner

from proper_client.cli import main
from proper_client.cli_device import device_options, wanted
from proper_client.placement import Wanted


@click.command()
@device_options
def show():
    found = wanted()
    click.echo(f"{found.device} {found.precision}")
    wanted(told=True).tell("said")


def run(*options):
    return CliRunner().invoke(show, options)


def test_what_is_not_said_is_chosen_by_the_program():
    assert run().stdout == "auto auto\n"
    assert (Wanted().device, Wanted().precision) == ("auto", "auto")


def test_what_is_said_arrives():
    assert run("--device", "cpu", "--precision", "4bit").stdout == "cpu 4bit\n"


def test_what_was_decided_does_not_mix_with_results():
    assert run().stderr == "said\n"


@pytest.mark.parametrize("option", ["--device", "--precision"])
def test_other_words_are_refused(option):
    done = run(option, "tpu")
    assert done.exit_code == 2
    assert "auto" in done.output


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("command", ["train", "generate"])
def test_a_gpu_that_is_not_there_ends_the_command(tmp_path, command):
    entries = [{"text": f"the ship {n}", "output": "drama"} for n in range(3)]
    history = tmp_path / "my.json"
    history.write_text(json.dumps({"task": "tagging", "entries": entries}))
    options = ["--home", str(tmp_path / "home"), "--device", "cuda"]
    if command == "generate":
        trained = ["train", "--history", str(history), *options[:2]]
        assert CliRunner().invoke(main, trained).exit_code == 0
        done = CliRunner().invoke(main, ["generate", "a text", *options])
    else:
        done = CliRunner().invoke(main, ["train", "--history", str(history), *options])
    assert done.exit_code == 2
    assert "error: got the device cuda" in done.stderr
    assert "hint: take --device cpu" in done.stderr
