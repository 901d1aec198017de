"""`proper-client`: options in, functions called, errors out. No logic lives here.

Imports stand inside the commands: torch alone takes longer than `--help` may.
"""

import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

import click

from proper_shared.friendly import friendly, plain

_home = click.option(
    "--home",
    type=click.Path(path_type=Path),
    help="Folder of your private files [default: $PROPER_HOME, or your data folder].",
)
_debug = click.option("--debug", is_flag=True, help="Show the traceback of an error.")

Level = Literal["population", "group", "personal"]  # kept.py's, without pydantic


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="proper", prog_name="proper-client")
def main() -> None:
    """Make and use a model of your own; your history stays on this machine."""


@main.command()
@click.option(
    "--history",
    type=click.Path(path_type=Path),
    required=True,
    help="Your entries in a JSON file, see docs/history.md.",
)
@click.option("--task", help="What is asked of a text, if the history does not say.")
@click.option(
    "--release",
    type=click.Path(path_type=Path),
    help="Start from this release [default: the one that comes with the program].",
)
@click.option("--backbone", help="Folder of the release's backbone, if it moved.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Of order and dropout.",
)
@_home
@_debug
@friendly(
    interrupted="nothing was written, a model that you had is as it was; "
    "the same command starts again"
)
def train(  # noqa: PLR0913 - one for each option
    *,
    history: Path,
    task: str | None,
    release: Path | None,
    backbone: str | None,
    seed: int,
    home: Path | None,
) -> None:
    """Train a personal model from your history."""
    start = time.monotonic()  # before the imports, which a person waits for too
    from proper_client.wish import Wish  # noqa: PLC0415
    from proper_shared.release import STARTER  # noqa: PLC0415

    wish = Wish(history, release or STARTER, task, backbone, seed)
    _ = wish.asked  # what is wrong with the history shows before torch is loaded
    from proper_client.assistant import train as learn  # noqa: PLC0415
    from proper_client.summary import after_training  # noqa: PLC0415
    from proper_client.vault import Vault, default_home  # noqa: PLC0415
    from proper_shared.progress import Progress  # noqa: PLC0415

    now = datetime.now(UTC).isoformat(timespec="seconds")
    vault = Vault(home or default_home(os.environ))
    about, place = learn(wish, vault, now, Progress())
    seconds = time.monotonic() - start
    click.echo(plain("\n".join(after_training(about, place, seconds, home))))


@main.command()
@click.argument("text")
@click.option(
    "--level",
    type=click.Choice(get_args(Level)),
    help="Which level answers [default: the one that was best on your entries].",
)
@click.option("--task", help="Which of your models, if there are several.")
@_home
@_debug
@friendly(interrupted="nothing was changed")
def generate(
    *, text: str, level: Level | None, task: str | None, home: Path | None
) -> None:
    """Answer TEXT as you would."""
    from proper_client.assistant import generate as answer  # noqa: PLC0415
    from proper_client.vault import Vault, default_home  # noqa: PLC0415

    vault = Vault(home or default_home(os.environ))
    click.echo(plain(answer(text, vault, task, level)))


@main.command()
@_home
@_debug
@friendly(interrupted="nothing was changed")
def status(*, home: Path | None) -> None:
    """Show which models you have, and how good they are."""
    from proper_client.summary import status as look  # noqa: PLC0415
    from proper_client.vault import Vault, default_home  # noqa: PLC0415

    click.echo(plain("\n".join(look(Vault(home or default_home(os.environ))))))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option(
    "--last",
    type=click.IntRange(min=1),
    help="Show so many lines [default: 20, with --json all].",
)
@click.option("--refusals", is_flag=True, help="Show only what was refused.")
@_home
@_debug
@friendly(interrupted="nothing was changed")
def ledger(
    *, as_json: bool, last: int | None, refusals: bool, home: Path | None
) -> None:
    """Show every byte that left this device, and what it refused."""
    from proper_client.ledger_view import json_lines, table  # noqa: PLC0415
    from proper_client.vault import Vault, default_home  # noqa: PLC0415

    show = json_lines if as_json else table
    for line in show(Vault(home or default_home(os.environ)), last, refusals=refusals):
        click.echo(plain(line))


