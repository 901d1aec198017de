"""Commands of `proper-client` that have to do with a federation; added to it by `cli`.

releases    pull, use
member      enroll, contact, participate
control     ledger, policy
"""

import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import click

from proper_client.cli_options import debug, folder_of, home_options, vault_at, where
from proper_shared.friendly import friendly, plain


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option(
    "--last",
    type=click.IntRange(min=1),
    help="Show so many lines [default: 20, with --json all].",
)
@click.option("--refusals", is_flag=True, help="Show only what was refused.")
@home_options
@debug
@friendly(interrupted="nothing was changed")
def ledger(
    *, as_json: bool, last: int | None, refusals: bool, home: Path | None
) -> None:
    """Show every byte that left this device, and what it refused."""
    from proper_client.ledger_view import json_lines, table  # noqa: PLC0415

    show = json_lines if as_json else table
    for line in show(vault_at(home), last, refusals=refusals):
        click.echo(plain(line))


@click.command()
@where
@debug
@friendly(interrupted="nothing was changed")
def policy(*, home: Path | None) -> None:
    """Show what a federation may ask of this device, and where that is set."""
    from proper_client.policy import describe, load_policy  # noqa: PLC0415

    place = folder_of(home)
    click.echo(plain("\n".join(describe(load_policy(place), place))))


@click.command()
@click.argument("source")
@click.option(
    "--fingerprint", help="Of the root file, 64 hex digits; the first time only."
)
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="Root file that you trust, in the place of a fingerprint.",
)
@click.option("--backbone", help="Folder or hub id of your backbone, if not nano.")
@click.option(
    "--texts",
    type=click.Path(path_type=Path),
    help="A history by which a release is judged; it stays here.",
)
@home_options
@debug
@friendly(interrupted="what you had is in use; the same command goes on with the rest")
def pull(  # noqa: PLR0913 - one for each option
    *,
    source: str,
    fingerprint: str | None,
    root: Path | None,
    backbone: str | None,
    texts: Path | None,
    home: Path | None,
) -> None:
    """Fetch the newest release from SOURCE, a folder or https://..., and use it."""
    from proper_client.releases.pull import Order  # noqa: PLC0415
    from proper_client.releases.visit import visit  # noqa: PLC0415
    from proper_shared.progress import Progress  # noqa: PLC0415

    vault = vault_at(home)
    order = Order(root, fingerprint, backbone, texts)
    click.echo(plain("\n".join(visit(source, vault, order, Progress(unit="kB")))))


@click.command()
@click.option("--previous", is_flag=True, required=True, help="The one before.")
@home_options
@debug
@friendly(interrupted="look with `use --previous` again")
def use(*, previous: bool, home: Path | None) -> None:  # noqa: ARG001 - there is no other
    """Go back to the release that was used before the newest one."""
    from proper_client.releases.shelf import Shelf  # noqa: PLC0415

    shelf = Shelf(folder_of(home))
    kept = shelf.back()
    click.echo(plain(f"in use        {shelf.place(kept)} (version {kept.version})"))


@click.command()
@click.argument("invitation", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("enrolment.json"),
    show_default=True,
    help="Where to write the file that goes back to the coordinator.",
)
@home_options
@debug
@friendly(interrupted="no key is kept; the same command starts again")
def enroll(*, invitation: Path, out: Path, home: Path | None) -> None:
    """Accept the file INVITATION: make keys for this device, and an answer."""
    from proper_client.enrolment import describe  # noqa: PLC0415
    from proper_client.enrolment import enroll as join  # noqa: PLC0415

    membership = join(invitation, out, vault_at(home))
    click.echo(plain("\n".join(describe(membership, out, home))))


@click.group()
def contact() -> None:
    """Keep the members whom you know; your device counts them from the first day on."""


@contact.command("me")
@home_options
@debug
@friendly(interrupted="nothing was changed")
def contact_me(*, home: Path | None) -> None:
    """Show your own identity, for others to take as a contact."""
    from proper_client.contacts import own  # noqa: PLC0415

    click.echo("\n".join(own(vault_at(home))))


@contact.command("add")
@click.argument("key")
@click.option("--name", required=True, help="What you call the person.")
@home_options
@debug
@friendly(interrupted="look with `contact list` whether it was added")
def contact_add(*, key: str, name: str, home: Path | None) -> None:
    """Keep KEY, an identity or its fingerprint, that the person gave you themselves."""
    from proper_client.contacts import add_contact, describe  # noqa: PLC0415

    vault, day = vault_at(home), datetime.now(UTC).date()
    click.echo(plain("\n".join(describe([add_contact(vault, key, name, day)]))))


@contact.command("list")
@home_options
@debug
@friendly(interrupted="nothing was changed")
def contact_list(*, home: Path | None) -> None:
    """Show your contacts."""
    from proper_client.contacts import contacts_in, describe  # noqa: PLC0415

    found = contacts_in(vault_at(home))
    click.echo(plain("\n".join(describe(found))))


@contact.command("remove")
@click.argument("which")
@home_options
@debug
@friendly(interrupted="look with `contact list` whether it is gone")
def contact_remove(*, which: str, home: Path | None) -> None:
    """Vouch no more for the contact WHICH, a name, an identity or a fingerprint."""
    from proper_client.contacts import describe, remove_contact  # noqa: PLC0415

    vault = vault_at(home)
    click.echo(plain("\n".join(describe([remove_contact(vault, which)]))))


@click.command()
@click.option(
    "--history",
    type=click.Path(path_type=Path),
    help="Your entries in a JSON file [default: the one of the last time].",
)
@click.option("--backbone", help="Folder of the federation's backbone, if it moved.")
@click.option("--once", is_flag=True, help="End when nothing more is asked for 30 s.")
@home_options
@debug
@friendly(interrupted="you are out of this round; the same command takes part again")
def participate(
    *, history: Path | None, backbone: str | None, once: bool, home: Path | None
) -> None:
    """Take part in the federation until Ctrl-C; your history stays here."""
    from proper_client.counting import counted  # noqa: PLC0415
    from proper_client.stopping import heed_signals  # noqa: PLC0415
    from proper_shared.environment import quiet  # noqa: PLC0415

    quiet(os.environ)  # before Flower is imported
    heed_signals(stop := threading.Event())
    from proper_client.device import Device, site_of  # noqa: PLC0415

    vault = vault_at(home)
    device = Device(vault, site_of(vault, history, backbone), stop)
    answered = device.participate(
        once=once, tell=lambda words: click.echo(plain(words))
    )
    click.echo(f"answered {counted(answered, 'request')} of the coordinator")


COMMANDS = (ledger, policy, pull, use, enroll, contact, participate)
