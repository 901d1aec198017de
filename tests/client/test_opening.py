"""A release in fewer bits, on another device, in less memory."""

import json
import shutil

import pytest
import torch

from proper_client import opening
from proper_client.assistant import recipe_of
from proper_client.machine import Machine
from proper_client.opening import Aim, ground_of, open_release
from proper_client.personal import Personaliser
from proper_client.placement import Wanted
from proper_shared.errors import ModelError
from proper_shared.history import Entry
from proper_shared.method.job import Limits
from proper_shared.release import STARTER, read_manifest

IDS = torch.arange(3, 43).reshape(2, 20)
ENTRIES = tuple(Entry(str(n), f"the ship number {n}", "drama") for n in range(12))


@torch.no_grad()
def logits(opened):
    opened.adapted.users.use()
    return opened.adapted.model(IDS).logits.float()


def test_an_aim_changes_nothing_where_there_is_memory():
    plain, aimed = open_release(STARTER), open_release(STARTER, aim=Aim())
    assert torch.equal(logits(plain), logits(aimed))
    assert aimed.placement.precision == "float32"
    assert ground_of(plain).limits == ground_of(aimed).limits == Limits()


def test_the_work_is_measured_on_the_entries(monkeypatch):
    said = []
    wanted = Wanted(tell=said.append)
    entries = (*ENTRIES, Entry("x", "the ship " * 12, "drama"))
    monkeypatch.setattr(opening, "this_machine", lambda: Machine(8 * 10**9))
    work = open_release(STARTER, aim=Aim(wanted, entries, trains=True)).placement.work
    assert (work.batch, work.answer) == (8, 1)
    assert 24 < work.tokens < 40
    assert said == ["needs about 0.5 GB, you have 8.0 (cpu, float32)"]


def test_short_memory_makes_the_training_smaller_and_no_other(monkeypatch):
    aim = Aim(Wanted("cpu", "float32"), ENTRIES, trains=True)
    roomy = open_release(STARTER, aim=aim)
    monkeypatch.setattr(opening, "this_machine", lambda: Machine(has(roomy)))
    tight = open_release(STARTER, aim=aim)
    assert ground_of(tight).limits.rows < 8
    assert roomy.placement.rows is None
    assert roomy.header.personal == tight.header.personal
    recipe = recipe_of(tight.header)
    made = Personaliser(ground_of(tight), recipe)
    assert made.ground.limits.rows == tight.placement.rows


def has(roomy):
    """Memory in which the batch does not fit at once."""
    return round(roomy.placement.needs.total * 1.08) - 2**20


def test_too_little_memory_is_known_before_the_weights_are_read(monkeypatch):
    monkeypatch.setattr(opening, "this_machine", lambda: Machine(10**8))
    monkeypatch.setattr(opening, "load_backbone", lambda *_: pytest.fail("was read"))
    with pytest.raises(ModelError, match="at the least") as caught:
        open_release(STARTER, aim=Aim())
    assert "smaller backbone" in caught.value.hint


@pytest.mark.parametrize(("precision", "bound"), [("bfloat16", 0.01), ("4bit", 0.35)])
def test_fewer_bits_move_the_logits_by_a_part_of_their_size(precision, bound):
    if precision == "4bit":
        pytest.importorskip("bitsandbytes", reason="4 bits need bitsandbytes")
    found = open_release(STARTER, aim=Aim(Wanted("cpu", precision)))
    exact = logits(open_release(STARTER))
    assert 0 < (logits(found) - exact).norm() < bound * exact.norm()


def test_a_release_says_how_its_population_meets_4_bits(tmp_path):
    pytest.importorskip("bitsandbytes", reason="4 bits need bitsandbytes")
    aim = Aim(Wanted("cpu", "4bit"))
    branch = open_release(STARTER, aim=aim)
    folder = shutil.copytree(STARTER, tmp_path / "release")
    manifest = json.loads((folder / "release.json").read_text())
    assert "four_bits" not in manifest  # so that older programs read it
    manifest["four_bits"] = "merged"
    (folder / "release.json").write_text(json.dumps(manifest))
    merged = open_release(folder, aim=aim)
    kept = [one.adapted.tensors("population") for one in (branch, merged)]
    assert kept[0]
    assert not kept[1]
    assert not torch.equal(logits(branch), logits(merged))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "4bit"])
def test_a_gpu_answers_as_the_cpu_does(precision):
    found = open_release(STARTER, aim=Aim(Wanted("cuda", precision)))
    found.adapted.users.use()
    with torch.no_grad():
        there = found.adapted.model(IDS.cuda()).logits.float().cpu()
    apart = (there - logits(open_release(STARTER))).abs()
    assert apart.mean() < 1


def test_the_largest_batch_of_a_recipe_counts_as_far_as_it_is_known():
    manifest = read_manifest(STARTER)
    odd = manifest.model_copy(update={"personal": {"user": {"batch": "many"}}})
    assert opening._batch(odd) == 1
    assert opening._batch(manifest) == 8