@main.command()
@_home
@_debug
@friendly(interrupted="nothing was changed")
def policy(*, home: Path | None) -> None:
    """Show what a federation may ask of this device, and where that is set."""
    from proper_client.policy import describe, load_policy  # noqa: PLC0415
    from proper_client.vault import default_home  # noqa: PLC0415

    place = home or default_home(os.environ)
    click.echo(plain("\n".join(describe(load_policy(place), place))))


@main.command()
@click.argument("invitation", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("enrolment.json"),
    show_default=True,
    help="Where to write the file that goes back to the coordinator.",
)
@_home
@_debug
@friendly(interrupted="no key is kept; the same command starts again")
def enroll(*, invitation: Path, out: Path, home: Path | None) -> None:
    """Accept the file INVITATION: make keys for this device, and an answer."""
    from proper_client.enrolment import describe  # noqa: PLC0415
    from proper_client.enrolment import enroll as join  # noqa: PLC0415
    from proper_client.vault import Vault, default_home  # noqa: PLC0415

    membership = join(invitation, out, Vault(home or default_home(os.environ)))
    click.echo(plain("\n".join(describe(membership, out))))


@main.group()
def contact() -> None:
    """Keep the members whom you know; your device counts them from the first day on."""


@contact.command("me")
@_home
@_debug
@friendly(interrupted="nothing was changed")
def contact_me(*, home: Path | None) -> None:
    """Show your own identity, for others to take as a contact."""
    from proper_client.contacts import own  # noqa: PLC0415
    from proper_client.vault import Vault, default_home  # noqa: PLC0415

    click.echo("\n".join(own(Vault(home or default_home(os.environ)))))


@contact.command("add")
@click.argument("key")
@click.option("--name", required=True, help="What you call the person.")
@_home
@_debug
@friendly(interrupted="look with `contact list` whether it was added")
def contact_add(*, key: str, name: str, home: Path | None) -> None:
    """Keep KEY, an identity or its fingerprint, that the person gave you themselves."""
    from proper_client.contacts import add_contact, describe  # noqa: PLC0415
    from proper_client.vault import Vault, default_home  # noqa: PLC0415

    vault, day = Vault(home or default_home(os.environ)), datetime.now(UTC).date()
    click.echo(plain("\n".join(describe([add_contact(vault, key, name, day)]))))


@contact.command("list")
@_home
@_debug
@friendly(interrupted="nothing was changed")
def contact_list(*, home: Path | None) -> None:
    """Show your contacts."""
    from proper_client.contacts import contacts_in, describe  # noqa: PLC0415
    from proper_client.vault import Vault, default_home  # noqa: PLC0415

    found = contacts_in(Vault(home or default_home(os.environ)))
    click.echo(plain("\n".join(describe(found))))


@contact.command("remove")
@click.argument("which")
@_home
@_debug
@friendly(interrupted="look with `contact list` whether it is gone")
def contact_remove(*, which: str, home: Path | None) -> None:
    """Vouch no more for the contact WHICH, a name, an identity or a fingerprint."""
    from proper_client.contacts import describe, remove_contact  # noqa: PLC0415
    from proper_client.vault import Vault, default_home  # noqa: PLC0415

    vault = Vault(home or default_home(os.environ))
    click.echo(plain("\n".join(describe([remove_contact(vault, which)]))))


@main.command()
@click.option(
    "--history",
    type=click.Path(path_type=Path),
    help="Your entries in a JSON file [default: the one of the last time].",
)
@click.option("--backbone", help="Folder of the federation's backbone, if it moved.")
@click.option("--once", is_flag=True, help="End when nothing more is asked for 30 s.")
@_home
@_debug
@friendly(interrupted="you are out of this round; the same command takes part again")
def participate(
    *, history: Path | None, backbone: str | None, once: bool, home: Path | None
) -> None:
    """Take part in the federation until Ctrl-C; your history stays here."""
    from proper_client.stopping import heed_signals  # noqa: PLC0415
    from proper_shared.environment import quiet  # noqa: PLC0415

    quiet(os.environ)  # before Flower is imported
    heed_signals(stop := threading.Event())
    from proper_client.device import Device, site_of  # noqa: PLC0415
    from proper_client.vault import Vault, default_home  # noqa: PLC0415

    vault = Vault(home or default_home(os.environ))
    device = Device(vault, site_of(vault, history, backbone), stop)
    click.echo("taking part; Ctrl-C ends it")
    click.echo(f"answered {device.participate(once=once)} messages")
