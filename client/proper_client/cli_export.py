"""`proper-client export`: options in, functions called, errors out."""

from pathlib import Path
from typing import Literal, get_args

import click

from proper_client.cli_options import debug, home_options, vault_at
from proper_shared.friendly import friendly, plain

Level = Literal["population", "group", "personal"]  # kept.py's, without pydantic


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder to write; an export that lies there is replaced.",
)
@click.option(
    "--merged",
    is_flag=True,
    help="A whole model for transformers [default: a LoRA for PEFT].",
)
@click.option("--task", help="Which of your models, if there are several.")
@click.option(
    "--level",
    type=click.Choice(get_args(Level)),
    help="Which level [default: the one that was best on your entries].",
)
@click.option(
    "--history",
    type=click.Path(path_type=Path),
    help="Your entries, to take the gates from [default: those that are kept].",
)
@home_options
@debug
@friendly(interrupted="nothing was written; the same command starts again")
def export(  # noqa: PLR0913 - one for each option
    *,
    out: Path,
    merged: bool,
    task: str | None,
    level: Level | None,
    history: Path | None,
    home: Path | None,
) -> None:
    """Write your model as a folder that PEFT or transformers loads.

    Routers have no place in it: each layer gets fixed weights for the experts, the mean
    over your entries. What that costs is measured and shown. The folder is not
    encrypted.
    """
    from proper_client.export_folder import check_place  # noqa: PLC0415
    from proper_client.own_entries import entries_for  # noqa: PLC0415

    vault = vault_at(home)
    check_place(out)  # before torch is loaded
    name, entries = entries_for(vault, task, history)

    from proper_client.export_summary import after_export  # noqa: PLC0415
    from proper_client.exporting import ExportWish  # noqa: PLC0415
    from proper_client.exporting import export as write  # noqa: PLC0415

    done = write(ExportWish(out, merged, name, level), vault, entries)
    click.echo(plain("\n".join(after_export(done))))


COMMANDS = (export,)
