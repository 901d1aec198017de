"""`proper-sim`: options in, functions called, errors out. No logic lives here.

Imports stand inside the commands: torch alone takes longer than `--help` may.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from proper_shared.friendly import friendly
from proper_simulations.cli_memory import COMMANDS

if TYPE_CHECKING:
    from proper_simulations.config import RunConfig

_PATH = click.Path(path_type=Path)
_debug = click.option("--debug", is_flag=True, help="Show the traceback of an error.")
_seed = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, not a table.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="proper", prog_name="proper-sim")
def main() -> None:
    """Whole federations in one machine: worlds, real histories, rivals, reports."""


@main.command()
@click.option("--data", type=_PATH, help="Folder with real histories.")
@click.option("--task", help="Task of these histories, such as LaMP_3.")
@click.option(
    "--world",
    type=click.Choice(["tagging", "rating", "rewriting"]),
    help="Synthetic users instead [default: tagging].",
)
@click.option(
    "--users",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="How many get a personal model; at most those that a data folder has.",
)
@click.option(
    "--backbone", default="nano", show_default=True, help="nano, or a folder or hub id."
)
@click.option(
    "--engine",
    type=click.Choice(["memory", "ray"]),
    default="memory",
    show_default=True,
    help="Run the federation in this process, or on Flower's simulation engine.",
)
@click.option(
    "--group-level",
    type=click.Choice(["auto", "others", "all"]),
    default="auto",
    show_default=True,
    help="Who trains population and groups; auto: all where others have few entries.",
)
@click.option(
    "--curve",
    metavar="N,N,...",
    help="Numbers of entries to draw the learning curve at, beside all; or none.",
)
@click.option(
    "--no-masks",
    is_flag=True,
    help="For comparison: updates in clear, so that each single one can be read.",
)
@click.option(
    "--epsilon",
    type=float,
    help="Differential privacy: the most that a member loses [default: no noise].",
)
@click.option(
    "--delta",
    type=float,
    default=1e-5,
    show_default=True,
    help="At which epsilon is counted.",
)
@click.option(
    "--ablation",
    is_flag=True,
    help="Train groups without the constraint loss too, for the report.",
)
@_seed
@click.option(
    "--out",
    type=_PATH,
    default=Path("out"),
    show_default=True,
    help="Folder of results.json, report.html and release/.",
)
@click.option("--quick", is_flag=True, help="A look in minutes, and no result.")
@_debug
@friendly(
    interrupted="finished rounds are kept in --out; the same command goes on from there"
)
def run(  # noqa: PLR0913 - one for each option
    *,
    data: Path | None,
    task: str | None,
    world: str | None,
    users: int,
    backbone: str,
    engine: str,
    group_level: str,
    curve: str | None,
    no_masks: bool,
    epsilon: float | None,
    delta: float,
    ablation: bool,
    seed: int,
    out: Path,
    quick: bool,
) -> None:
    """Train population, groups and personal models, and show whether it worked."""
    from proper_simulations.config import (  # noqa: PLC0415
        RunConfig,
        check_noise,
        choose_source,
        read_curve,
        read_privacy,
    )

    source = choose_source(data, task, world)
    rest = {"users": users, "backbone": backbone, "engine": engine, "seed": seed}
    rest |= {"group_level": group_level, "ablation": ablation, "out": out}
    rest |= {"curve": read_curve(curve), "quick": quick, "masks": not no_masks}
    rest |= read_privacy(epsilon, delta)
    config = check_noise(RunConfig.model_validate({**source, **rest}))
    _look_before_torch_is_loaded(config)
    from proper_simulations.run import run as execute  # noqa: PLC0415

    click.echo(execute(config))


def _look_before_torch_is_loaded(config: "RunConfig") -> None:
    """Raise what is wrong with the folders at once: importing torch takes seconds."""
    from proper_simulations.places import check_out  # noqa: PLC0415
    from proper_simulations.sources import dataset_of  # noqa: PLC0415

    check_out(config.out)
    dataset_of(config)


@main.command("make-backbone")
@click.option("--out", type=_PATH, required=True, help="Folder of the backbone.")
@click.option("--data", type=_PATH, help="Folder with texts that may be passed on.")
@click.option("--minutes", type=click.FloatRange(0.1), help="How long to train.")
@click.option("--steps", type=click.IntRange(1), help="Or: how many steps.")
@_seed
@_debug
@friendly(interrupted="nothing was written; the same command starts again")
def make_backbone(
    *, out: Path, data: Path | None, minutes: float | None, steps: int | None, seed: int
) -> None:
    """Train the small language model `nano`, with its tokenizer and model card."""
    from proper_shared.progress import Progress  # noqa: PLC0415
    from proper_simulations.backbone import Recipe, make_backbone  # noqa: PLC0415

    show = Progress()
    recipe = Recipe(seed=seed, minutes=minutes or Recipe.minutes, steps=steps)
    make_backbone(
        out,
        recipe=recipe,
        data=data,
        report=lambda at: show("backbone", at.step, at.steps, at.loss),
    )
    click.echo(f"written to {out}")


@main.command("make-starter")
@click.argument("release", type=_PATH)
@_debug
@friendly(interrupted="nothing was changed")
def make_starter(*, release: Path) -> None:
    """Let the release in folder RELEASE ship with the package."""
    from proper_shared.release import STARTER  # noqa: PLC0415
    from proper_simulations.starter import keep_as_starter  # noqa: PLC0415

    keep_as_starter(release)
    click.echo(f"written to {STARTER}")


@main.group(commands=COMMANDS)
def bench() -> None:
    """Measure speed against stock PEFT, what privacy costs, and what lies do."""


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


@main.command()
@click.argument("folder", type=_PATH)
@_debug
@friendly(interrupted="nothing was changed")
def tables(*, folder: Path) -> None:
    """Print all runs in FOLDER side by side, and their seeds pooled, as Markdown."""
    from proper_shared.errors import DataError  # noqa: PLC0415
    from proper_simulations.tables import tables as draw  # noqa: PLC0415

    if not (text := draw(folder)):
        raise DataError(
            f"there are no results in {folder}",
            hint="expected files called world-NAME-seedN.json or real-NAME-seedN.json",
        )
    click.echo(text, nl=False)


@main.command()
@click.argument("results", type=_PATH)
@click.option("--out", type=_PATH, help="The page [default: report.html beside it].")
@_debug
@friendly(interrupted="nothing was changed")
def report(*, results: Path, out: Path | None) -> None:
    """Draw report.html anew from RESULTS, a results.json."""
    from proper_shared.durable import write_file  # noqa: PLC0415
    from proper_simulations.places import check_file  # noqa: PLC0415
    from proper_simulations.report import render, table  # noqa: PLC0415
    from proper_simulations.results import load  # noqa: PLC0415

    page, found = out or results.with_name("report.html"), load(results)
    check_file(page)
    page.parent.mkdir(parents=True, exist_ok=True)
    write_file(page, render(found).encode())
    click.echo(f"{table(found)}\nwritten to {page}")
