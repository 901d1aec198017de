"""A release carries the record of its privacy, or says that it has none."""

import json
from dataclasses import replace

import numpy as np
import pytest

from proper_shared.errors import FormatError
from proper_shared.method.config import Method
from proper_shared.privacy.accounting import Spent
from proper_shared.privacy.budget import NONE, budget_of, without_privacy
from proper_shared.release import (
    PARTS,
    STARTER,
    BackboneId,
    Header,
    Release,
    read_manifest,
    read_release,
    write_release,
)

OURS = "0a" * 32
BUDGET = budget_of(
    [[Spent(100.0, 400.0, 30, 5_000)] * 7], {"population/update": 0.5}, 4.0, 1e-5
)
ARRAYS = {"l.population.a": np.ones((2, 3), np.float32)}
HEADER = Header(
    task="tagging",
    method=Method(),
    personal={},
    backbone=BackboneId(name="nano", fingerprint=OURS),
    seed=3,
)
RELEASE = Release(HEADER, ARRAYS, ARRAYS, ARRAYS, ARRAYS)
EXPECTED = {part: {"l.population.a": (2, 3)} for part in PARTS}
WORDS = """  "privacy": "no differential privacy",
"""


def written(folder, privacy):
    header = HEADER.model_copy(update={"privacy": privacy})
    write_release(folder, replace(RELEASE, header=header))
    return folder


def test_a_budget_comes_back_as_it_was_written(tmp_path):
    back = read_release(written(tmp_path / "noised", BUDGET), OURS, EXPECTED).header
    assert back.privacy == BUDGET
    assert back.protection == BUDGET.summary()
    assert back.protection.startswith("epsilon")


def test_a_release_without_privacy_is_spelt_as_it_always_was(tmp_path):
    folder = written(tmp_path / "plain", without_privacy().spelt)
    assert WORDS in (folder / "release.json").read_text()
    assert read_release(folder, OURS, EXPECTED).header == HEADER
    assert WORDS in (STARTER / "release.json").read_text()  # older than budgets are
    assert read_manifest(STARTER).protection == NONE


@pytest.mark.parametrize(
    "change",
    [{"statement": "no differential privacy"}, {"losses": None}, {"more": 1}],
)
def test_a_budget_that_contradicts_itself_is_no_release(tmp_path, change):
    path = written(tmp_path / "odd", BUDGET) / "release.json"
    said = json.loads(path.read_bytes())
    said["privacy"] = {**said["privacy"], **change}
    path.write_text(json.dumps(said))
    with pytest.raises(FormatError, match="privacy"):
        read_manifest(tmp_path / "odd")
