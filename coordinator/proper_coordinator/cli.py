"""`proper-coordinator`: options in, functions called, errors out. No logic here."""

from pathlib import Path

import click

from proper_shared.friendly import friendly, plain


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="proper", prog_name="proper-coordinator")
def main() -> None:
    """Look after what a federation learns together; no text comes by here."""


@main.command()
@click.argument("release", type=click.Path(path_type=Path))
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@friendly(interrupted="nothing was changed")
def inspect(release: Path) -> None:
    """Show what the folder RELEASE holds, and verify its files."""
    from proper_coordinator.inspection import describe  # noqa: PLC0415 - --help is fast

    click.echo(plain("\n".join(describe(release))))
