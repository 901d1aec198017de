"""A deployment that trained to its end gives a release, and no other does."""

from datetime import UTC, datetime

import numpy as np
import pytest
import torch

from proper_client.opening import open_release
from proper_coordinator.deployment import CHECKPOINTS, make_deployment
from proper_coordinator.lead import ground_of, identity_of
from proper_coordinator.ledger import Ledger
from proper_coordinator.releasing import write_release_of
from proper_coordinator.settings import Settings
from proper_coordinator.store import Checkpoint, Round, Store
from proper_shared import backbone
from proper_shared.backbone import load_backbone
from proper_shared.errors import ConfigError
from proper_shared.release import read_manifest

SETTINGS = Settings(
    population_rounds=1, grouping_rounds=2, group_rounds=1, router_rounds=1
)
DONE = Round(
    loss=1.0, count=3, dropped=(), seconds=0.0, bytes_down=0, bytes_up=0, failed=None
)


@pytest.fixture
def trained(tmp_path):
    """A deployment whose parts were moved a little and kept, as a leader does."""
    deployment = make_deployment(
        tmp_path / "fed", SETTINGS, (), datetime.now(UTC), None
    )
    ground = ground_of(deployment)
    store = Store(deployment.room(CHECKPOINTS), identity_of(deployment, ground.facts))
    for part in ground.blueprint.parts(SETTINGS):
        if part.stage == "population":
            for name in part.values:
                part.values[name] = part.values[name] + np.float32(0.01)
        store.save(part.stage, Checkpoint(part.state(), (DONE,) * part.schedule.rounds))
    return deployment


def test_the_release_of_a_deployment_opens_on_a_device(trained, tmp_path):
    write_release_of(trained, tmp_path / "release")
    opened = open_release(tmp_path / "release")
    assert opened.header.task == SETTINGS.task
    assert opened.header.privacy == "no differential privacy"
    assert "merged/config.json" not in read_manifest(tmp_path / "release").files


def test_merged_on_wish(trained, tmp_path):
    write_release_of(trained, tmp_path / "release", merged=True)
    files = read_manifest(tmp_path / "release").files
    assert {"merged/config.json", "merged/model.safetensors"} <= files.keys()
    open_release(tmp_path / "release")


def test_what_is_merged_is_what_a_device_answers_with(trained, tmp_path, monkeypatch):
    loaded = []

    def counted(name):
        loaded.append(name)
        return load_backbone(name)

    monkeypatch.setattr(backbone, "load_backbone", counted)
    write_release_of(trained, tmp_path / "release", merged=True)
    assert loaded == [SETTINGS.backbone]  # a large one takes minutes and gigabytes
    merged = load_backbone(str(tmp_path / "release" / "merged")).model.state_dict()
    plain = load_backbone(SETTINGS.backbone).model.state_dict()
    layers = open_release(tmp_path / "release").adapted.layers
    assert merged.keys() == plain.keys()
    for name, tensor in plain.items():
        layer = layers.get(name.removesuffix(".weight"))
        expected = tensor if layer is None else layer.base.weight
        assert torch.equal(merged[name], expected), name
    moved = {name for name, tensor in plain.items() if (merged[name] != tensor).any()}
    leaves = {name.split(".")[-2] for name in moved}
    assert leaves == set(SETTINGS.method.population.targets)


def test_who_has_not_trained_to_the_end_has_no_release(trained, tmp_path):
    ground = ground_of(trained)
    store = Store(trained.room(CHECKPOINTS), identity_of(trained, ground.facts))
    index = store._index
    store._update(parts={k: v for k, v in index.parts.items() if k != "lora_router"})
    with pytest.raises(ConfigError, match="lora_router has 0 of 1 rounds") as caught:
        write_release_of(trained, tmp_path / "release")
    assert caught.value.hint
    assert not (tmp_path / "release").exists()
    write_release_of(trained, tmp_path / "release", unfinished=True)
    open_release(tmp_path / "release")


def test_noise_that_was_spent_stands_in_the_release(trained, tmp_path):
    ground = ground_of(trained)
    store = Store(trained.room(CHECKPOINTS), identity_of(trained, ground.facts))
    store.keep_ledger(Ledger(multiplier=3.0, participations=1, spent=((),)))
    write_release_of(trained, tmp_path / "release")
    privacy = read_manifest(tmp_path / "release").privacy
    assert privacy.losses.multiplier == 3.0


def test_a_release_is_not_made_while_training_goes_on(trained, tmp_path):
    with trained.alone("run"), pytest.raises(ConfigError, match="another process"):
        write_release_of(trained, tmp_path / "release")
