"""`proper-client generate`, `chat`, `compare`, `explain`: what a model is there for.

Options in, functions called, errors out. No logic lives here.
"""

import json
from pathlib import Path
from typing import Literal, get_args

import click

from proper_client.cli_device import device_options, wanted
from proper_client.cli_options import debug, home_options, vault_at
from proper_shared.friendly import Command, friendly, plain

Level = Literal["population", "group", "personal"]  # kept.py's, without pydantic

_task = click.option("--task", help="Which of your models, if there are several.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, not a table.")
_unchanged = friendly(interrupted="nothing was changed")


def _voice(command: Command) -> Command:
    """Add the options that say who answers."""
    level = click.option(
        "--level",
        type=click.Choice(get_args(Level)),
        help="Which level answers [default: the one that was best on your entries].",
    )
    strength = click.option(
        "--strength",
        type=float,
        metavar="0..1",
        help="Or from between them: 0 is the population, 0.5 the group, 1 is you.",
    )
    return level(strength(command))


@click.command()
@click.argument("text")
@_voice
@_task
@device_options
@home_options
@debug
@_unchanged
def generate(
    *,
    text: str,
    level: Level | None,
    strength: float | None,
    task: str | None,
    home: Path | None,
) -> None:
    """Answer TEXT as you would."""
    from proper_client.speaking import Voice  # noqa: PLC0415
    from proper_client.speaking import generate as answer  # noqa: PLC0415

    voice = Voice(level, strength)
    click.echo(plain(answer(text, vault_at(home), task, voice, wanted())))


@click.command()
@_voice
@click.option(
    "--turns",
    type=click.IntRange(0),
    help="Earlier exchanges that are read [default: all that fit where you write "
    "messages, and none where a task is about single texts].",
)
@_task
@device_options
@home_options
@debug
@_unchanged
def chat(
    *,
    level: Level | None,
    strength: float | None,
    turns: int | None,
    task: str | None,
    home: Path | None,
) -> None:
    """Answer line after line, from a terminal or a pipe, until /quit or the end."""
    from proper_client.chatting import chat as talk  # noqa: PLC0415
    from proper_client.opening import Aim  # noqa: PLC0415
    from proper_client.speaking import Voice, open_speaker  # noqa: PLC0415

    voice = Voice(level, strength)
    talk(open_speaker(vault_at(home), task, Aim(wanted())), voice, turns)


@click.command()
@click.option(
    "--history",
    type=click.Path(path_type=Path),
    help="Your entries, as for `train` [default: those that are kept].",
)
@click.option(
    "--examples",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    help="How many of the newest entries are shown with their answers.",
)
@_task
@_json
@device_options
@home_options
@debug
@_unchanged
def compare(
    *,
    history: Path | None,
    examples: int,
    task: str | None,
    as_json: bool,
    home: Path | None,
) -> None:
    """Ask backbone, population, group and you about your newest entries.

    A model is trained anew without them and thrown away; yours stays as it is.
    """
    from proper_client.kept import load  # noqa: PLC0415
    from proper_client.own_entries import person_of  # noqa: PLC0415

    vault = vault_at(home)
    asked, user = person_of(vault, task, history)
    _, about = load(vault, asked.name)
    from proper_client.comparing import compare as judge  # noqa: PLC0415
    from proper_client.showing import comparison  # noqa: PLC0415
    from proper_shared.progress import Progress  # noqa: PLC0415

    found = judge(about, asked, user, Progress(), wanted())
    if as_json:
        click.echo(json.dumps(found.as_json(examples), indent=1))
    else:
        click.echo(plain("\n".join(comparison(found, examples))))


@click.command()
@click.argument("text", required=False)
@_voice
@_task
@_json
@device_options
@home_options
@debug
@_unchanged
def explain(  # noqa: PLR0913 - one for each option
    *,
    text: str | None,
    level: Level | None,
    strength: float | None,
    task: str | None,
    as_json: bool,
    home: Path | None,
) -> None:
    """Show what of the model answers TEXT, and how far from the population.

    Without TEXT: which experts your embedding alone chooses, and how much you add.
    """
    from proper_client.explaining import explain as look  # noqa: PLC0415
    from proper_client.explaining import portrait  # noqa: PLC0415
    from proper_client.opening import Aim  # noqa: PLC0415
    from proper_client.showing import explanation  # noqa: PLC0415
    from proper_client.speaking import Voice, open_speaker  # noqa: PLC0415

    voice = Voice(level, strength)
    speaker = open_speaker(vault_at(home), task, Aim(wanted()))
    found = portrait(speaker, voice) if text is None else look(speaker, text, voice)
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=1))
    else:
        click.echo(plain("\n".join(explanation(found))))


COMMANDS = (generate, chat, compare, explain)
