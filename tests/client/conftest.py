"""What tests of a device begin with: an empty home, and the one door out of it."""

import pytest

from proper_client.ledger import Door, Ledger
from proper_client.vault import Vault


@pytest.fixture
def vault(tmp_path):
    return Vault(tmp_path / "home")


@pytest.fixture
def door(vault):
    with Ledger(vault) as ledger:
        yield Door(ledger, "there:1")
