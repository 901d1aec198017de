"""Hostile releases, signed by keys that count: each is refused by its own check."""

import pytest
from hostile import KINDS, Agreed, offer
from published import Publisher, cached, fetch

from proper_client.releases import checks, ground
from proper_client.releases.refusal import Refused
from proper_client.releases.shelf import Shelf


@pytest.fixture(scope="module")
def publisher(tmp_path_factory):
    return Publisher(tmp_path_factory.mktemp("hostile") / "published")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(ground, "Ground", cached)


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
    offer(publisher, change)
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
    by_framework |= {"same-for-all"}  # see test_log
    named = {name for _, name in KINDS.values()} | by_framework
    assert {c.__name__.replace("_", "-") for c in checks.CHECKS} - named == set()


def test_an_honest_release_is_taken(publisher, tmp_path):
    offer(publisher, lambda _: None)
    pulled(publisher, tmp_path)
    shelf = Shelf(tmp_path)
    assert shelf.place(shelf.current()).is_dir()


@pytest.mark.parametrize(
    "name", ["names", "finite", "norms", "base_model", "canary", "same_files"]
)
def test_without_its_check_a_kind_gets_further(name, publisher, tmp_path, monkeypatch):
    kinds = {n.replace("-", "_"): change for change, n in KINDS.values()}
    offer(publisher, kinds[name])
    kept = tuple(c for c in checks.CHECKS if c.__name__ != name)
    monkeypatch.setattr(checks, "CHECKS", kept)
    refused = ""
    try:
        pulled(publisher, tmp_path)
    except (Refused, KeyError) as error:  # KeyError: later checks lean on this one
        refused = getattr(error, "name", "")
    assert refused != name.replace("_", "-")
