"""A batch in slices, or computed twice, against the whole batch at once."""

import pytest
import tiny
import torch

from proper_shared.encoding import collate
from proper_shared.errors import ModelError
from proper_shared.method.cohort import train_cohort
from proper_shared.method.job import Job, Limits, generator_for
from proper_shared.method.passes import Passes, blocks_of, cut
from proper_shared.method.stages import PARTS, STAGES

PEOPLE = [
    tiny.examples(5, seed=2, longest=20, targets=(50, 51)),
    tiny.examples(3, seed=3, longest=9, targets=(47,)),
]
WHOLE = Limits()
WAYS = {
    "rows": Limits(rows=2),
    "one": Limits(rows=1),
    "twice": Limits(checkpointing=True),
    "both": Limits(rows=3, checkpointing=True),
}


def prepared(stage, people=PEOPLE, kind="llama", **changes):
    made = tiny.stir(tiny.adapted(kind, *PARTS), *PARTS, size=0.2)
    made.users.use(*STAGES[stage].uses)
    job = Job(
        stage=stage,
        examples=people,
        generators=[generator_for(0, stage, seat) for seat in range(len(people))],
        recipe=tiny.recipe(steps=3, batch=5),
        padding=0,
    )
    return made, Job(**(vars(job) | changes))


def trained(stage, people=PEOPLE, kind="llama", **changes):
    made, job = prepared(stage, people, kind, **changes)
    loss = train_cohort(made, job).loss
    left = [generator.get_state() for generator in job.generators]
    return loss, {n: t.detach() for n, t in made.stage_tensors(stage).items()}, left


def assert_same(found, expected):
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=1e-5)
    for name, tensor in expected[1].items():
        torch.testing.assert_close(found[1][name], tensor, rtol=0, atol=1e-5)
    assert all(map(torch.equal, found[2], expected[2]))


@pytest.mark.parametrize("stage", ["population", "embedding", "user", "lora_router"])
@pytest.mark.parametrize("way", WAYS)
def test_less_at_once_learns_the_same_with_the_same_dropout(stage, way):
    assert_same(trained(stage, limits=WAYS[way]), trained(stage))


@pytest.mark.parametrize("rows", [5, 6, 100])
def test_a_slice_as_high_as_the_batch_changes_no_bit(rows):
    whole, found = trained("user"), trained("user", limits=Limits(rows=rows))
    assert torch.equal(found[0], whole[0])
    assert all(torch.equal(found[1][name], t) for name, t in whole[1].items())


@pytest.mark.parametrize("kind", set(tiny.CONFIGS) - {"llama"})
def test_every_kind_of_backbone_can_be_computed_twice(kind):
    way = Limits(rows=2, checkpointing=True)
    expected = trained("user", kind=kind)
    assert_same(trained("user", kind=kind, limits=way), expected)


def test_another_mask_for_a_slice_would_be_found():
    """The property above is not for want of dropout."""
    losses = []
    for limits in (WHOLE, Limits(rows=2)):
        made, job = prepared("user", limits=limits)
        made.seat("user", 2)
        passes = Passes(made, job)
        passes._rewind = lambda _states: None
        losses.append(passes.run(collate(PEOPLE, 0)))
    assert not torch.allclose(*losses, atol=1e-4)


def test_a_block_is_as_before_once_the_training_is_over():
    made, job = prepared("user", limits=WAYS["both"])
    train_cohort(made, job)
    assert len(blocks_of(made.model)) == 2
    assert all("forward" not in vars(block) for block in blocks_of(made.model))


def test_what_is_kept_for_the_way_back_shrinks():
    def kept(limits):
        nbytes = 0

        def count(tensor):
            nonlocal nbytes
            nbytes += tensor.numel() * tensor.element_size()
            return tensor

        made, job = prepared("user", limits=limits)
        made.seat("user", 2)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            Passes(made, job).run(collate(PEOPLE, 0))
        return nbytes

    assert kept(Limits(checkpointing=True)) < kept(WHOLE)


class Tight:
    """A GPU that can hold some rows and no more."""

    def __init__(self, made, rows):
        self.logits, self.rows, self.asked = made.logits, rows, []
        made.logits = self

    def __call__(self, batch):
        self.asked.append(batch.ids.shape[0])
        if batch.ids.shape[0] > self.rows:
            self.logits(batch)  # dropout has been drawn by then
            raise torch.OutOfMemoryError
        return self.logits(batch)


def test_a_gpu_that_runs_out_of_memory_is_asked_for_half_and_learns_the_same():
    alone = PEOPLE[:1]
    made, job = prepared("user", alone)
    tight = Tight(made, 3)
    loss = train_cohort(made, job).loss
    left = [generator.get_state() for generator in job.generators]
    tensors = {n: t.detach() for n, t in made.stage_tensors("user").items()}
    assert_same((loss, tensors, left), trained("user", alone))
    assert tight.asked == [5] + 3 * [3, 2]


@pytest.mark.parametrize(("rows", "asked"), [(2, [5, 3]), (0, [5, 3])])
def test_a_gpu_that_runs_out_twice_is_an_error_with_a_hint(rows, asked):
    made, job = prepared("user", PEOPLE[:1])
    tight = Tight(made, rows)
    with pytest.raises(ModelError, match="small for 3 examples at once") as caught:
        train_cohort(made, job)
    assert tight.asked == asked
    assert "--precision" in caught.value.hint


def test_a_single_example_that_does_not_fit_is_an_error():
    made, job = prepared("user", PEOPLE[:1], limits=Limits(rows=1))
    Tight(made, 0)
    with pytest.raises(ModelError, match="too small for one example at once"):
        train_cohort(made, job)


def test_whole_batches_alone_keep_routers_apart():
    made, job = prepared("group", limits=Limits(rows=2))
    with pytest.raises(ValueError, match="computed in one pass"):
        train_cohort(made, job)


def test_a_cut_keeps_the_columns_of_all_targets():
    batch = collate(PEOPLE, 0)
    part = cut(batch, 2, 2, 2)
    assert part.ids.shape[0] == 4
    assert part.extents == batch.extents
    assert bool(part.mask[:, 0].any()) or part.ids.shape[1] == part.targets.shape[1] + 1
    own = batch.ids.reshape(2, 5, -1)[:, 2:4].flatten(0, 1)
    assert torch.equal(part.ids, own[:, -part.ids.shape[1] :])
    assert torch.equal(
        part.targets, batch.targets.reshape(2, 5, -1)[:, 2:4].flatten(0, 1)
    )
