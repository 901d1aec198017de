"""The options --device and --precision, which commands share that load a model."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from proper_shared.friendly import Command

if TYPE_CHECKING:
    from proper_client.placement import Wanted

_META = "proper device and precision"


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:  # noqa: ANN401
    """Keep a choice for `wanted`; no command reads it."""
    context.meta.setdefault(_META, {})[parameter.name] = value


def _option(name: str, choices: list[str], text: str) -> Callable[[Command], Command]:
    return click.option(
        name,
        type=click.Choice(choices),
        default="auto",
        show_default=True,
        expose_value=False,
        callback=_keep,
        help=text,
    )


_device = _option(
    "--device",
    ["auto", "cpu", "cuda"],
    "Where to compute: auto takes a GPU that has the memory for it.",
)
_precision = _option(
    "--precision",
    ["auto", "float32", "bfloat16", "4bit"],
    "Of the backbone's weights: auto takes the most exact that fits.",
)


def device_options(command: Command) -> Command:
    """Add --device and --precision; `wanted` returns what was chosen."""
    return _device(_precision(command))


def wanted(*, told: bool = False) -> "Wanted":
    """Return what the person asks for.

    Args:
        told: whether they are told what was decided, before the work.
    """
    from proper_client.placement import Wanted  # noqa: PLC0415

    chosen = click.get_current_context().meta.get(_META, {})
    if not told:
        return Wanted(**chosen)
    return Wanted(**chosen, tell=partial(click.echo, err=True))
