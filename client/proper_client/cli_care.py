"""Commands of `proper-client` that look after it: doctor, config, completion."""

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from proper_client.cli_options import debug, home_options, passphrase_given, vault_at
from proper_shared.completion import completion_of
from proper_shared.friendly import OUR_FAULT, friendly, plain

if TYPE_CHECKING:
    from proper_client.care.finding import Finding


@click.command()
@click.option(
    "--open",
    "opens",
    is_flag=True,
    help="Look inside a locked vault too; you may be asked for its passphrase.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@home_options
@debug
@friendly(interrupted="nothing was changed")
def doctor(*, opens: bool, as_json: bool, home: Path | None) -> None:
    """Look whether all is well with the program and your files; ends with 1 if not."""
    from proper_client.at_rest.passphrase import VARIABLE  # noqa: PLC0415
    from proper_client.care.doctor import as_json as written  # noqa: PLC0415
    from proper_client.care.doctor import (  # noqa: PLC0415
        examine,
        lines,
        summary,
        worst,
    )

    vault, now = vault_at(home), datetime.now(UTC)
    opens = opens or passphrase_given() is not None or VARIABLE in os.environ
    report: list[tuple[str, Finding]] = []
    for name, finding in examine(vault, now, opens=opens):
        report.append((name, finding))
        if not as_json:  # as it comes, since torch takes its time
            click.echo(plain("\n".join(lines(name, finding))))
    click.echo(written(report) if as_json else plain("\n" + summary(report)))
    if worst(report) == "wrong":
        sys.exit(OUR_FAULT)


@click.group()
def config() -> None:
    """Show what is set, and where."""


@config.command("show")
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@click.option("--json", "as_json", is_flag=True, help="One JSON list.")
@home_options
@debug
@friendly(interrupted="nothing was changed")
def config_show(*, origin: bool, as_json: bool, home: Path | None) -> None:
    """Show every setting that holds on this device; no secret is shown."""
    from proper_client.care.settings import (  # noqa: PLC0415
        Given,
        as_objects,
        describe,
        settings,
    )

    found = settings(vault_at(home), os.environ, Given(home, passphrase_given()))
    if as_json:
        click.echo(json.dumps(as_objects(found), indent=1))
        return
    click.echo(plain("\n".join(describe(found, origin=origin))))


COMMANDS = (doctor, config, completion_of("proper-client"))
