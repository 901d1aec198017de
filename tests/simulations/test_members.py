import numpy as np
import pytest

from proper_client.node_state import Memory, When
from proper_shared.errors import FormatError
from proper_shared.tensors import pack
from proper_simulations.members import FolderKeeper

RUN = "b" * 32
MEMORY = Memory(
    When(RUN, "group", 7),
    {"embedding": np.zeros(3, np.float32)},
    {"embedding": np.ones(3, np.float32), "l.user.a": np.ones((2, 4), np.float32)},
)


def test_a_state_comes_back_as_it_was_saved(tmp_path):
    FolderKeeper(tmp_path / "members").save(4, MEMORY)
    back = FolderKeeper(tmp_path / "members").load(4)
    assert back.last == MEMORY.last
    for there, here in ((back.before, MEMORY.before), (back.after, MEMORY.after)):
        assert there.keys() == here.keys()
        assert all((there[name] == here[name]).all() for name in there)


def test_a_seat_without_a_state_has_no_file(tmp_path):
    keeper = FolderKeeper(tmp_path)
    keeper.save(4, Memory(When(RUN, "population", 0), {}, {}))
    assert list(tmp_path.iterdir()) == []
    assert keeper.load(4) is None


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"stage": "group", "round": "1"},
        {"run": RUN, "stage": "group", "round": "x"},
    ],
)
def test_a_file_of_somebody_else_is_refused(tmp_path, metadata):
    (tmp_path / "000004.safetensors").write_bytes(pack({}, metadata))
    with pytest.raises(FormatError, match="to which round"):
        FolderKeeper(tmp_path).load(4)


def test_a_state_that_is_not_finite_leaves_the_file_as_it_was(tmp_path):
    keeper = FolderKeeper(tmp_path)
    keeper.save(4, MEMORY)
    bad = Memory(
        When(RUN, "group", 8), {}, {"embedding": np.full(3, np.nan, np.float32)}
    )
    with pytest.raises(ValueError, match="finite"):
        keeper.save(4, bad)
    assert keeper.load(4).last == MEMORY.last
