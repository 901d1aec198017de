"""`proper-client`: options in, functions called, errors out. No logic lives here.

Imports stand inside the commands: torch alone takes longer than `--help` may.
"""

import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import click

from proper_shared.friendly import Command, friendly, plain

if TYPE_CHECKING:
    from proper_client.at_rest.unlocking import Secrets
    from proper_client.vault import Vault

_GIVEN, _NEW = "proper passphrase file", "proper new passphrase file"


def _kept(
    context: click.Context, parameter: click.Parameter, value: Path | None
) -> None:
    """Keep a file of a passphrase for `_secrets`; no command looks at it itself."""
    context.meta[_NEW if parameter.name == "new_passphrase_file" else _GIVEN] = value


class _Home(click.Path):
    """A folder; an empty name is no name, where a path would be the current folder."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> Path:
        """Return the folder; `~` is one's own."""
        if not str(value).strip():
            self.fail("got an empty name, expected a folder", param, ctx)
        return Path(value).expanduser()


_where = click.option(
    "--home",
    type=_Home(),
    help="Folder of your private files [default: $PROPER_HOME, or your data folder].",
)
_passphrase_file = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path),
    expose_value=False,
    callback=_kept,
    help="Holds the passphrase [default: $PROPER_PASSPHRASE, or you are asked].",
)
_debug = click.option("--debug", is_flag=True, help="Show the traceback of an error.")

Level = Literal["population", "group", "personal"]  # kept.py's, without pydantic


def _home(command: Command) -> Command:
    """Add the options that say where the private files are, and what opens them."""
    return _where(_passphrase_file(command))


def _secrets() -> "Secrets":
    """Return what opens a vault; it is looked for when the vault is read or written."""
    from proper_client.at_rest.passphrase import Passphrases  # noqa: PLC0415
    from proper_client.at_rest.unlocking import Secrets  # noqa: PLC0415

    given = click.get_current_context().meta
    return Secrets(Passphrases(os.environ, given.get(_GIVEN), given.get(_NEW)))


def _vault(home: Path | None) -> "Vault":
    """Return the private files of the person, closed or open."""
    from proper_client.vault import Vault, default_home  # noqa: PLC0415

    return Vault(home or default_home(os.environ), _secrets())


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="proper", prog_name="proper-client")
def main() -> None:
    """Make and use a model of your own; your history stays on this machine."""


