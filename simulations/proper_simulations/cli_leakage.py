"""`proper-sim bench leakage`: options in, functions called, errors out."""

from pathlib import Path

import click

from proper_shared.friendly import friendly
from proper_simulations.cli_options import PATH, debug, json, seed


@click.command()
@click.option(
    "--out",
    type=PATH,
    default=Path("out/bench-leakage"),
    show_default=True,
    help="Folder in which finished trainings are kept.",
)
@click.option(
    "--shadows",
    type=click.IntRange(2, 1000),
    default=32,
    show_default=True,
    help="Adapters of each user that an attacker trains; more go on from --out.",
)
@click.option("--quick", is_flag=True, help="A look in minutes, and no result.")
@json
@seed
@debug
@friendly(interrupted="finished trainings are kept in --out; the same command goes on")
def leakage(*, out: Path, shadows: int, quick: bool, as_json: bool, seed: int) -> None:
    """What a personal adapter tells about the history it was trained on."""
    from proper_simulations.bench import leakage as bench  # noqa: PLC0415

    plan = bench.QUICK if quick else bench.Plan(shadows=shadows)
    found = bench.leakage(
        plan,
        out / f"{'quick' if quick else 'full'}-{seed}",
        seed=seed,
        show=lambda training: click.echo(training, err=True),
    )
    click.echo(bench.as_text(found, as_json=as_json))
