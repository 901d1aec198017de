"""A blank release adds nothing to its backbone, and its digest tells it from others."""

import numpy as np
import pytest

from proper_shared.blank import Blank, blank_release, digest_of_blank
from proper_shared.errors import ConfigError
from proper_shared.grouping import READING, Features, Sizes, place_of
from proper_shared.release import PARTS, BackboneId, read_release, write_release

NANO = BackboneId(name="nano", fingerprint="ab" * 32)
SIZES = Sizes(6, 4, 5)
FROZEN = "f20a0b737a6e"
EXPECTED = {
    "population": {"layer.population.a": (8, 6), "layer.population.b": (6, 8)},
    "experts": {"layer.group.a": (20, 6), "layer.group.b": (6, 20)},
    "routers": {"layer.group.w_x": (5, 6)},
    "embedding": {"users.embedding": (16,), **SIZES.reading()},
}


def test_all_that_it_holds_is_nothing_and_fits():
    made = blank_release(Blank("writing").header(NANO), EXPECTED)
    for part in PARTS:
        arrays = getattr(made, part)
        assert {name: array.shape for name, array in arrays.items()} == EXPECTED[part]
        assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
        assert not any(array.any() for array in arrays.values())


def test_it_is_a_release_like_any_other_once_it_is_written(tmp_path):
    made = blank_release(Blank("writing", 7).header(NANO), EXPECTED)
    write_release(tmp_path / "release", made)
    read = read_release(tmp_path / "release", NANO.fingerprint, EXPECTED)
    assert read.header == made.header
    assert read.header.protection == "no differential privacy"


def test_everybody_lies_in_one_place_whatever_they_wrote():
    reading = blank_release(Blank("writing").header(NANO), EXPECTED).embedding
    rng = np.random.default_rng(0)
    for tokens in (1, 50):
        own = Features(rng.normal(size=(tokens, 6)), rng.normal(size=(tokens, 4)))
        place = place_of({name: reading[name] for name in READING}, own)
        np.testing.assert_array_equal(place, np.full(5, 0.2, np.float32))


def test_the_same_is_the_same_wherever_its_backbone_lies():
    moved = NANO.model_copy(update={"name": "elsewhere"})
    digest = digest_of_blank(Blank("writing", 1).header(NANO))
    assert digest == digest_of_blank(Blank("writing", 1).header(moved))
    # Frozen: a model that was trained on it must open with each later version.
    assert digest.startswith(FROZEN)


@pytest.mark.parametrize(
    ("blank", "change"),
    [
        (Blank("LaMP_5", 1), {}),
        (Blank("writing", 2), {}),
        (Blank("writing", 1), {"fingerprint": "cd" * 32}),
    ],
)
def test_another_one_has_another_digest(blank, change):
    other = blank.header(NANO.model_copy(update=change))
    assert digest_of_blank(other) != digest_of_blank(Blank("writing", 1).header(NANO))


def test_there_is_none_for_a_task_that_nobody_knows():
    with pytest.raises(ConfigError, match="got task 'wirting'") as caught:
        Blank("wirting").header(NANO)
    assert "writing" in caught.value.hint
