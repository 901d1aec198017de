"""Whole sums of toy updates, from offer to result, in a few milliseconds."""

import numpy as np
from toy_federation import population

from proper_shared.offers import Offer
from proper_shared.summing import collect, contribute
from proper_shared.terms import Terms
from proper_simulations.crowd import Crowd

CROWD = Crowd(9, 3)
PART = population()
LAYOUT = PART.layout(0)


def terms(bounds=None, *, members=5, round_=0, **changes):
    offer = {
        "federation": "a" * 64,
        "base": "0" * 64,
        "run": "b" * 32,
        "serial": 4,
        "attempt": 0,
        "cohort": tuple(sorted(CROWD.signer(i).identity.hex() for i in range(members))),
        "masked": True,
        "ring_bits": 16,
        "bounds": bounds or {},
        "noise": None,
    }
    return Terms(Offer(**{**offer, **changes}), PART.order(round_), PART.layout(round_))


def updates(members=5, seed=0):
    rng = np.random.default_rng(seed)
    return [
        (rng.normal(size=LAYOUT.size) * 0.01).astype(np.float32) for _ in range(members)
    ]


def summed(made, vectors, lost=()):
    """Play a whole sum; seats in `lost` fall silent after their first answer."""
    roster = {seat: CROWD.signer(seat).identity.hex() for seat in range(len(vectors))}
    collector = collect(made, roster)
    halves = {
        seat: contribute(
            made, CROWD.me(seat, made.offer), vector, CROWD.rounding(seat, made)
        )
        for seat, vector in enumerate(vectors)
    }
    silent = set()
    while requests := collector.requests():
        answers = {
            seat: halves[seat].answer(request)
            for seat, request in requests.items()
            if seat not in silent
        }
        silent = set(lost)
        collector.receive(answers)
    return collector.result()


def bounds_of(vectors):
    probe = terms(members=len(vectors))
    return probe.next_bounds(summed(probe, vectors))
