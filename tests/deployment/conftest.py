"""The house is importable, and each test that wants one has its own."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def house(tmp_path):
    from house import House  # noqa: PLC0415

    made = House(tmp_path)
    yield made
    made.end()
