"""Every way in which a release can be wrong is refused, and named."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proper_shared.errors import ConfigError, FormatError, ProperError
from proper_shared.method.config import Method
from proper_shared.release import (
    PARTS,
    BackboneId,
    Header,
    Release,
    read_manifest,
    read_release,
    split_by_part,
    write_release,
)

OURS, OTHER = "0a" * 32, "f1" * 32


def arrays_of(seed):
    rng = np.random.default_rng(seed)
    return {
        "layers.0.up_proj.group.a": rng.normal(size=(5, 4, 8)).astype(np.float32),
        "layers.0.up_proj.group.b": rng.normal(size=(5, 8, 4)).astype(np.float32),
    }


RELEASE = Release(
    header=Header(
        task="tagging",
        method=Method(experts=5),
        personal={"absorb": 0.5, "user": {"steps": 3}},
        backbone=BackboneId(name="nano", fingerprint=OURS),
        seed=3,
    ),
    population=arrays_of(0),
    experts=arrays_of(1),
    routers=arrays_of(2),
    embedding={"users.embedding": np.ones(16, np.float32)},
)
EXPECTED = {
    part: {name: array.shape for name, array in getattr(RELEASE, part).items()}
    for part in PARTS
}


SHAPES = EXPECTED["experts"]


@pytest.fixture
def folder(tmp_path):
    write_release(tmp_path / "release", RELEASE, fill_merged)
    return tmp_path / "release"


def fill_merged(folder):
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")


def content(folder):
    return {
        path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def read(folder):
    return read_release(folder, OURS, EXPECTED)


def refused(folder, match):
    with pytest.raises(FormatError, match=match) as caught:
        read(folder)
    assert caught.value.hint
    return caught.value


def edit(folder, change):
    """Change the manifest by a function of the parsed JSON."""
    path = folder / "release.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def put(folder, name, data):
    """Replace a file and describe it in the manifest, as a forger would."""
    (folder / name).write_bytes(data)
    record = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    edit(folder, lambda manifest: manifest["files"].update({name: record}))


def test_what_is_written_is_read(folder):
    release = read(folder)
    assert release.header == RELEASE.header
    assert release.header.privacy == "no differential privacy"
    for part in PARTS:
        held, written = getattr(release, part), getattr(RELEASE, part)
        assert held.keys() == written.keys()
        for name, array in held.items():
            np.testing.assert_array_equal(array, written[name])
            assert array.flags.writeable


def test_the_same_release_is_the_same_bytes(folder, tmp_path):
    write_release(tmp_path / "again", RELEASE, fill_merged)
    assert content(tmp_path / "again") == content(folder)


def test_a_release_needs_no_merged_model(tmp_path):
    write_release(tmp_path / "release", RELEASE)
    assert read(tmp_path / "release").header == RELEASE.header


def test_a_release_replaces_the_one_before_and_leaves_nothing_beside_it(folder):
    newer = replace(RELEASE, header=RELEASE.header.model_copy(update={"seed": 4}))
    write_release(folder, newer)
    assert read(folder).header.seed == 4
    assert [path.name for path in folder.parent.iterdir()] == ["release"]


def test_a_folder_that_is_no_release_is_never_replaced(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear diary")
    with pytest.raises(ConfigError, match="is no release") as caught:
        write_release(tmp_path / "mine", RELEASE)
    assert caught.value.hint
    assert content(tmp_path) == {"diary.txt": b"dear diary"}


def test_an_empty_folder_may_become_a_release(tmp_path):
    write_release(tmp_path, RELEASE)
    assert read(tmp_path).header == RELEASE.header


@pytest.mark.parametrize("step", ["fsync", "open", "close"])
@pytest.mark.parametrize("at", range(1, 10))
def test_a_fault_at_any_step_leaves_the_old_release_or_the_new(
    folder, monkeypatch, step, at
):
    real, calls = getattr(os, step), []

    def struck(*args, **kwargs):
        calls.append(args)
        if len(calls) == at:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    newer = replace(RELEASE, header=RELEASE.header.model_copy(update={"seed": 4}))
    with monkeypatch.context() as patch:
        patch.setattr(os, step, struck)
        try:
            write_release(folder, newer)
        except KeyboardInterrupt:
            assert len(calls) >= at
    assert read(folder).header.seed in {3, 4}
    write_release(folder, newer)  # what an interrupted removal left goes now
    assert [path.name for path in folder.parent.iterdir()] == ["release"]


def test_a_failed_swap_puts_the_old_release_back(folder, monkeypatch):
    before, real = content(folder), Path.rename

    def rename(path, target):
        if path.name.endswith(".tmp") and ".old." not in path.name:
            raise PermissionError(13, "not today")
        return real(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(PermissionError):
        write_release(folder, RELEASE)
    assert content(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["release"]


def test_a_merged_model_with_folders_of_its_own_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="cannot hold a file 'merged/deep/x'"):
        write_release(tmp_path / "release", RELEASE, fill_deep)
    assert list(tmp_path.iterdir()) == []


def fill_deep(folder):
    (folder / "deep").mkdir()
    (folder / "deep" / "x").write_text("")


def test_a_merged_model_with_code_is_not_written(tmp_path):
    def fill(folder):
        (folder / "modeling.py").write_text("")

    with pytest.raises(ValueError, match="cannot hold a file 'merged/modeling"):
        write_release(tmp_path / "release", RELEASE, fill)


def test_no_release_at_all(tmp_path):
    with pytest.raises(ConfigError, match="no release in") as caught:
        read(tmp_path)
    assert "proper-sim run" in caught.value.hint


@pytest.mark.parametrize("name", [*(f"{part}.safetensors" for part in PARTS)])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    refused(folder, f"{name} is missing")


def test_a_missing_merged_file_is_named(folder):
    (folder / "merged" / "config.json").unlink()
    refused(folder, r"merged/config\.json is missing")


@pytest.mark.parametrize("name", ["experts.safetensors", "merged/model.safetensors"])
def test_another_length_is_refused(folder, name):
    with (folder / name).open("ab") as file:
        file.write(b"x")
    refused(folder, rf"{name} has \d+ bytes, expected \d+")


@pytest.mark.parametrize("name", ["routers.safetensors", "merged/model.safetensors"])
def test_another_content_of_the_same_length_is_refused(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[-1] ^= 1
    (folder / name).write_bytes(data)
    refused(folder, f"{name} has SHA-256")


@pytest.mark.parametrize("nbytes", [2 << 20, 200 << 30])
def test_a_file_longer_than_its_tensors_take_is_not_even_read(folder, nbytes):
    os.truncate(folder / "experts.safetensors", nbytes)  # sparse: it takes no room
    record = {"bytes": nbytes, "sha256": "0" * 64}
    edit(folder, lambda manifest: manifest["files"].update({NAMES[1]: record}))
    refused(folder, rf"experts\.safetensors has {nbytes} bytes, expected at most")


def test_a_release_of_another_backbone_is_refused_with_its_name(folder):
    with pytest.raises(FormatError, match=r"made for backbone nano \(0a0a") as caught:
        read_release(folder, OTHER, EXPECTED)
    assert "a release for yours" in caught.value.hint


def test_another_backbone_is_named_before_shapes_that_differ_too(folder):
    expected = {part: {"x": (1,)} for part in PARTS}
    with pytest.raises(FormatError, match="made for backbone"):
        read_release(folder, OTHER, expected)


def test_the_order_of_the_looks_is_the_documented_one(folder):
    """Make everything wrong at once, then mend the first complaint each time."""
    good = content(folder)
    (folder / "experts.safetensors").unlink()
    (folder / "routers.safetensors").write_bytes(b"short")
    flipped = bytearray(good["population.safetensors"])
    flipped[100] ^= 1
    (folder / "population.safetensors").write_bytes(flipped)
    put(folder, "embedding.safetensors", b"\xff" * 8)
    edit(folder, lambda manifest: manifest["backbone"].update(fingerprint=OTHER))
    refused(folder, "made for backbone")
    edit(folder, lambda manifest: manifest["backbone"].update(fingerprint=OURS))
    refused(folder, "experts.safetensors is missing")
    (folder / "experts.safetensors").write_bytes(good["experts.safetensors"])
    refused(folder, "routers.safetensors has 5 bytes")
    (folder / "routers.safetensors").write_bytes(good["routers.safetensors"])
    refused(folder, "population.safetensors has SHA-256")
    (folder / "population.safetensors").write_bytes(good["population.safetensors"])
    refused(folder, "announces a header")


def method_of(targets):
    return {"user": {"rank": 4, "alpha": 8.0, "targets": targets}}


MANIFESTS = {
    "format 2": ({"format": 2}, "has format 2, expected 1"),
    "format true": ({"format": True}, "has format True, expected 1"),
    "privacy": ({"privacy": "epsilon 0"}, "privacy"),
    "seed": ({"seed": "3"}, "seed"),
    "surplus": ({"run": "rm -rf"}, "run"),
    "method": ({"method": {"experts": 0}}, "experts"),
    "no targets": ({"method": method_of([])}, r"method\.user\.targets"),
    "no meeting": ({"method": method_of(["q_proj"])}, "no target in common"),
    "odd target": ({"method": method_of(["lm_head"])}, r"method\.user\.targets"),
    "personal": ({"personal": [1]}, "personal"),
    "fingerprint": ({"backbone": {"name": "nano", "fingerprint": "x"}}, "fingerprint"),
}


@pytest.mark.parametrize(("change", "match"), MANIFESTS.values(), ids=MANIFESTS)
def test_a_malformed_manifest_is_refused(folder, change, match):
    edit(folder, lambda manifest: manifest.update(change))
    refused(folder, match)


@pytest.mark.parametrize(
    "name",
    [
        *("../x", "/etc/passwd", "merged/../x", "merged/a/b", "x.py", "merged/.x"),
        *("merged/modeling.py", "merged/model.bin", "merged/json", "merged/x.json.so"),
    ],
)
def test_a_manifest_cannot_name_files_elsewhere(folder, name):
    record = {"bytes": 0, "sha256": "0" * 64}
    edit(folder, lambda manifest: manifest["files"].update({name: record}))
    refused(folder, "that no release has")


def test_a_manifest_has_to_list_every_part(folder):
    edit(folder, lambda manifest: manifest["files"].pop("experts.safetensors"))
    refused(folder, "does not list experts.safetensors")


def test_a_manifest_of_any_length_is_not_even_read(folder):
    (folder / "release.json").write_bytes(b" " * (1 << 20) + b"{}")
    refused(folder, r"release\.json has 1048578 bytes")


def test_a_release_that_could_not_be_read_again_is_not_written(tmp_path):
    poisoned = replace(RELEASE, embedding={"e": np.array([np.nan], np.float32)})
    with pytest.raises(ValueError, match="e is not an array of finite float32"):
        write_release(tmp_path / "release", poisoned)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sealed") / "release"
    write_release(folder, RELEASE)
    return folder


NAMES = [*(f"{part}.safetensors" for part in PARTS), "release.json"]


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(NAMES), place=st.floats(0, 1, exclude_max=True), data=st.data()
)
def test_a_flipped_byte_is_refused_or_changes_no_tensor(sealed, name, place, data):
    path = sealed / name
    good = path.read_bytes()
    bad = bytearray(good)
    bad[int(place * len(bad))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(bad)
    try:
        release = read_release(sealed, OURS, EXPECTED)
    except ProperError:
        return
    finally:
        path.write_bytes(good)
    # The manifest has no hash of its own: a name or a seed in it may read otherwise.
    assert name == "release.json"
    for part in PARTS:
        for key, array in getattr(release, part).items():
            np.testing.assert_array_equal(array, getattr(RELEASE, part)[key])


def test_tensors_are_sorted_by_their_names():
    group = "model.layers.0.mlp.up_proj.group."
    named = {
        "model.layers.0.self_attn.q_proj.population.a": 1,
        **{group + tensor: 2 for tensor in ("a", "b")},
        **{group + tensor: 3 for tensor in ("w_x", "w_u", "w_l")},
        "users.embedding": 4,
    }
    parts = split_by_part(named)
    assert [set(parts[part].values()) for part in PARTS] == [{1}, {2}, {3}, {4}]


@pytest.mark.parametrize("name", ["a", "x.user.a", "x.group.c", "embedding", ""])
def test_a_tensor_of_somebody_alone_is_in_no_release(name):
    with pytest.raises(ValueError, match="belongs to no part"):
        split_by_part({name: 1})


def test_a_manifest_is_read_without_a_tensor(folder):
    for part in PARTS:
        (folder / f"{part}.safetensors").unlink()
    assert read_manifest(folder).task == "tagging"
