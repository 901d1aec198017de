"""All that a coordinator and its accomplices know, and all that follows from it.

It works on the bytes that were sent, and on the secrets of accomplices. It knows a pair
mask if it knows the key of either end, and a secret from t shares of it on.
"""

from collections import defaultdict

import pytest

from proper_shared.secagg import keys, masks, messages, shamir
from proper_shared.secagg.binding import View, two_bytes
from proper_shared.secagg.checks import Refusal
from proper_shared.secagg.keys import KeyPair
from proper_shared.secagg.messages import NO_SHARE, Phase, Roster, write
from proper_shared.secagg.quorum import Quorum

NBYTES = shamir.NBYTES
N, VICTIM = 10, 0
EVERYBODY = tuple(range(N))


class Adversary:
    """The coordinator of a network, with the secrets of those who side with it."""

    def __init__(self, network, accomplices=()):
        self.network = network
        self.cohort_size = len(network.known.cohort)
        self.context = network.round_id.context(network.known.cohort)
        members = {place: network.members[place] for place in accomplices}
        self.secrets = {p: member._state.secrets for p, member in members.items()}
        self.shares = {"key": defaultdict(dict), "seed": defaultdict(dict)}

    def hold(self, kind, owner, holder, share):
        if share != NO_SHARE:
            self.shares[kind][owner][holder] = int.from_bytes(share, "big")

    def read_deals(self, roster, said):
        """Open what was sealed for accomplices; `said` is what dealers answered."""
        for dealer, answer in said.items():
            peers = [place for place in roster if place != dealer]
            rows = messages.read_rows(answer[33:], len(peers))
            for holder, sealed in zip(peers, rows, strict=True):
                if holder in self.secrets:
                    own = self.secrets[holder].channel
                    secret = keys.agree(own, roster[dealer].channel)
                    ends = self.context, roster.digest, dealer, holder
                    pair = keys.unseal(masks.channel_key(secret, *ends), sealed)
                    self.hold("key", dealer, holder, pair[:NBYTES])
                    self.hold("seed", dealer, holder, pair[NBYTES:])

    def read_opened(self, holder, sharers, survivors, answer):
        """Take the shares of an answer in the last phase."""
        rows = messages.read_rows(answer[33:], len(sharers), NBYTES)
        for owner, share in zip(sharers, rows, strict=True):
            self.hold("seed" if owner in survivors else "key", owner, holder, share)

    def read_round(self):
        """Take in a round that the network carried; returns its roster and view."""
        said, asked = self.network.said, self.network.asked
        roster = Roster.parse(next(iter(asked[Phase.SHARE].values()))[33:], 1000)
        survivors = tuple(said[Phase.MASK])
        view = View(self.context, roster.digest, tuple(said[Phase.SHARE]))
        self.read_deals(roster, said[Phase.SHARE])
        for holder, answer in said[Phase.OPEN].items():
            self.read_opened(holder, view.sharers, survivors, answer)
        return roster, view

    def _recovered(self, kind, owner):
        shares = self.shares[kind][owner]
        threshold = Quorum(self.cohort_size).threshold
        if len(shares) < threshold:
            return None
        used = sorted(shares)[:threshold]
        weights = shamir.weights([place + 1 for place in used])
        return shamir.combine(weights, [shares[place] for place in used])

    def mask_key(self, place):
        """Return s_v if it is known."""
        if place in self.secrets:
            return self.secrets[place].mask
        number = self._recovered("key", place)
        return number and KeyPair.of(number.to_bytes(NBYTES, "little"))

    def seed(self, place):
        """Return b_v if it is known."""
        if place in self.secrets:
            return self.secrets[place].seed
        number = self._recovered("seed", place)
        return number and number.to_bytes(NBYTES, "big")

    def pair_key(self, roster, view, one, other):
        """Return the key of a pair's mask if it is known."""
        for own, peer in ((one, other), (other, one)):
            if key := self.mask_key(own):
                secret = keys.agree(key, roster[peer].mask)
                return masks.pair_key(secret, view, one, other)
        return None

    def without_pair_masks(self, victim, roster, view, answer):
        """Return vector and own mask of a victim, None if a pair mask is unknown."""
        ring = self.network.round_id.ring
        total = ring.from_bytes(answer[33:])
        for other in view.sharers:
            if other != victim:
                key = self.pair_key(roster, view, victim, other)
                if key is None:
                    return None
                masks.add(ring, total, key, -masks.pair_sign(victim, other))
        return ring.reduce(total)

    def update_of(self, victim, roster, view, answer):
        """Return the vector of a victim, None if a mask of it is unknown."""
        total, seed = self.without_pair_masks(victim, roster, view, answer), None
        if total is not None:
            seed = self.seed(victim)
        if seed is None:
            return None
        ring = self.network.round_id.ring
        masks.add(ring, total, masks.self_key(seed, view.context, victim), -1)
        return ring.reduce(total)


def refused(name):
    return pytest.raises(Refusal, check=lambda refusal: refusal.name == name)


class Lies:
    """A coordinator that tells each member what it likes, beside a network."""

    def __init__(self, network, accomplices=()):
        self.network, self.adversary = network, Adversary(network, accomplices)
        self.context = self.adversary.context

    def ask(self, place, phase, body):
        """Return the body of an answer."""
        request = write(phase, self.context, body)
        return self.network.members[place].answer(request)[33:]

    def masked(self):
        """Carry an honest round up to the vectors; returns roster and view."""
        collector, network = self.network.collector, self.network
        for _ in range(3):
            network.step(collector)
        requests = network.asked[Phase.SHARE]
        roster = Roster.parse(requests[VICTIM][33:], N)
        self.adversary.read_deals(roster, network.said[Phase.SHARE])
        return roster, View(self.context, roster.digest, EVERYBODY)

    def agree(self, places, survivors):
        """Return the signatures of some members on their view."""
        body = two_bytes(*survivors)
        return {place: self.ask(place, Phase.AGREE, body) for place in places}

    def open(self, place, survivors, signatures):
        body = messages.write_table(signatures)
        answer = self.ask(place, Phase.OPEN, body)
        self.adversary.read_opened(place, EVERYBODY, survivors, bytes(33) + answer)

    def vector_of_victim(self, roster, view):
        answer = self.network.said[Phase.MASK][VICTIM]
        return self.adversary.update_of(VICTIM, roster, view, answer)
