"""`proper-sim bench`: options in, functions called, errors out. No logic lives here.

Imports stand inside the commands: torch alone takes longer than `--help` may.
"""

from pathlib import Path

import click

from proper_shared.friendly import friendly
from proper_simulations.cli_leakage import leakage
from proper_simulations.cli_memory import four_bits, memory
from proper_simulations.cli_options import PATH as _PATH
from proper_simulations.cli_options import debug as _debug
from proper_simulations.cli_options import json as _json
from proper_simulations.cli_options import seed as _seed


@click.group(commands=[leakage, memory, four_bits])
def bench() -> None:
    """Measure speed, memory, what privacy costs, what lies do, what adapters tell."""


@bench.command()
@_json
@_seed
@_debug
@friendly(interrupted="nothing is kept of a benchmark that was cut short")
def layer(*, as_json: bool, seed: int) -> None:
    """Five experts with routers against one LoRA of the same size."""
    from proper_simulations.bench.layer_cost import layer as measure  # noqa: PLC0415
    from proper_simulations.bench.table import as_text  # noqa: PLC0415

    click.echo(as_text(measure(seed=seed), as_json=as_json))


@bench.command("decoding")
@_json
@_seed
@_debug
@friendly(interrupted="nothing is kept of a benchmark that was cut short")
def decoding_(*, as_json: bool, seed: int) -> None:
    """A token of an answer at each level against the plain backbone."""
    from proper_simulations.bench.decoding import decoding_cost  # noqa: PLC0415
    from proper_simulations.bench.table import as_text  # noqa: PLC0415

    click.echo(as_text(decoding_cost(seed=seed), as_json=as_json))


@bench.command()
@_json
@_seed
@_debug
@friendly(interrupted="nothing is kept of a benchmark that was cut short")
def cohort(*, as_json: bool, seed: int) -> None:
    """Many personal models at once against PEFT, one user after the other."""
    from proper_simulations.bench.cohort_speed import cohort as measure  # noqa: PLC0415
    from proper_simulations.bench.table import as_text  # noqa: PLC0415

    click.echo(as_text(measure(seed=seed), as_json=as_json))


@bench.command()
@_json
@_seed
@_debug
@friendly(interrupted="nothing is kept of a benchmark that was cut short")
def encoding(*, as_json: bool, seed: int) -> None:
    """The mean of encoded updates against the mean of plain ones."""
    from proper_simulations.bench.encoding_error import (  # noqa: PLC0415
        as_text,
        encoding_error,
    )

    click.echo(as_text(encoding_error(seed=seed), as_json=as_json))


@bench.command()
@click.option(
    "--out",
    type=_PATH,
    default=Path("out/bench-privacy"),
    show_default=True,
    help="Folder in which finished points are kept.",
)
@click.option("--quick", is_flag=True, help="A look in minutes, and no result.")
@_json
@_seed
@_debug
@friendly(interrupted="finished points are kept in --out; the same command goes on")
def privacy(*, out: Path, quick: bool, as_json: bool, seed: int) -> None:
    """What differential privacy costs stage 1, by epsilon and number of users."""
    from proper_simulations.bench.privacy_curve import (  # noqa: PLC0415
        QUICK,
        Plan,
        as_text,
    )
    from proper_simulations.bench.privacy_curve import privacy as draw  # noqa: PLC0415

    plan, name = (QUICK, "quick") if quick else (Plan(), "full")
    found = draw(
        plan,
        out / f"{name}-{seed}",
        seed=seed,
        show=lambda point: click.echo(point, err=True),
    )
    click.echo(as_text(found, as_json=as_json))


@bench.command()
@click.option(
    "--seeds",
    metavar="N,N,...",
    default="0,1,2",
    show_default=True,
    help="Of the worlds that are trained on.",
)
@click.option("--quick", is_flag=True, help="A look in minutes, and no result.")
@_json
@_debug
@friendly(interrupted="nothing is kept of a benchmark that was cut short")
def central(*, seeds: str, quick: bool, as_json: bool) -> None:
    """Federated training against central, and masked against unmasked."""
    from proper_simulations.config import RunConfig, read_seeds  # noqa: PLC0415

    wanted = read_seeds(seeds)

    from proper_simulations.bench.central import as_text  # noqa: PLC0415
    from proper_simulations.bench.central import central as compare  # noqa: PLC0415

    found = compare(
        wanted, RunConfig(quick=quick), show=lambda way: click.echo(way, err=True)
    )
    click.echo(as_text(found, as_json=as_json))


@bench.command("lies")
@click.option("--quick", is_flag=True, help="A look in minutes, and no result.")
@_json
@_seed
@_debug
@friendly(interrupted="nothing is kept of a benchmark that was cut short")
def lies_(*, quick: bool, as_json: bool, seed: int) -> None:
    """Members that lie: what is dropped, and what they do to the model."""
    from proper_simulations.bench.lies import QUICK, Size, as_text  # noqa: PLC0415
    from proper_simulations.bench.lies import lies as compare  # noqa: PLC0415
    from proper_simulations.config import RunConfig  # noqa: PLC0415

    found = compare(
        QUICK if quick else Size(),
        RunConfig(quick=quick, seed=seed),
        show=lambda lie: click.echo(lie, err=True),
    )
    click.echo(as_text(found, as_json=as_json))


@bench.command()
@click.option(
    "--release",
    type=_PATH,
    help="Folder of a release, such as out/NAME/release [default: the starter].",
)
@click.option("--data", type=_PATH, help="Folder of real histories, of its task.")
@click.option("--users", type=click.IntRange(1), default=100, show_default=True)
@_json
@_debug
@friendly(interrupted="nothing is kept of a benchmark that was cut short")
def incremental(
    *, release: Path | None, data: Path | None, users: int, as_json: bool
) -> None:
    """Learning later entries against learning all anew: quality and cost."""
    import json  # noqa: PLC0415

    from proper_shared.release import STARTER  # noqa: PLC0415
    from proper_simulations.bench.incremental import Plan, as_text  # noqa: PLC0415
    from proper_simulations.bench.incremental import (  # noqa: PLC0415
        incremental as compare,
    )

    found = compare(
        release or STARTER,
        data,
        plan=Plan(users=users),
        show=lambda what: click.echo(what, err=True),
    )
    click.echo(json.dumps(found, indent=1) if as_json else as_text(found))


@bench.command("round")
@_json
@_seed
@_debug
@friendly(interrupted="nothing is kept of a benchmark that was cut short")
def round_(*, as_json: bool, seed: int) -> None:
    """Bytes of a round, and its time beside training, with masks and without."""
    from proper_simulations.bench.round_cost import (  # noqa: PLC0415
        as_text,
        round_cost,
    )
    from proper_simulations.config import RunConfig  # noqa: PLC0415

    found = round_cost(base=RunConfig(users=1, seed=seed))
    click.echo(as_text(found, as_json=as_json))
