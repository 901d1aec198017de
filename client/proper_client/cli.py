"""`proper-client`: options in, functions called, errors out. No logic lives here.

Here stand the commands that make a model of one's own; those that use it stand in
`cli_use`, those of a federation in `cli_federation`.
Imports stand inside the commands: torch alone takes longer than `--help` may.
"""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import click

from proper_client import cli_care, cli_export, cli_federation, cli_own, cli_use
from proper_client.cli_device import device_options, wanted
from proper_client.cli_options import (
    completes_tasks,
    debug,
    home_options,
    keep_for_secrets,
    secrets_given,
    vault_at,
)
from proper_shared.environment import quiet
from proper_shared.friendly import friendly, plain


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="proper", prog_name="proper-client")
def main() -> None:
    """Make and use a model of your own; your history stays on this machine."""
    quiet()  # before any library is imported that would call home


@main.command()
@click.option(
    "--history",
    type=click.Path(path_type=Path),
    help="Add these entries first: a file, folder or zip, see `proper-client import "
    "--formats` [default: learn from what was added before].",
)
@click.option("--task", help="What is asked of a text, if the history does not say.")
@click.option(
    "--release",
    type=click.Path(path_type=Path),
    help="Start from this release, or `none`: the plain backbone [default: that of the "
    "model that you have, if you chose it; what `pull` brought, or else what comes "
    "with the program, where that is for what your history asks; else none].",
)
@click.option(
    "--backbone",
    help="Folder of the release's backbone, if it moved; without a release the folder "
    "or hub id of any that is supported [default: nano].",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    help="Of order and dropout [default: that of the model that you have, or 0].",
)
@click.option("--anew", is_flag=True, help="Start from nothing, not from your model.")
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with a training that was cut short, or end with an error.",
)
@device_options
@home_options
@debug
@friendly(
    interrupted="a model that you had is as it was; the same command goes on from here"
)
def train(*, home: Path | None, **said: Any) -> None:  # noqa: ANN401 - checked by click
    """Learn your history, or what is new in it, and train a model of your own.

    Entries are added to those of before; the same ones twice add nothing.
    """
    start = time.monotonic()  # before the imports, which a person waits for too
    from proper_client.wish import Wish, announced, settled, take_in  # noqa: PLC0415

    wish, vault = Wish(**said), vault_at(home)
    taken = take_in(wish, vault)  # what is wrong with it shows before torch is loaded
    plan = settled(wish, vault, taken.task.name)
    for line in [*taken.left_out, *announced(wish, plan)]:
        click.echo(plain(line), err=True)
    from proper_client.assistant import learn  # noqa: PLC0415
    from proper_client.summary import after_learning  # noqa: PLC0415
    from proper_shared.progress import Progress  # noqa: PLC0415

    now = datetime.now(UTC).isoformat(timespec="seconds")
    done = learn(plan, vault, now, Progress(), taken=taken, wanted=wanted(told=True))
    seconds = time.monotonic() - start
    click.echo(plain("\n".join(after_learning(done, vault, seconds, home))))


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
@debug
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
@home_options
@debug
@friendly(interrupted="nothing was changed")
def status(*, home: Path | None) -> None:
    """Show which models you have, and how good they are."""
    from proper_client.summary import status as look  # noqa: PLC0415

    click.echo(plain("\n".join(look(vault_at(home)))))


@main.command()
@click.option(
    "--with",
    "way",
    type=click.Choice(["passphrase", "keyring"]),
    help="What opens it [default: the OS keyring, or a passphrase if there is none].",
)
@home_options
@debug
@friendly(interrupted="your files open as before; the same command goes on")
def lock(*, way: Literal["passphrase", "keyring"] | None, home: Path | None) -> None:
    """Encrypt your private files, from now on and those that are there."""
    from proper_client.at_rest.locking import lock as close  # noqa: PLC0415
    from proper_client.summary import after_locking  # noqa: PLC0415

    vault = vault_at(home)
    click.echo(
        plain("\n".join(after_locking(close(vault.files, secrets_given(), way))))
    )


@main.command()
@click.option(
    "--new-passphrase-file",
    type=click.Path(path_type=Path),
    expose_value=False,
    callback=keep_for_secrets,
    help="Holds the new passphrase [default: you are asked].",
)
@home_options
@debug
@friendly(interrupted="the old passphrase or the new one opens your files")
def passphrase(*, home: Path | None) -> None:
    """Change the passphrase, or set one in the place of the OS keyring."""
    from proper_client.at_rest.locking import change_passphrase  # noqa: PLC0415

    change_passphrase(vault_at(home).files, secrets_given())
    click.echo("the new passphrase opens your files, the old one does no more")


PARTS = (cli_use, cli_export, cli_federation, cli_own, cli_care)
for command in (command for part in PARTS for command in part.COMMANDS):
    main.add_command(command)
completes_tasks(main)
