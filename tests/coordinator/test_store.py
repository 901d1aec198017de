import numpy as np
import pytest

from proper_coordinator import store as module
from proper_coordinator.store import INDEX, Checkpoint, Round, Store
from proper_shared.errors import ConfigError, FormatError


def checkpoint(rounds, value=1.5):
    one = Round(loss=0.1, count=3, dropped=(), seconds=0.2, bytes_down=10, bytes_up=20)
    state = {"values/l.a": np.full((2, 3), value, np.float32)}
    return Checkpoint(state, (one,) * rounds)


def test_a_round_comes_back_as_it_was_saved(tmp_path):
    Store(tmp_path, "run").save("group", checkpoint(2))
    back = Store(tmp_path, "run").load("group")
    assert back.rounds == checkpoint(2).rounds
    assert (back.state["values/l.a"] == np.float32(1.5)).all()
    assert Store(tmp_path, "run").load("population") is None


def test_only_the_last_round_stays_on_the_disk(tmp_path):
    store = Store(tmp_path, "run")
    for rounds in (1, 2, 3):
        store.save("group", checkpoint(rounds))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "group-3.safetensors",
        INDEX,
    ]


def test_another_run_is_refused_and_its_folder_left_alone(tmp_path):
    Store(tmp_path, "mine").save("group", checkpoint(1))
    with pytest.raises(ConfigError, match="other settings") as caught:
        Store(tmp_path, "yours")
    assert "folder" in caught.value.hint
    assert Store(tmp_path, "mine").load("group") is not None


def test_settings_that_were_changed_are_named_where_they_were_kept(tmp_path):
    Store(tmp_path, "mine")  # as before settings were kept
    with pytest.raises(ConfigError, match="other settings or other data"):
        Store(tmp_path, "yours", {"group_rounds": "5"})
    module.expect_settings(tmp_path, {"group_rounds": "5"})
    Store(tmp_path, "mine", {"group_rounds": "4"})
    with pytest.raises(ConfigError, match="group_rounds is 5, was 4") as caught:
        Store(tmp_path, "yours", {"group_rounds": "5"})
    assert "move" in caught.value.hint
    assert "remove" not in caught.value.hint
    with pytest.raises(ConfigError, match="group_rounds is 5, was 4"):
        module.expect_settings(tmp_path, {"group_rounds": "5"})
    module.expect_settings(tmp_path, {"group_rounds": "4"})


@pytest.mark.parametrize("step", [0, 1])
def test_a_crash_while_saving_leaves_the_round_before(tmp_path, monkeypatch, step):
    written = []

    def crash(path, data):
        if len(written) == step:
            raise OSError(28, "no space left")
        written.append(path)
        path.write_bytes(data)

    store = Store(tmp_path, "run")
    store.save("group", checkpoint(1, 1.0))
    monkeypatch.setattr(module, "write_file", crash)
    with pytest.raises(OSError, match="no space"):
        store.save("group", checkpoint(2, 2.0))
    monkeypatch.undo()
    back = Store(tmp_path, "run").load("group")
    assert len(back.rounds) == 1
    assert (back.state["values/l.a"] == 1).all()


def test_arrays_that_were_changed_are_refused(tmp_path):
    Store(tmp_path, "run").save("group", checkpoint(1))
    path = tmp_path / "group-1.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(FormatError, match="not the file that was written"):
        Store(tmp_path, "run").load("group")
    path.unlink()
    with pytest.raises(FormatError, match="is missing"):
        Store(tmp_path, "run").load("group")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1, "identity": 3}'])
def test_a_malformed_index_is_refused(tmp_path, text):
    (tmp_path / INDEX).write_text(text)
    with pytest.raises(FormatError, match="malformed"):
        Store(tmp_path, "run")
