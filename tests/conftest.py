"""What all tests share: the toy federation is importable, and nothing calls home."""

import os
import sys
from pathlib import Path

from proper_simulations.federation import quiet_environment

# No test may touch the keyring of whoever runs it.
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
sys.path.insert(0, str(Path(__file__).parent))
quiet_environment()


def pytest_configure(config):
    # Flower's command line, loaded with all the rest of it, lags behind click.
    old = "ignore:'?click.*is deprecated:DeprecationWarning"
    config.addinivalue_line("filterwarnings", old)
