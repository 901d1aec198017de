"""Hostile releases, signed by keys that count: each is refused by its own check."""

import json

import hostile as h
import numpy as np
import pytest
from hostile import EMBEDDING, EXPERTS, POPULATION, ROUTERS, Draft
from published import Publisher, cached, fetch, record

from proper_client.releases import checks, ground
from proper_client.releases.refusal import Refused
from proper_client.releases.shelf import Shelf
from proper_shared.method.config import Method
from proper_shared.release import HEADER

GIB = 1 << 30
EMPTY = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
TWICE = b'{"a": %b, "a": %b}' % ((json.dumps(EMPTY).encode(),) * 2)

KINDS = {  # what is wrong -> how it is made, and the check that refuses it
    "code beside the tensors": (h.lists("modeling.py"), "files"),
    "a file above the folder": (h.lists("../../.bashrc"), "files"),
    "a file at the root": (h.lists("/etc/cron.d/x"), "files"),
    "a hidden file": (h.lists("merged/.netrc"), "files"),
    "a pickle": (h.lists("merged/pytorch_model.bin"), "files"),
    "a folder in merged": (h.lists("merged/a/b.json"), "files"),
    "a name with an escape": (h.lists("merged/\x1b[2J.json"), "files"),
    "a library": (h.lists("merged/x.json.so"), "files"),
    "no experts": (h.lacks(EXPERTS), "files"),
    "no population": (h.lacks(POPULATION), "files"),
    "a part of 200 GiB": (h.lists(EXPERTS, 200 * GIB), "sizes"),
    "a manifest of 2 MiB": (h.lists(HEADER, 2 << 20), "sizes"),
    "merged of 2 TiB": (h.lists("merged/model.safetensors", 2048 * GIB), "sizes"),
    "a file that is not served": (h.lists("merged/config.json"), "missing"),
    "an empty part": (h.is_bytes(b""), "header-length"),
    "seven bytes": (h.is_bytes(b"\1" * 7), "header-length"),
    "a header of 93 MB": (h.is_bytes(b"\x80\x8d\x8b\5" + b"\0" * 4), "header-length"),
    "a header of 16 EiB": (h.is_bytes(b"\xff" * 8), "header-length"),
    "a header that is cut": (h.is_bytes(b"\x64" + b"\0" * 7 + b"{}"), "header-length"),
    "no JSON": (h.is_framed(b"{'a': 1}"), "strict-json"),
    "no UTF-8": (h.is_framed(b'{"\xff": 1}'), "strict-json"),
    "a name twice": (h.is_framed(TWICE), "strict-json"),
    "NaN in a header": (h.is_framed(b'{"a": NaN}'), "strict-json"),
    "a list as a header": (h.is_framed(b"[]"), "strict-json"),
    "100,000 brackets": (h.is_framed(b"[" * 100_000), "strict-json"),
    "a number of 10,000 digits": (
        h.is_framed(b'{"a":%b}' % (b"9" * 10_000)),
        "strict-json",
    ),
    "a manifest that is none": (h.is_text(b"\x80\4\x95pickle"), "strict-json"),
    "a manifest with a key twice": (h.is_text(b'{"a": 1, "a": 2}'), "strict-json"),
    "another format": (h.says(format=2), "manifest"),
    "a field more": (h.says(run="rm -rf /"), "manifest"),
    "a seed that is a text": (h.says(seed="0"), "manifest"),
    "no experts in the method": (h.method(experts=0), "manifest"),
    "a million experts": (h.method(experts=10**6), "manifest"),
    "privacy by a word": (h.says(privacy="perfect"), "manifest"),
    "a fingerprint that is none": (h.backbone(fingerprint="x"), "manifest"),
    "a backbone without name": (h.backbone(name=""), "manifest"),
    "another hash in the manifest": (
        h.forged(POPULATION, sha256="cd" * 32),
        "same-files",
    ),
    "another length in the manifest": (h.forged(ROUTERS, bytes=1), "same-files"),
    "a file that nobody signed": (h.forged("merged/config.json"), "same-files"),
    "a file that the manifest hides": (h.unlisted, "same-files"),
    "an unknown task": (h.says(task="keylogging"), "purpose"),
    "another task than was agreed": (h.says(task="rating"), "purpose"),
    "other shapes than were agreed": (h.method(embedding_size=32), "purpose"),
    "days of work": (h.steps(10**9), "recipe"),
    "no recipe": (h.says(personal={}), "recipe"),
    "a recipe with a hook": (h.says(personal={"callback": "os.system"}), "recipe"),
    "a name with a line break": (h.renames("a\nb"), "names"),
    "a name of another script": (h.renames("аdmin"), "names"),  # noqa: RUF001
    "a name of 300 letters": (h.renames("a" * 300), "names"),
    "no name": (h.renames(""), "names"),
    "a shape below zero": (h.entry(shape=[-1, 4]), "names"),
    "a shape of truth": (h.entry(shape=[True, 4]), "names"),
    "a position of three": (h.entry(data_offsets=[0, 1, 2]), "names"),
    "a dtype that is a number": (h.entry(dtype=7), "names"),
    "an entry with more": (h.entry(loader="pickle"), "names"),
    "a tensor too few": (h.drops(EXPERTS), "expected"),
    "a tensor too many": (h.adds("model.lm_head.weight"), "expected"),
    "a user's own tensor": (h.adds("model.layers.0.mlp.up_proj.user.a"), "expected"),
    "tensors of one part in another": (
        h.is_bytes(h.starter()[EXPERTS], ROUTERS),
        "expected",
    ),
    "a turned tensor": (h.makes(EXPERTS, ".a", np.transpose), "shapes"),
    "a cut tensor": (h.makes(EMBEDDING, "embedding", lambda a: a[:-1]), "shapes"),
    "an axis more": (h.makes(ROUTERS, ".w_l", lambda a: a[None]), "shapes"),
    "a huge shape": (h.entry(shape=[1 << 40, 1 << 40]), "shapes"),
    "half precision": (h.makes(EXPERTS, ".b", np.float16), "dtypes"),
    "whole numbers": (h.makes(EXPERTS, ".b", np.int32), "dtypes"),
    "an unheard-of dtype": (h.entry(dtype="F32\0"), "dtypes"),
    "a hole": (h.shifted, "sum-of-bytes"),
    "tensors that overlap": (h.overlapping, "sum-of-bytes"),
    "a program behind the last": (h.trailing, "sum-of-bytes"),
    "a position beyond the end": (h.entry(data_offsets=[0, 1 << 60]), "sum-of-bytes"),
    "a position that runs back": (h.entry(data_offsets=[64, 0]), "sum-of-bytes"),
    "NaN": (h.holds(np.nan), "finite"),
    "infinity": (h.holds(np.inf), "finite"),
    "infinity below": (h.holds(-np.inf), "finite"),
    "a population of a thousand": (h.makes(POPULATION, ".b", h.grown(1e3)), "norms"),
    "a large product": (h.spoken_for, "norms"),
    "experts of a thousand": (h.makes(EXPERTS, ".b", h.grown(1e3)), "norms"),
    "routers of a million": (h.makes(ROUTERS, ".w_u", h.grown(1e6)), "norms"),
    "a lone huge factor": (h.makes(POPULATION, ".a", h.grown(1e30)), "norms"),
    "an embedding far away": (h.makes(EMBEDDING, "embedding", h.grown(1e6)), "norms"),
    "a reading without end": (h.makes(EMBEDDING, "white_d", h.grown(1e9)), "norms"),
    "another backbone": (h.backbone(fingerprint="f1" * 32), "base-model"),
    "a population turned round": (h.makes(POPULATION, ".b", h.backwards), "canary"),
    "experts of noise": (h.makes(EXPERTS, ".b", h.noise), "canary"),
}


