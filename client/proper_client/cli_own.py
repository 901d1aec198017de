"""`proper-client history` and `forget`: what was learnt from, and what shall not be.

No logic lives here; imports stand inside the commands, as in `cli`.
"""

from datetime import UTC, datetime
from pathlib import Path

import click

from proper_client.cli_options import debug, home_options, vault_at
from proper_shared.errors import ConfigError
from proper_shared.friendly import Command, friendly, plain

_WORDS = "Only entries with these words in them, in capitals or not."


def _which(command: Command) -> Command:
    """Add the options that say which entries are meant."""
    before = click.option("--before", help="Only entries earlier than 2026-01-31.")
    after = click.option("--after", help="Only entries later than 2026-01-31.")
    match = click.option("--match", help=_WORDS)
    task = click.option("--task", help="Of which history, if there are several.")
    return match(before(after(task(command))))


@click.command("history")
@_which
@click.option(
    "--last",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Show so many at most, the newest.",
)
@home_options
@debug
@friendly(interrupted="nothing was changed")
def history_(*, task: str | None, last: int, home: Path | None, **which: str) -> None:
    """List the entries that you gave to `train`, with their numbers."""
    from proper_client.choosing import Selection  # noqa: PLC0415
    from proper_client.summary_own import listing  # noqa: PLC0415
    from proper_client.wish import Wish, take_in  # noqa: PLC0415

    taken = take_in(Wish(task=task), vault_at(home))
    found = Selection(**which).of(taken.entries)  # type: ignore[arg-type]
    click.echo(plain("\n".join(listing(taken, found, last))))


@click.command()
@click.argument("entries", nargs=-1)
@_which
@click.option("--all", "everything", is_flag=True, help="All entries of all tasks.")
@click.option(
    "--delete-model",
    is_flag=True,
    help="Delete the model, instead of training it again from what is left.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_options
@debug
@friendly(
    interrupted="what was taken out of the history stays out; if a model is still to "
    "forget it, `proper-client status` says so, and `proper-client train` does it"
)
def forget(  # noqa: PLR0913 - one for each option
    *,
    entries: tuple[str, ...],
    task: str | None,
    everything: bool,
    delete_model: bool,
    yes: bool,
    home: Path | None,
    **which: str,
) -> None:
    """Forget ENTRIES (numbers, 3-7, ids), those that fit the options, or a whole task.

    Your model is trained again from what is left, and is then the one of somebody who
    never had them. All your private files are searched for what was forgotten.
    """
    from proper_client.choosing import Selection, to_forget  # noqa: PLC0415
    from proper_client.summary_own import (  # noqa: PLC0415
        after_forgetting,
        before_forgetting,
    )

    selection = Selection(entries, **which)
    vault = vault_at(home)
    parts = to_forget(vault, selection, task, everything=everything)
    click.echo(plain("\n".join(before_forgetting(parts, delete_model=delete_model))))
    if not yes:
        _ask()
    from proper_client.forgetting import forget as leave_out  # noqa: PLC0415
    from proper_shared.progress import Progress  # noqa: PLC0415

    now = datetime.now(UTC).isoformat(timespec="seconds")
    done = [
        leave_out(vault, part, now, Progress(), delete_model=delete_model)
        for part in parts
    ]
    click.echo(plain("\n".join(after_forgetting(done, vault))))


def _ask() -> None:
    try:
        agreed = click.confirm("forget this?")
    except click.Abort:  # Ctrl-C, or nobody there to ask
        agreed = False
    if not agreed:
        raise ConfigError(
            "nothing was forgotten: nobody said yes", hint="say it by --yes"
        )


COMMANDS = (history_, forget)
