"""A look at the program: Python, packages, torch, a GPU, disk and memory.

Covered: a package that is missing or of another version than ours needs; a torch that
loads and computes something wrong.
Not covered: a package that was changed and still bears its version.
"""

import importlib.metadata
import importlib.util
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from proper_client.care.finding import Finding, ok, warning, wrong

DISTRIBUTION = "proper"
LEAST_DISK, ROOM = 64 << 20, 1 << 30  # bytes: of a model of nano; of a larger one
MEMORY = 3 << 29  # bytes: what training nano takes, and the imports
_ANEW = "install the program anew: pip install 'proper'"


def python() -> Iterator[Finding]:
    """Look at the version of Python."""
    about = importlib.metadata.metadata(DISTRIBUTION)
    asked, got = about["Requires-Python"], platform.python_version()
    if asked and not SpecifierSet(asked).contains(got, prereleases=True):
        yield wrong(f"{got}, expected {asked}", "make an environment of another Python")
        return
    yield ok(f"{got}, {DISTRIBUTION} {about['Version']}")


def packages() -> Iterator[Finding]:
    """Hold what is installed against what our own package asks for."""
    fit = 0
    extras: set[str] = set()
    for line in importlib.metadata.requires(DISTRIBUTION) or ():
        asked = Requirement(line)
        extra = _extra(asked)
        if asked.marker and not asked.marker.evaluate({"extra": extra}):
            continue
        try:
            got = importlib.metadata.version(asked.name)
        except importlib.metadata.PackageNotFoundError:
            if not extra:
                yield wrong(f"{asked.name} is missing, expected {line}", _ANEW)
            continue
        if asked.specifier.contains(got, prereleases=True):
            fit, extras = fit + 1, extras | ({extra} - {""})
        elif extra:
            way = f"if you need it: pip install '{DISTRIBUTION}[{extra}]'"
            yield warning(f"{asked.name} is {got}, expected {asked.specifier}", way)
        else:
            yield wrong(f"{asked.name} is {got}, expected {asked.specifier}", _ANEW)
    with_extras = f", some for {', '.join(sorted(extras))}" if extras else ""
    yield ok(f"{fit} packages fit{with_extras}")


def torch_works() -> Iterator[Finding]:
    """Let torch multiply two small matrices of whole numbers, which is exact."""
    try:
        import torch  # noqa: PLC0415 - it takes seconds, and may not load at all
    except (ImportError, OSError) as error:
        yield wrong(f"torch does not load: {_first(error)}", _ANEW)
        return
    numbers = torch.arange(64, dtype=torch.float32).reshape(8, 8)
    expected = [
        [sum((8 * i + k) * (8 * k + j) for k in range(8)) for j in range(8)]
        for i in range(8)
    ]
    if (numbers @ numbers).tolist() != expected:
        yield wrong(f"torch {torch.__version__} multiplies wrongly", _ANEW)
        return
    yield ok(f"torch {torch.__version__} computes, {torch.get_num_threads()} threads")


def accelerators() -> Iterator[Finding]:
    """Look for a CUDA device, and for what loads in 4 bits; neither is needed."""
    try:
        import torch  # noqa: PLC0415 - see above
    except (ImportError, OSError):
        return  # said already
    names = [
        f"{torch.cuda.get_device_name(n)} "
        f"({torch.cuda.get_device_properties(n).total_memory / 2**30:.0f} GiB)"
        for n in range(torch.cuda.device_count())
    ]
    if names and not torch.cuda.is_available():
        yield warning("there is a GPU that CUDA cannot use", "update its driver")
    yield ok(f"CUDA: {', '.join(names) or 'none, the processor does it all'}")
    if importlib.util.find_spec("bitsandbytes") is None:
        yield ok("bitsandbytes: not installed; it is needed for 4 bits alone")
    else:
        yield ok(f"bitsandbytes: {importlib.metadata.version('bitsandbytes')}")


def disk(home: Path) -> Iterator[Finding]:
    """Look for room on the disk of the home, also of one that is not made yet."""
    there = next(place for place in (home, *home.parents) if place.exists())
    free = shutil.disk_usage(there).free
    words = f"{_size(free)} free at {there}"
    hint = "free some space; or name a home on another disk with --home"
    if free < LEAST_DISK:
        yield wrong(f"{words}, expected {_size(LEAST_DISK)} at least", hint)
    elif free < ROOM:
        yield warning(f"{words}, enough for small models alone", hint)
    else:
        yield ok(words)


def memory(told: Path = Path("/proc/meminfo")) -> Iterator[Finding]:
    """Look how much memory is left, where the system tells."""
    lines = told.read_text(encoding="ascii").splitlines() if told.is_file() else []
    facts = {name: rest.split() for name, _, rest in (x.partition(":") for x in lines)}
    if "MemAvailable" not in facts:
        yield ok("this system does not tell how much is left")
        return
    left = int(facts["MemAvailable"][0]) << 10  # kB
    if left < MEMORY:
        yield warning(
            f"{_size(left)} left, training takes up to {_size(MEMORY)} with nano",
            "close other programs before you train",
        )
    else:
        yield ok(f"{_size(left)} left")


def _extra(asked: Requirement) -> str:
    """Return the extra that brings a package, or nothing."""
    _, found, rest = str(asked.marker or "").partition("extra == ")
    return rest.strip("'\"") if found else ""


def _first(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]


def _size(nbytes: int) -> str:
    return f"{nbytes / 2**30:.1f} GiB"
