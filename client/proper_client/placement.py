"""Where a model computes, in how many bits, and how much of the work at once.

The most exact that fits is taken: first less is computed at once, which costs time
alone, then a weight gets fewer bits. What a person asks for is kept or refused, never
changed behind their back. All is decided from numbers, before a weight is read.

Covered: a GPU that is not there or is too small; a machine with too little memory.
Not covered: what others take once the work has begun.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from proper_client.footprint import (
    Bits,
    Footprint,
    Shape,
    Share,
    Where,
    Work,
    footprint,
    smaller,
    whole,
)
from proper_shared.errors import ConfigError, ModelError
from proper_shared.method.config import Method

if TYPE_CHECKING:
    from proper_client.machine import Machine

Device = Literal["cpu", "cuda"]
DeviceWish = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "bfloat16", "4bit"]
PrecisionWish = Literal["auto", "float32", "bfloat16", "4bit"]
BITS: dict[Precision, Bits] = {"float32": 32, "bfloat16": 16, "4bit": 4}
SPARE = 0.08  # of an estimate: by so much it may be wrong, see docs/log.md
LONG = 128  # tokens; shorter entries are not what takes the memory
GB = 1e9


@dataclass(frozen=True)
class Wanted:
    """What the person asks for.

    Attributes:
        device: where to compute.
        precision: of the weights.
        first: what `auto` tries before anything else, since a model learnt over it.
        plain: 4 bits are no way out for `auto`: the weights are to be added to.
        tell: is told what was decided, in a line.
    """

    device: DeviceWish = "auto"
    precision: PrecisionWish = "auto"
    first: Precision | None = None
    plain: bool = False
    tell: Callable[[str], object] = lambda _line: None


@dataclass(frozen=True)
class Placement:
    """What was decided.

    Attributes:
        device: where to compute.
        precision: of the weights.
        share: of the work that is in memory at once.
        needs: bytes, by what they are for.
        has: bytes that are free there; None where the machine cannot tell.
        work: what is computed.
    """

    device: Device
    precision: Precision
    share: Share
    needs: Footprint
    has: int | None
    work: Work

    @property
    def bits(self) -> Bits:
        """Of a weight."""
        return BITS[self.precision]

    @property
    def rows(self) -> int | None:
        """Rows of a step that are computed at once; None for all of them."""
        return None if self.share.rows >= self.work.batch else self.share.rows

    def line(self) -> str:
        """Say it in one line."""
        have = "" if self.has is None else f", you have {gigabytes(self.has)}"
        words = [f"needs about {gigabytes(self.needs.total)} GB{have}"]
        words.append(f"({self.device}, {self.precision}")
        if self.rows is not None:
            words[-1] += f", {self.rows} of {self.work.batch} entries at once"
        if self.share.checkpointing:
            words[-1] += ", each computed twice"
        return " ".join(words) + ")"


def place(
    wanted: Wanted, machine: "Machine", shape: Shape, method: Method, work: Work
) -> Placement:
    """Decide where and how to compute.

    Raises:
        ConfigError: what is asked for is not there.
        ModelError: nothing that was asked for fits.
    """
    tried: list[Placement] = []
    for device in _devices(wanted, machine):
        has = machine.gpu if device == "cuda" else machine.memory
        for precision in _precisions(wanted, machine, shape, device):
            for share in _shares(work):
                where = Where(device, BITS[precision])
                needs = footprint(shape, method, work, share, where)
                found = Placement(device, precision, share, needs, has, work)
                if has is None or needs.total * (1 + SPARE) <= has:
                    return found
            tried.append(found)
    least = min(tried, key=lambda one: one.needs.total)
    raise ModelError(
        f"this takes about {gigabytes(least.needs.total)} GB at the least "
        f"({least.device}, {least.precision}), you have {gigabytes(least.has or 0)}",
        hint=_help(wanted, machine, least),
    )


def gigabytes(nbytes: int) -> str:
    """Return bytes as people say them: 0.6, 5.9, 24."""
    return f"{nbytes / GB:.1f}" if nbytes < 10 * GB else f"{nbytes / GB:.0f}"


def _devices(wanted: Wanted, machine: "Machine") -> list[Device]:
    if wanted.device == "cuda" and machine.gpu is None:
        built = machine.cuda
        raise ConfigError(
            "got the device cuda, but torch finds no GPU here"
            if built
            else "got the device cuda, but this torch was built without CUDA",
            hint="take --device cpu, or check the driver with nvidia-smi"
            if built
            else "take --device cpu, or install a torch for your GPU: "
            "https://pytorch.org/get-started",
        )
    if wanted.device != "auto":
        return [wanted.device]
    return ["cpu"] if machine.gpu is None else ["cuda", "cpu"]


def _precisions(
    wanted: Wanted, machine: "Machine", shape: Shape, device: Device
) -> Iterator[Precision]:
    """Yield what may be tried, the most exact first.

    On a GPU weights are not widened beyond their files; a CPU computes in float32 where
    it can, since short numbers are slow on most.
    """
    is_auto = wanted.precision == "auto"
    asked = wanted.first if wanted.precision == "auto" else wanted.precision
    if asked == "4bit" and wanted.plain:
        asked = None
    if asked == "4bit" and not machine.four_bits:
        raise ModelError(
            "4 bits need bitsandbytes, which is not installed",
            hint="pip install 'proper[quant]', or take --precision bfloat16",
        )
    if asked is not None:
        yield asked
    for precision in get_args(Precision) if is_auto else ():
        widened = precision == "float32" and device == "cuda" and shape.stored == 16
        can = precision != "4bit" or (machine.four_bits and not wanted.plain)
        if can and not widened and precision != asked:
            yield precision


def _shares(work: Work) -> Iterator[Share]:
    share: Share | None = whole(work)
    while share is not None:
        yield share
        share = smaller(share)


def _help(wanted: Wanted, machine: "Machine", least: Placement) -> str:
    """Say what would help, the cheapest first."""
    ways = ["close other programs"]
    if wanted.precision not in ("auto", "4bit"):
        ways.append("leave --precision out")
    elif not machine.four_bits and not wanted.plain:
        ways.append("pip install 'proper[quant]' for 4 bits")
    if wanted.device != "auto":
        ways.append("leave --device out")
    if least.work.tokens > LONG:
        ways.append("shorten the entries")
    return ", ".join(ways) + ", or take a smaller backbone"
