"""Options that commands share."""

from pathlib import Path

import click

PATH = click.Path(path_type=Path)
debug = click.option("--debug", is_flag=True, help="Show the traceback of an error.")
seed = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True
)
json = click.option("--json", "as_json", is_flag=True, help="Print JSON, not a table.")
