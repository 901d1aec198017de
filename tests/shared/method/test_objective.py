import pytest
import tiny
import torch
from torch.nn.functional import cosine_similarity, normalize

from proper_shared.method.cohort import train_cohort
from proper_shared.method.job import Constraint, Job, generator_for
from proper_shared.method.objective import (
    own_constraint,
    pair_constraint,
    sum_constraint,
    text_loss,
)

USERS, LAYERS, EXPERTS, TOKENS = 6, 3, 5, 8


def router_weights():
    torch.manual_seed(1)
    logits = torch.randn(USERS, LAYERS, TOKENS, EXPERTS, dtype=torch.float64)
    return logits.softmax(-1)


def directions():
    return normalize(router_weights(), dim=-1).mean(2).requires_grad_()


def gradient(loss, n):
    return torch.autograd.grad(loss, n)[0]


def test_the_sum_form_is_all_pairs_in_value_and_gradient():
    n = directions()
    pairs, total = pair_constraint(n), sum_constraint(n)
    torch.testing.assert_close(total, pairs, rtol=1e-12, atol=0)
    torch.testing.assert_close(
        gradient(total, n), gradient(pairs, n), rtol=1e-12, atol=1e-14
    )


def test_all_pairs_are_cosines_of_router_weights_over_independent_tokens():
    w = router_weights()
    expected = torch.zeros((), dtype=torch.float64)
    for u in range(USERS):
        for v in range(u + 1, USERS):
            cosine = cosine_similarity(w[u][:, :, None], w[v][:, None], dim=-1)
            expected += cosine.mean()
    torch.testing.assert_close(pair_constraint(directions()), expected)


def test_a_users_own_part_has_the_gradient_of_the_loss_over_all_pairs():
    n = directions()
    others = n.sum(0, keepdim=True) - n
    peers = torch.full((USERS,), USERS - 1.0, dtype=torch.float64)
    own = own_constraint(n, others, peers).sum() * (USERS - 1)
    torch.testing.assert_close(
        gradient(own, n), gradient(pair_constraint(n), n), rtol=1e-12, atol=1e-14
    )


def test_a_users_own_part_is_the_mean_cosine_with_the_peers():
    n = normalize(directions().detach(), dim=-1)
    peers = torch.full((USERS,), USERS - 1.0)
    likeness = own_constraint(n, n.sum(0) - n, peers)
    first = (n[0] * n[1:]).sum(-1).mean()
    assert likeness[0].item() == pytest.approx(first.item())


@pytest.mark.parametrize("share", [0.1, 0.5, 3.0])
def test_a_moving_sum_is_as_strong_as_the_share_of_it_that_has_come_in(share):
    n = normalize(directions().detach(), dim=-1)
    peers = torch.full((USERS,), USERS - 1.0)
    whole = own_constraint(n, n.sum(0) - n, peers)
    part = own_constraint(n, share * (n.sum(0) - n), share * peers)
    torch.testing.assert_close(part, whole)


def test_what_rounding_leaves_of_an_empty_sum_pushes_nobody():
    n = directions()
    likeness = own_constraint(
        n, 1e-7 * n.detach(), torch.tensor([1e-8, 0, -1e-8, 1e-8, 0, 0])
    )
    assert not likeness.any()
    assert not gradient(likeness.sum(), n).any()


def test_a_user_without_peers_is_pushed_nowhere():
    n = directions()
    loss = own_constraint(n, torch.zeros_like(n), torch.zeros(USERS))
    assert not gradient(loss.sum(), n).any()


def test_training_under_the_constraint_leaves_routers_less_alike():
    def likeness(weight):
        made = tiny.adapted("llama", "group", seed=1)
        made.users.use("group")
        torch.manual_seed(2)
        made.load({"users.embedding": torch.randn(4, 6)})
        shape = (4, 6, 3)
        trained = None
        for _ in range(3):
            others = torch.zeros(shape) if trained is None else trained.direction
            constraint = Constraint(
                weight, others.sum(0) - others, torch.full((4,), 3.0)
            )
            job = Job(
                stage="group",
                examples=[tiny.examples(3)] * 4,
                generators=[generator_for(0, seat) for seat in range(4)],
                recipe=tiny.recipe(steps=8, embedding_rate=0.1),
                padding=0,
                constraint=constraint,
            )
            trained = train_cohort(made, job)
        return float(pair_constraint(trained.direction))

    assert likeness(5.0) < likeness(0.0) - 0.1


def test_each_users_loss_is_the_mean_over_the_users_own_target_tokens():
    logits = torch.randn(4, 3, 9)
    targets = torch.tensor([[-100, 1, 2], [3, 4, 5], [-100, -100, 7], [-100] * 3])
    loss = text_loss(logits, targets, 2)
    log_probs = logits.log_softmax(-1)
    first = [(0, 1, 1), (0, 2, 2), (1, 0, 3), (1, 1, 4), (1, 2, 5)]
    naive = -sum(log_probs[place] for place in first) / len(first)
    torch.testing.assert_close(loss[0], naive)
    torch.testing.assert_close(loss[1], -log_probs[2, 2, 7])


def test_a_user_without_targets_has_no_loss():
    targets = torch.tensor([[1], [-100]])
    assert text_loss(torch.randn(2, 1, 9), targets, 2)[1] == 0
