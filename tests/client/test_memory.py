"""What a device keeps of a federation comes back as it was, and only to its seat."""

import numpy as np
import pytest

from proper_client.memory import VaultKeeper, from_bytes, to_bytes
from proper_client.node_state import NOTHING, Memory, When
from proper_client.vault import Vault
from proper_shared.errors import FormatError
from proper_shared.tensors import pack

RUN = "b" * 32
MEMORY = Memory(
    When(RUN, "group", 3),
    {"embedding": np.arange(3, dtype=np.float32)},
    {"embedding": np.ones(3, np.float32), "own": np.zeros((2, 2), np.float32)},
)


def assert_same(found, expected=MEMORY):
    assert found.last == expected.last
    for one, other in ((found.before, expected.before), (found.after, expected.after)):
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name], other[name]) for name in one)


def test_a_memory_comes_back_as_it_was(tmp_path):
    assert_same(from_bytes(to_bytes(MEMORY), "x"))
    VaultKeeper(Vault(tmp_path), "ab" * 32).save(4, MEMORY)
    assert_same(VaultKeeper(Vault(tmp_path), "ab" * 32).load(4))


def test_seats_and_federations_stay_apart(tmp_path):
    keeper = VaultKeeper(Vault(tmp_path), "ab" * 32)
    keeper.save(4, MEMORY)
    assert keeper.load(5) is None
    assert VaultKeeper(Vault(tmp_path), "cd" * 32).load(4) is None


def test_nothing_is_written_where_there_is_nothing_to_say(tmp_path):
    VaultKeeper(Vault(tmp_path / "home"), "ab" * 32).save(4, NOTHING)
    assert not (tmp_path / "home").exists()


def test_a_state_that_is_not_finite_leaves_the_old_one(tmp_path):
    keeper = VaultKeeper(Vault(tmp_path), "ab" * 32)
    keeper.save(4, MEMORY)
    odd = Memory(
        When(RUN, "group", 4), {}, {"embedding": np.array([np.nan], np.float32)}
    )
    with pytest.raises(ValueError, match=r"NaN|finite"):
        keeper.save(4, odd)
    assert_same(keeper.load(4))


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"stage": "group", "round": "3"},
        {"run": RUN, "stage": "", "round": "x"},
    ],
)
def test_a_file_that_names_no_round_is_refused(about):
    with pytest.raises(FormatError, match="to which round"):
        from_bytes(pack({"before/a": np.zeros(1, np.float32)}, about), "x")
