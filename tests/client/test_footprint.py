from dataclasses import replace

import pytest
import tiny
import torch
from transformers import AutoConfig, LlamaConfig

from proper_client.footprint import (
    Shape,
    Share,
    Where,
    Work,
    footprint,
    shape_of,
    smaller,
    whole,
)
from proper_shared.backbone import NANO
from proper_shared.method.config import Method

SEVEN = Shape(4096, 11008, 4096, 4096, 32, 32000, tied=False, stored=16)
WORK = Work(tokens=316, answer=16, batch=1, asked=1)
CPU, GPU = Where("cpu", 32), Where("cuda", 4)


@pytest.mark.parametrize("kind", tiny.CONFIGS)
def test_the_weights_are_counted_as_they_are(kind):
    model = tiny.model(kind)
    shape = shape_of(model.config)
    biases = sum(t.numel() for n, t in model.named_parameters() if n.endswith(".bias"))
    norms = sum(
        t.numel() for n, t in model.named_parameters() if "q_norm" in n or "k_norm" in n
    )
    found = sum(tensor.numel() for tensor in model.parameters())
    assert shape.linear + shape.other == found - biases - norms


def test_nano_is_read_from_its_configuration():
    shape = shape_of(AutoConfig.from_pretrained(NANO))
    assert shape == Shape(128, 352, 128, 128, 3, 4096, tied=True, stored=16)


def test_a_configuration_without_a_type_counts_as_full_precision():
    assert shape_of(LlamaConfig()).stored == 32


def test_seven_billion_weights_take_what_is_known_of_them():
    assert SEVEN.linear + SEVEN.other == pytest.approx(6.74e9, rel=0.01)
    short = footprint(SEVEN, Method(), WORK, whole(WORK), GPU)
    assert short.weights == pytest.approx(4.2e9, rel=0.05)
    twice = replace(whole(WORK), checkpointing=True)
    # one example of 316 tokens on a GPU of 6.5 GB
    assert footprint(SEVEN, Method(), WORK, twice, GPU).total < 6.5e9 < short.total


def test_the_trained_part_is_counted_as_it_is():
    adapted = tiny.adapted("llama", "user")
    tensors = adapted.stage_tensors("user").values()
    numbers = sum(tensor.numel() for tensor in tensors)
    method = adapted.method
    made = footprint(shape_of(tiny.model().config), method, WORK, whole(WORK), CPU)
    assert made.optimiser == 5 * 4 * numbers
    assert all(tensor.dtype == torch.float32 for tensor in tensors)


@pytest.mark.parametrize("where", [CPU, Where("cpu", 16), GPU])
def test_what_is_less_at_once_takes_less(where):
    work = Work(tokens=300, answer=20, batch=8, asked=128)
    share = whole(work)
    sizes = []
    while share is not None:
        sizes.append(footprint(SEVEN, Method(), work, share, where).total)
        share = smaller(share)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] < sizes[0]


def test_the_smallest_share_is_one_row_computed_twice():
    share = Share(5, 40)
    seen = []
    while share is not None:
        seen.append((share.rows, share.asked, share.checkpointing))
        share = smaller(share)
    assert seen == [
        (5, 40, False),
        (5, 20, False),
        (5, 10, False),
        (3, 10, False),
        (2, 10, False),
        (1, 10, False),
        (1, 5, False),
        (1, 2, False),
        (1, 1, False),
        (1, 1, True),
    ]


def test_writing_counts_keys_and_values():
    read = Work(tokens=100, answer=1, asked=64)
    written = Work(tokens=100, answer=1, written=50, asked=64)
    share = whole(read)
    more = [footprint(SEVEN, Method(), w, share, CPU).passing for w in (read, written)]
    cache = 1.4 * 2 * 32 * 4096 * 4 * 150 * 64
    assert more[1] - more[0] == pytest.approx(cache, rel=0.01)
