"""What is set before Flower or the hub's library is imported: they call nobody."""

import os
from collections.abc import MutableMapping

QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


def quiet(environment: MutableMapping[str, str] = os.environ) -> None:
    """Turn off telemetry, looks for updates and installers of what we stand on."""
    environment.update(QUIET)
