"""Where private files lie if nobody says otherwise."""

import sys
from collections.abc import Mapping
from pathlib import Path


def default_home(environment: Mapping[str, str], platform: str = sys.platform) -> Path:
    """Return where private files go if nobody says otherwise.

    Args:
        environment: As `os.environ`; PROPER_HOME wins over the platform's habit.
        platform: As `sys.platform`.
    """
    if chosen := environment.get("PROPER_HOME", "").strip():
        return Path(chosen).expanduser()
    if platform == "win32" and (local := environment.get("LOCALAPPDATA")):
        return Path(local) / "proper"
    if platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "proper"
    # https://specifications.freedesktop.org/basedir-spec/: relative values are void
    data = Path(environment.get("XDG_DATA_HOME", ""))
    base = data if data.is_absolute() else Path.home() / ".local" / "share"
    return base / "proper"