@main.command()
@click.option(
    "--history",
    type=click.Path(path_type=Path),
    required=True,
    help="Your entries: a file, folder or zip, see `proper-client import --formats`.",
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
    for line in wish.left_out:
        click.echo(plain(line), err=True)
    from proper_client.assistant import train as learn  # noqa: PLC0415
    from proper_client.summary import after_training  # noqa: PLC0415
    from proper_shared.progress import Progress  # noqa: PLC0415

    now = datetime.now(UTC).isoformat(timespec="seconds")
    vault = _vault(home)
    about, _ = learn(wish, vault, now, Progress())
    seconds = time.monotonic() - start
    click.echo(plain("\n".join(after_training(about, vault, seconds, home))))


@main.command("import")
@click.argument("source", type=click.Path(path_type=Path), required=False)
@click.option("--out", type=click.Path(path_type=Path), help="Write or add to this.")
@click.option("--dry-run", is_flag=True, help="Show what would come of it, no more.")
@click.option("--formats", is_flag=True, help="List the formats that are read.")
@click.option("--format", "name", help="Read it as this [default: by its content].")
@click.option("--task", help="What is asked of a text, if the source does not say.")
@click.option(
    "--role", type=click.Choice(["user", "assistant"]), help="Who you are in a chat."
)
@click.option("--user", help="Whose record, if LaMP's file has several people.")
@click.option("--text-column", help="Of a table: what was read.")
@click.option("--output-column", help="Of a table: what you made of it.")
@click.option("--date-column", help="Of a table: when.")
@click.option("--date-format", help="How dates are written, such as %d/%m/%Y.")
@_debug
@friendly(interrupted="nothing was written; the same command starts again")
def import_(
    *,
    source: Path | None,
    out: Path | None,
    dry_run: bool,
    formats: bool,
    name: str | None,
    **said: Any,  # noqa: ANN401 - of a source; click has checked it
) -> None:
    """Make a history of SOURCE: chats, notes, tables, a ChatGPT export."""
    from proper_client.importers.formats import Options  # noqa: PLC0415
    from proper_client.importers.importing import (  # noqa: PLC0415
        describe_formats,
        import_into,
    )
    from proper_client.importers.telling import after_import  # noqa: PLC0415

    if formats:
        click.echo("\n".join(describe_formats()))
        return
    options = Options(**{key: value for key, value in said.items() if value})
    done, written = import_into(source, out, options, name=name, dry_run=dry_run)
    click.echo(plain("\n".join(after_import(done, out, written=written))))


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

    vault = _vault(home)
    click.echo(plain(answer(text, vault, task, level)))


@main.command()
@_home
@_debug
@friendly(interrupted="nothing was changed")
def status(*, home: Path | None) -> None:
    """Show which models you have, and how good they are."""
    from proper_client.summary import status as look  # noqa: PLC0415

    click.echo(plain("\n".join(look(_vault(home)))))


@main.command()
@click.option(
    "--with",
    "way",
    type=click.Choice(["passphrase", "keyring"]),
    help="What opens it [default: the OS keyring, or a passphrase if there is none].",
)
@_home
@_debug
@friendly(interrupted="your files open as before; the same command goes on")
def lock(*, way: Literal["passphrase", "keyring"] | None, home: Path | None) -> None:
    """Encrypt your private files, from now on and those that are there."""
    from proper_client.at_rest.locking import lock as close  # noqa: PLC0415
    from proper_client.summary import after_locking  # noqa: PLC0415

    vault = _vault(home)
    click.echo(plain("\n".join(after_locking(close(vault.files, _secrets(), way)))))


@main.command()
@click.option(
    "--new-passphrase-file",
    type=click.Path(path_type=Path),
    expose_value=False,
    callback=_kept,
    help="Holds the new passphrase [default: you are asked].",
)
@_home
@_debug
@friendly(interrupted="the old passphrase or the new one opens your files")
def passphrase(*, home: Path | None) -> None:
    """Change the passphrase, or set one in the place of the OS keyring."""
    from proper_client.at_rest.locking import change_passphrase  # noqa: PLC0415

    change_passphrase(_vault(home).files, _secrets())
    click.echo("the new passphrase opens your files, the old one does no more")


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

    show = json_lines if as_json else table
    for line in show(_vault(home), last, refusals=refusals):
        click.echo(plain(line))


@main.command()
@_where
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

    membership = join(invitation, out, _vault(home))
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

    click.echo("\n".join(own(_vault(home))))


@contact.command("add")
@click.argument("key")
@click.option("--name", required=True, help="What you call the person.")
@_home
@_debug
@friendly(interrupted="look with `contact list` whether it was added")
def contact_add(*, key: str, name: str, home: Path | None) -> None:
    """Keep KEY, an identity or its fingerprint, that the person gave you themselves."""
    from proper_client.contacts import add_contact, describe  # noqa: PLC0415

    vault, day = _vault(home), datetime.now(UTC).date()
    click.echo(plain("\n".join(describe([add_contact(vault, key, name, day)]))))


@contact.command("list")
@_home
@_debug
@friendly(interrupted="nothing was changed")
def contact_list(*, home: Path | None) -> None:
    """Show your contacts."""
    from proper_client.contacts import contacts_in, describe  # noqa: PLC0415

    found = contacts_in(_vault(home))
    click.echo(plain("\n".join(describe(found))))


@contact.command("remove")
@click.argument("which")
@_home
@_debug
@friendly(interrupted="look with `contact list` whether it is gone")
def contact_remove(*, which: str, home: Path | None) -> None:
    """Vouch no more for the contact WHICH, a name, an identity or a fingerprint."""
    from proper_client.contacts import describe, remove_contact  # noqa: PLC0415

    vault = _vault(home)
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
    from proper_shared.environment import quiet  # noqa: PLC0415

    quiet(os.environ)  # before Flower is imported
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    from proper_client.device import Device, site_of  # noqa: PLC0415

    vault = _vault(home)
    device = Device(vault, site_of(vault, history, backbone))
    click.echo("taking part; Ctrl-C ends it")
    click.echo(f"answered {device.participate(once=once)} messages")
