"""`proper-sim bench memory` and `bench four-bits`: options in, functions called."""

import json

import click

from proper_shared.friendly import friendly
from proper_simulations.cli_options import debug
from proper_simulations.cli_options import json as as_json_too

_lost = "nothing is kept of a benchmark that was cut short"


@click.command()
@as_json_too
@debug
@friendly(interrupted=_lost)
def memory(*, as_json: bool) -> None:
    """The memory that an estimate says, against what a training took."""
    from proper_simulations.bench.memory import as_lines  # noqa: PLC0415
    from proper_simulations.bench.memory import memory as measure  # noqa: PLC0415

    found = measure(show=lambda case: click.echo(case, err=True))
    click.echo(json.dumps(found, indent=1) if as_json else as_lines(found))


@click.command("four-bits")
@click.option("--people", type=click.IntRange(2), default=100, show_default=True)
@as_json_too
@debug
@friendly(interrupted=_lost)
def four_bits(*, people: int, as_json: bool) -> None:
    """How a population LoRA is to meet a backbone in 4 bits."""
    from proper_simulations.bench.four_bits import as_lines  # noqa: PLC0415
    from proper_simulations.bench.four_bits import four_bits as compare  # noqa: PLC0415

    found = compare(people, show=lambda way: click.echo(way, err=True))
    click.echo(json.dumps(found, indent=1) if as_json else as_lines(found))


COMMANDS = (memory, four_bits)
