"""What the machine is doing that decides whether it may work for others now.

Linux tells whether it runs on mains (/sys/class/power_supply); elsewhere that is not
known, and a device that wants to be plugged in then refuses and says so.
"""

import sys
from pathlib import Path

SUPPLIES = Path("/sys/class/power_supply")
_MAINS = {"Mains", "USB", "Wireless"}


def plugged_in(folder: Path = SUPPLIES, platform: str = sys.platform) -> bool | None:
    """Return whether the machine runs on mains; None where that is not known.

    A machine without a battery of its own is plugged in; batteries of a mouse or a
    headset (scope `Device`) do not count.

    Args:
        folder: where Linux lists supplies of power.
        platform: as `sys.platform`.

    Source: Linux, Documentation/ABI/testing/sysfs-class-power.
    """
    if not platform.startswith("linux") or not folder.is_dir():
        return None
    own = [place for place in folder.iterdir() if _says(place, "scope") != "Device"]
    if any(_says(place, "online") == "1" for place in own if _is_mains(place)):
        return True
    batteries = [place for place in own if _says(place, "type") == "Battery"]
    states = {_says(place, "status") for place in batteries}
    # A charger that is no supply of its own still shows in what the battery does.
    return not batteries or (states <= {"Charging", "Full", "Not charging"})


def _is_mains(place: Path) -> bool:
    return _says(place, "type") in _MAINS


def _says(place: Path, name: str) -> str:
    """Return what a supply says of itself; nothing where it does not."""
    try:
        return (place / name).read_text(encoding="ascii", errors="replace").strip()
    except OSError:  # drivers leave files out, or fail while a cable is pulled
        return ""
