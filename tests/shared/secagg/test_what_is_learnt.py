"""The coordinator and fewer than a third do not learn an honest update.

The argument, for what was sent in a round: (1) of each secret of an honest member in
the sum the adversary has either t shares of the seed, or fewer than t, which fit every
value, and of its key always fewer than t. (2) Hence masks of pairs of honest survivors
are unknown, and the graph that they span is connected. (3) So for *any* other updates
with the same sum there are other masks of those pairs under which every byte that was
sent is the same: nothing but the sum is determined. That a mask cannot be told from a
random one is X25519's and AES's to keep (Bonawitz et al. 2017, theorem 6.5).

With more accomplices than t the same adversary, from the same bytes, has the update.
"""

import itertools

import numpy as np
import pytest
from adversary import EVERYBODY, Adversary, N
from hypothesis import given, settings
from hypothesis import strategies as st
from toy_round import network_of

from proper_shared.secagg import masks
from proper_shared.secagg.messages import Phase
from proper_shared.secagg.quorum import Quorum

Q = Quorum(N)


def read(accomplices, losses):
    network = network_of(N)
    adversary = Adversary(network, accomplices)
    found = network.run(losses).result()
    return network, adversary, found, *adversary.read_round()


def honest_survivors(found, accomplices):
    return [place for place in found.seats if place not in accomplices]


def unknown_pairs(adversary, honest, roster, view):
    pairs = itertools.combinations(honest, 2)
    return [p for p in pairs if adversary.pair_key(roster, view, *p) is None]


def other_masks(ring, vectors, others, pairs):
    """Return what to add to the masks of pairs so that `others` look like `vectors`.

    A walk over the pairs from each vertex to the next; what is left at the last one is
    the difference of the two sums.
    """
    owed = {p: ring.add([vectors[p], ring.negate(others[p])]) for p in vectors}
    changes, reached = {}, {next(iter(vectors))}
    order = [next(iter(vectors))]
    tree = {}
    while grown := [(a, b) for a, b in pairs if (a in reached) != (b in reached)]:
        one, other = grown[0]
        child, parent = (other, one) if one in reached else (one, other)
        tree[child] = parent
        reached.add(child)
        order.append(child)
    assert reached == set(vectors), "the unknown masks do not connect the honest"
    for child in reversed(order[1:]):  # each settles its debt with its parent
        parent, debt = tree[child], owed[child]
        sign = masks.pair_sign(child, parent)
        changes[min(child, parent), max(child, parent)] = (
            debt if sign > 0 else ring.negate(debt)
        )
        owed[parent] = ring.add([owed[parent], debt])
    return changes, owed[order[0]]


cases = st.tuples(
    st.sets(st.sampled_from(EVERYBODY), max_size=Q.colluders),
    st.dictionaries(
        st.sampled_from(EVERYBODY), st.sampled_from(Phase), max_size=Q.lost
    ),
)


@settings(max_examples=40, deadline=None)
@given(cases, st.integers(0, 2**32 - 1))
def test_any_other_updates_with_the_same_sum_explain_what_was_sent(case, seed):
    accomplices, phases = case
    losses = {phase: [p for p in phases if phases[p] is phase] for phase in Phase}
    network, adversary, found, roster, view = read(accomplices, losses)
    ring, honest = network.round_id.ring, honest_survivors(found, accomplices)
    assert len(honest) >= Q.honest

    for place in honest:  # (1), and with it nobody's update
        assert len(adversary.shares["key"][place]) < Q.threshold
        answer = network.said[Phase.MASK][place]
        assert adversary.update_of(place, roster, view, answer) is None

    pairs = unknown_pairs(adversary, honest, roster, view)
    assert pairs == list(itertools.combinations(honest, 2))  # (2)

    rng = np.random.default_rng(seed)  # (3)
    vectors = {place: network.vectors[place] for place in honest}
    others = {p: ring.wrap(rng.integers(0, 1 << 16, 4)) for p in honest[1:]}
    rest = ring.negate(ring.add([*others.values()]))
    others[honest[0]] = ring.add([*vectors.values(), rest])
    changes, left = other_masks(ring, vectors, others, pairs)
    assert not left.any()
    for place in honest:
        total = others[place].copy()
        for pair, change in changes.items():
            if place in pair:
                other = pair[0] + pair[1] - place
                signed = (
                    change if masks.pair_sign(place, other) > 0 else ring.negate(change)
                )
                total += signed
        assert (total == vectors[place]).all()  # so all its masked bytes are the same


@pytest.mark.parametrize("lost", [[], [9]], ids=["nobody lost", "one lost"])
def test_as_many_as_the_threshold_learn_every_update(lost):
    """The same reading finds the update, where the argument does not hold."""
    accomplices = tuple(range(1, 1 + Q.threshold))
    network, adversary, found, roster, view = read(accomplices, {Phase.MASK: lost})
    for place in honest_survivors(found, accomplices):
        answer = network.said[Phase.MASK][place]
        update = adversary.update_of(place, roster, view, answer)
        assert (update == network.vectors[place]).all()


def test_one_fewer_than_the_threshold_learns_none():
    accomplices = tuple(range(1, Q.threshold))
    network, adversary, found, roster, view = read(accomplices, {})
    for place in honest_survivors(found, accomplices):
        answer = network.said[Phase.MASK][place]
        assert adversary.update_of(place, roster, view, answer) is None


def test_another_sum_explains_nothing():
    """The walk has something to fail at: masks of pairs cannot change a sum."""
    network, adversary, _, roster, view = read((), {})
    ring, vectors = network.round_id.ring, dict(enumerate(network.vectors))
    pairs = unknown_pairs(adversary, EVERYBODY, roster, view)
    others = vectors | {0: vectors[0] + np.uint16(1)}
    _, left = other_masks(ring, vectors, others, pairs)
    assert left.any()


def test_own_masks_alone_would_give_late_updates_away():
    """Why there are two masks: without its own, a lost member's vector lies open."""
    network, adversary, _, roster, view = read((), {Phase.MASK: [4]})
    late = network.members[4].answer(network.asked[Phase.MASK][4])
    assert adversary.update_of(4, roster, view, late) is None
    bare = adversary.without_pair_masks(4, roster, view, late)
    assert bare is not None
    assert (bare != network.vectors[4]).any()
