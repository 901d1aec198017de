"""What this machine has for a model: memory that is free, and a GPU if there is one."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from proper_shared.quantised import is_installed

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")
_LIMITS = (  # of the second version of control groups and of the first
    ("", "memory.max", "memory.current"),
    ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
)
_CACHES = {"active_file", "inactive_file"}


@dataclass(frozen=True)
class Machine:
    """What there is.

    Attributes:
        memory: bytes that this process has or can get; None where it cannot be told.
        gpu: bytes that are free on the GPU; None where torch can use none.
        gpu_name: what the GPU is called.
        cuda: whether torch was built for GPUs.
        four_bits: whether bitsandbytes is installed.
    """

    memory: int | None
    gpu: int | None = None
    gpu_name: str = ""
    cuda: bool = False
    four_bits: bool = False


def this_machine() -> Machine:
    """Look at the machine as it is now."""
    gpu, name = None, ""
    if torch.cuda.is_available():
        gpu, name = torch.cuda.mem_get_info()[0], torch.cuda.get_device_name()
    memory = free_memory()
    cuda = torch.backends.cuda.is_built()  # type: ignore[no-untyped-call]
    return Machine(memory, gpu, name, cuda=cuda, four_bits=is_installed())


def free_memory(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """Return bytes that this process has or can get, as far as the system tells.

    Args:
        meminfo: of Linux; elsewhere there is none.
        cgroup: of a container, which may have less than the machine.
    """
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return None
    known = dict(line.split(":", 1) for line in lines if ":" in line)
    said = known.get("MemAvailable", "").split()
    if not said or not said[0].isdigit():
        return None
    free = [int(said[0]) << 10, *_left_in(cgroup)]
    return min(free) + _own()


def _left_in(cgroup: Path) -> Iterator[int]:
    """Yield bytes that a container may still take; what caches files can be had."""
    for folder, most, taken in _LIMITS:
        limit, used = _number(cgroup / folder / most), _number(cgroup / folder / taken)
        if limit is None or used is None:
            continue
        try:
            text = (cgroup / folder / "memory.stat").read_text(encoding="ascii")
        except (OSError, ValueError):
            text = ""
        pairs = (line.split() for line in text.splitlines())
        cached = sum(int(pair[1]) for pair in pairs if pair[0] in _CACHES)
        yield max(0, limit - max(0, used - cached))


def _number(path: Path) -> int | None:
    """Return the number in a file of the system; `max` is none."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return None
    return int(text) if text.isdigit() else None


def _own() -> int:
    """Return bytes that this process takes already."""
    try:
        resident = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(resident) * os.sysconf("SC_PAGE_SIZE")
