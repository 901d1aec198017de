"""What is read from entries, against autograd on one entry after the other."""

import numpy as np
import pytest
import tiny
import torch
from torch.nn.functional import cross_entropy

from proper_client import reading
from proper_client.reading import NEWEST, Reader
from proper_shared.grouping import Features
from proper_shared.parts import widths_of

EXAMPLES = tiny.examples(9, seed=4)


def naive(model, examples):
    """Inputs of the last product and what the loss asks, for each target token."""
    inputs, wanted = [], []
    product = model.model.layers[-1].mlp.down_proj
    product.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    for example in examples:
        ids = torch.tensor([example.prompt + example.target])
        asked = slice(len(example.prompt) - 1, -1)
        hidden = model.model(ids).last_hidden_state[0, asked].detach()
        inputs[-1] = inputs[-1][0, asked].detach()
        hidden.requires_grad = True
        targets = torch.tensor(example.target)
        cross_entropy(model.lm_head(hidden), targets, reduction="sum").backward()
        wanted.append(-hidden.grad)
    return Features(torch.cat(inputs).numpy(), torch.cat(wanted).numpy())


def assert_close(found, expected, tolerance=1e-5):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance)


def assert_same(found, expected):
    assert_close(found, expected, 0)


@pytest.mark.parametrize("kind", ["llama", "gemma"])  # gemma ties head and embeddings
def test_inputs_and_gradients_are_those_of_autograd(kind):
    reader = Reader(tiny.adapted(kind))
    found, tokens = reader.read(EXAMPLES, 0), sum(len(x.target) for x in EXAMPLES)
    assert widths_of(reader.adapted.model) == (48, 32)
    assert (found.x.shape, found.d.shape) == ((tokens, 48), (tokens, 32))
    assert_close(found, naive(tiny.model(kind), EXAMPLES))


def test_wide_features_are_projected_alike_on_every_device(monkeypatch):
    monkeypatch.setattr(reading, "WIDTH", 12)
    one, other = (Reader(tiny.adapted()) for _ in range(2))
    assert [p.shape[1] for p in one.projections] == [12, 12]
    plain = naive(tiny.model(), EXAMPLES)
    found = one.read(EXAMPLES, 0)
    assert_same(other.read(EXAMPLES, 0), found)
    for array, whole, projection in zip(found, plain, one.projections, strict=True):
        assert array.shape[-1] == 12
        np.testing.assert_allclose(array, whole @ projection.numpy(), atol=1e-5)


def test_a_projection_keeps_lengths_in_the_mean():
    vectors = torch.randn(50, 4000, generator=torch.Generator().manual_seed(1))
    projected = vectors @ reading._projection(4000)
    ratio = (projected.norm(dim=1) / vectors.norm(dim=1)).mean()
    assert float(ratio) == pytest.approx(1, abs=0.02)


def test_narrow_features_are_left_as_they_are():
    for size in (32, 48):
        assert torch.equal(reading._projection(size), torch.eye(size))


def test_the_population_is_read_with_and_groups_and_users_are_not():
    plain = Reader(tiny.adapted()).read(EXAMPLES, 0)
    grouped = tiny.stir(tiny.adapted("llama", "group", "user"), "group", "user")
    grouped.users.use("group", "user")
    assert_same(Reader(grouped).read(EXAMPLES, 0), plain)
    common = tiny.stir(tiny.adapted("llama", "population"), "population")
    branch = Reader(common).read(EXAMPLES, 0)
    for one, other in zip(branch, plain, strict=True):
        assert np.abs(one - other).max() > 0.01
    common.merge_population()
    assert_close(Reader(common).read(EXAMPLES, 0), branch, 1e-4)


def test_a_cohort_that_was_here_before_leaves_nothing_behind():
    made = tiny.stir(tiny.adapted("llama", "group"), "group")
    plain = Reader(made).read(EXAMPLES, 0)
    made.seat("group", 3)
    assert_same(Reader(made).read(EXAMPLES, 0), plain)


def test_the_newest_entries_alone_are_read():
    many = tiny.examples(NEWEST + 5, seed=8, longest=4)
    reader = Reader(tiny.adapted())
    assert_same(reader.read(many, 0), reader.read(many[5:], 0))


def test_reading_leaves_no_hook_and_no_gradient_behind():
    made = tiny.adapted("llama", "population")
    reader = Reader(made)
    reader.read(EXAMPLES, 0)
    assert not reader.product._forward_pre_hooks
    assert all(p.grad is None for p in made.model.parameters())