class Agreed:
    """What a device's invitation says of the release."""

    backbone, releases = "nano", None

    def __init__(self):
        made = Draft().manifest
        self.task, self.method = made["task"], Method.model_validate(made["method"])


@pytest.fixture(scope="module")
def publisher(tmp_path_factory):
    return Publisher(tmp_path_factory.mktemp("hostile") / "published")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(ground, "Ground", cached)


def offered(publisher, change):
    draft = Draft()
    change(draft)
    files = draft.sealed()
    records = {name: record(data) for name, data in files.items()} | draft.listed
    publisher.publish(files, records)


def pulled(publisher, home):
    fetch(
        publisher.place,
        home,
        fingerprint=publisher.fingerprint,
        invitation=Agreed(),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_hostile_release_is_refused_by_its_own_check(kind, publisher, tmp_path):
    change, name = KINDS[kind]
    offered(publisher, change)
    with pytest.raises(Refused) as caught:
        pulled(publisher, tmp_path)
    assert caught.value.name == name
    assert caught.value.hint
    assert Shelf(tmp_path).current() is None
    left = [p for p in (tmp_path / "releases").rglob("*") if p.suffix == ".safetensors"]
    assert left == []


def test_the_table_has_sixty_kinds_and_more():
    assert len(KINDS) >= 60


def test_each_check_of_a_release_refuses_something():
    by_framework = {"signature", "roles", "length", "sha256"}  # see test_attacks
    named = {name for _, name in KINDS.values()} | by_framework
    assert {c.__name__.replace("_", "-") for c in checks.CHECKS} - named == set()


def test_an_honest_release_is_taken(publisher, tmp_path):
    offered(publisher, lambda _: None)
    pulled(publisher, tmp_path)
    shelf = Shelf(tmp_path)
    assert shelf.place(shelf.current()).is_dir()


@pytest.mark.parametrize(
    "name", ["names", "finite", "norms", "base_model", "canary", "same_files"]
)
def test_without_its_check_a_kind_gets_further(name, publisher, tmp_path, monkeypatch):
    kinds = {n.replace("-", "_"): change for change, n in KINDS.values()}
    offered(publisher, kinds[name])
    kept = tuple(c for c in checks.CHECKS if c.__name__ != name)
    monkeypatch.setattr(checks, "CHECKS", kept)
    refused = ""
    try:
        pulled(publisher, tmp_path)
    except (Refused, KeyError) as error:  # KeyError: later checks lean on this one
        refused = getattr(error, "name", "")
    assert refused != name.replace("_", "-")
