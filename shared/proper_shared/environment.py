"""What is set before Flower is imported: it calls nobody, and installs nothing."""

from collections.abc import MutableMapping

QUIET = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
}


def quiet(environment: MutableMapping[str, str]) -> None:
    """Turn off Flower's telemetry, its look for updates and its installer."""
    environment.update(QUIET)
