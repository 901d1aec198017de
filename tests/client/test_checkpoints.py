"""A training that is cut short at any step ends with the very same numbers."""

import pytest
import tiny
from toy_people import RECIPE, identical, personaliser, pupil

from proper_client.checkpoints import VaultKeeper
from proper_client.later import learn_later
from proper_client.personal import PHASES
from proper_client.vault import Vault
from proper_shared.errors import FormatError

LATER = RECIPE.later(2 / 12)  # two new entries of twelve
STEPS = {
    "anew": 3 * (3 + 2),
    "few": 3 * 3,
    "later": sum(getattr(LATER, phase).steps for phase in PHASES),
}


class Cut(Exception):
    """The process is gone."""


def ways(made):
    ann, few = tiny.user("ann", 10), tiny.user("ann", 3)
    one = pupil(made)
    return {
        "anew": lambda *args: made.fit([ann], *args)[0],
        "few": lambda *args: made.fit([few], *args)[0],
        "later": lambda *args: learn_later(made, [one], *args)[0],
    }


def cut_after(steps):
    seen = []

    def progress(*_call):
        seen.append(1)
        if len(seen) > steps:
            raise Cut

    return progress


@pytest.mark.parametrize("way", STEPS)
def test_a_training_cut_short_at_any_step_ends_as_if_it_had_not_been(way, tmp_path):
    whole = ways(personaliser())[way]()
    made = personaliser()
    go = ways(made)[way]
    for steps in range(1, STEPS[way]):
        vault = Vault(tmp_path / str(steps))
        with pytest.raises(Cut):
            go(cut_after(steps), VaultKeeper(vault, "tagging", "x", 0))
        keeper = VaultKeeper(vault, "tagging", "x", 0)
        assert keeper.found is not None
        told = []
        found = go(lambda *call: told.append(call), keeper)  # noqa: B023 - at once
        assert len(told) == STEPS[way] - steps
        assert identical(found, whole)
        assert (found.level, found.costs) == (whole.level, whole.costs)
        assert found.asked == whole.asked


def test_a_checkpoint_of_another_training_is_not_used(tmp_path):
    vault = Vault(tmp_path)
    go = ways(personaliser())["few"]
    go(None, VaultKeeper(vault, "tagging", "x", 0))
    assert VaultKeeper(vault, "tagging", "x").found is not None
    assert VaultKeeper(vault, "tagging", "y").found is None
    assert VaultKeeper(vault, "rating", "x").found is None


def test_a_checkpoint_that_does_not_fit_is_refused(tmp_path):
    vault = Vault(tmp_path)
    ways(personaliser())["anew"](None, VaultKeeper(vault, "tagging", "x", 0))
    more = RECIPE.lora_router.model_copy(update={"steps": 9})
    other = personaliser(RECIPE.model_copy(update={"lora_router": more}))
    keeper = VaultKeeper(vault, "tagging", "x", 0)
    keeper.found.training.pop("done")
    with pytest.raises(FormatError, match="of another training"):
        ways(other)["anew"](None, keeper)


@pytest.mark.parametrize("at", [0, 8, 400, -1])
def test_a_damaged_checkpoint_is_refused_with_a_way_out(tmp_path, at):
    vault = Vault(tmp_path)
    ways(personaliser())["few"](None, VaultKeeper(vault, "tagging", "x", 0))
    path = tmp_path / "training" / "tagging.checkpoint"
    data = path.read_bytes()
    path.write_bytes(data[:at] if at >= 0 else data[: len(data) // 2])
    with pytest.raises(FormatError) as caught:
        VaultKeeper(vault, "tagging", "x")
    assert str(caught.value) == "the checkpoint for tagging is damaged"
    assert "--anew" in caught.value.hint


def test_checkpoints_take_little_of_the_time(tmp_path):
    """Each write takes one second here; in ten minutes there are as many as pay."""
    now, writes = [0.0], []

    class Slow:
        def read_checkpoint(self, _task):
            return None

        def write_checkpoint(self, _task, data):
            now[0] += 1
            writes.append(data)

    found = VaultKeeper(Vault(tmp_path), "tagging", "x", 0)
    ways(personaliser())["few"](None, found)
    point = VaultKeeper(Vault(tmp_path), "tagging", "x").found
    keeper = VaultKeeper(Slow(), "tagging", "x", 5, lambda: now[0])
    while now[0] < 600:
        now[0] += 0.25
        keeper.offer(lambda: point)
    assert 600 / 22 < len(writes) < 600 / 20
