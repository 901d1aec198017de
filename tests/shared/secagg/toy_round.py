"""Rounds of the protocol in one process: drawn from seeds, with whoever lost one likes.

`Network` carries the messages between members and a collector, as an engine does, and
keeps a copy of each: that is all that a coordinator ever gets to see.
"""

import hashlib
from dataclasses import dataclass, field
from functools import cache

import numpy as np

from proper_shared.secagg.binding import RoundId
from proper_shared.secagg.checks import Known
from proper_shared.secagg.collector import Collector
from proper_shared.secagg.keys import STANDARD, HeldSigner
from proper_shared.secagg.member import Member
from proper_shared.secagg.messages import Phase


class Drops:
    """Bytes that look random and are the same for the same seed."""

    def __init__(self, *seed):
        self._shake = hashlib.shake_256(repr(seed).encode())
        self._count = 0

    def __call__(self, nbytes):
        self._count += 1
        fresh = self._shake.copy()
        fresh.update(self._count.to_bytes(8, "big"))
        return fresh.digest(nbytes)


@cache
def signer_of(name):
    return HeldSigner(hashlib.sha256(repr(name).encode()).digest())


def round_of(length=4, **changes):
    fields = {
        "federation": b"f" * 32,
        "run": b"r" * 16,
        "stage": "population",
        "serial": 3,
        "attempt": 0,
        "plan": b"p" * 32,
        "parameters": b"m" * 32,
        "ring_bits": 16,
        "length": length,
    }
    return RoundId(**(fields | changes))


@dataclass
class Network:
    """Members 0 to n - 1, places being seats, and what they sent and were sent."""

    members: list[Member]
    vectors: list[np.ndarray]
    signers: list[HeldSigner]
    known: Known
    round_id: RoundId
    suite: object = STANDARD
    asked: dict[Phase, dict[int, bytes]] = field(default_factory=dict)
    said: dict[Phase, dict[int, bytes]] = field(default_factory=dict)

    @property
    def collector(self):
        roster = dict(enumerate(self.known.cohort))
        return Collector(self.round_id, roster, self.suite)

    def step(self, collector, *, silent=(), forge=None):
        """Carry one phase over; `forge` may change an answer on its way."""
        requests = collector.requests()
        if not requests:
            return False
        phase = Phase(next(iter(requests.values()))[0])
        answers = {
            seat: self.members[seat].answer(request)
            for seat, request in requests.items()
            if seat not in silent
        }
        if forge:
            answers = {s: forge(phase, s, answer) for s, answer in answers.items()}
        self.asked[phase], self.said[phase] = dict(requests), answers
        collector.receive(answers)
        return True

    def run(self, losses=None, **how):
        """Carry a round; `losses` names the seats that fall silent in each phase."""
        collector = self.collector
        for phase in Phase:
            self.step(collector, silent=(losses or {}).get(phase, ()), **how)
        return collector

    def sum_of(self, seats):
        ring = self.round_id.ring
        return ring.add([self.vectors[seat] for seat in seats])


def network_of(n, seed=0, *, suite=STANDARD, known=None, **round_changes):
    round_id = round_of(**round_changes)
    signers = sorted((signer_of((i, n)) for i in range(n)), key=lambda s: s.identity)
    cohort = tuple(signer.identity for signer in signers)
    known = Known(cohort, dict.fromkeys(cohort, True)) if known is None else known
    rng = np.random.default_rng(seed)
    ring = round_id.ring
    draws = rng.integers(0, 1 << ring.bits, (n, round_id.length))
    vectors = [ring.wrap(row) for row in draws]
    members = [
        Member(signer, round_id, known, vectors[i], Drops(seed, i), suite=suite)
        for i, signer in enumerate(signers)
    ]
    return Network(members, vectors, signers, known, round_id, suite)
