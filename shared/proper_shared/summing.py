"""The two ways to a sum, one half for each side: under masks, or in clear.

A collector and a contribution of the same `Terms` belong together. Whoever carries
their messages need not know which way it is.

Covered under masks: see `proper_shared.secagg`. In clear: nothing is hidden.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from proper_shared.aggregation import (
    Collector,
    Contribution,
    PlainCollector,
    PlainContribution,
    Sum,
)
from proper_shared.errors import ConfigError, FormatError, ProtocolError
from proper_shared.offers import Offer
from proper_shared.privacy.gaussian import KEY_BYTES, draw, keystream
from proper_shared.secagg.binding import RoundId
from proper_shared.secagg.checks import Known
from proper_shared.secagg.collector import Collector as RingCollector
from proper_shared.secagg.keys import STANDARD, Entropy, Signer, Suite
from proper_shared.secagg.member import Member
from proper_shared.strict_json import parse_object
from proper_shared.terms import Terms
from proper_shared.vectors.rounding import RandomBytes


@dataclass(frozen=True)
class Me:
    """A member as it enters a round.

    Attributes:
        signer: its identity.
        members: identities that it knows, and whether it vouches for each.
        min_cohort: fewest that may be asked together.
        min_vouched: fewest others for whom it vouches.
        entropy: secret random bytes; of the system on a device.
        suite: how signatures are verified and secrets agreed on.
    """

    signer: Signer
    members: Mapping[bytes, bool]
    min_cohort: int = 3
    min_vouched: int = 0
    entropy: Entropy = field(default=os.urandom, repr=False)
    suite: Suite = STANDARD

    def known(self, offer: Offer) -> Known:
        """Return what this member knows of the cohort of a round."""
        cohort = tuple(bytes.fromhex(identity) for identity in offer.cohort)
        return Known(cohort, self.members, self.min_cohort, self.min_vouched)


def contribute(
    terms: Terms,
    me: Me,
    update: NDArray[np.floating],
    rounding: RandomBytes = os.urandom,
) -> Contribution:
    """Return a device's half of a sum.

    Args:
        terms: of the sum, which the device has agreed to.
        me: who adds.
        update: (Q,) in the layout of the terms; it is clipped here.
        rounding: random bytes for rounding; a simulation seeds them.

    Raises:
        ProtocolError: the device refuses the cohort; or the update has another length,
            holds NaN or infinity, or cannot be encoded.
    """
    try:
        if not terms.offer.masked:
            return PlainContribution(terms.clipped(update))
        noise = _noise(terms, me.entropy)
        elements = terms.encoding.encode(terms.vector_of(update), rounding, noise)
    except (FormatError, ConfigError) as error:
        raise ProtocolError(f"the update cannot be added: {error}") from error
    round_id = terms.round_id
    known = me.known(terms.offer)
    member = Member(me.signer, round_id, known, elements, me.entropy, suite=me.suite)
    return MaskedContribution(terms.offer, round_id, member)


@dataclass(frozen=True)
class MaskedContribution:
    """A member's half of a sum under masks.

    Attributes:
        offer: of the round.
        round_id: what its masks and signatures are bound to.
        member: answers.
    """

    offer: Offer
    round_id: RoundId
    member: Member

    @property
    def done(self) -> bool:
        """Whether the last phase was answered, or the session given up."""
        return self.member.due is None

    def answer(self, request: bytes) -> bytes:
        """Return what the member sends to this request.

        Raises:
            ProtocolError: the member refuses.
        """
        return self.member.answer(request)

    def abort(self) -> None:
        """Forget all secrets."""
        self.member.abort()

    def suspend(self) -> dict[str, bytes]:
        """Return the whole session, secrets in clear; see `Member.snapshot`."""
        found = self.round_id
        words = {"plan": found.plan.hex(), "parameters": found.parameters.hex()}
        facts = {**words, "stage": found.stage, "length": found.length}
        return {
            "offer": self.offer.dump(),
            "facts": json.dumps(facts).encode(),
            "member": self.member.snapshot(),
        }


def offer_of(suspended: Mapping[str, bytes]) -> Offer:
    """Return the offer of a session that was put away."""
    return Offer.parse(suspended["offer"])


def resume(suspended: Mapping[str, bytes], me: Me) -> MaskedContribution:
    """Return the session that `suspend` put away; in simulations only.

    Args:
        suspended: all of it.
        me: as when the session was opened.
    """
    offer = offer_of(suspended)
    facts = parse_object(suspended["facts"], "session")
    round_id = RoundId(
        federation=bytes.fromhex(offer.federation),
        run=bytes.fromhex(offer.run),
        stage=str(facts["stage"]),
        serial=offer.serial,
        attempt=offer.attempt,
        plan=bytes.fromhex(str(facts["plan"])),
        parameters=bytes.fromhex(str(facts["parameters"])),
        ring_bits=offer.ring_bits,
        length=int(str(facts["length"])),
    )
    known, data = me.known(offer), suspended["member"]
    member = Member.restore(
        me.signer, round_id, known, data, me.entropy, suite=me.suite
    )
    return MaskedContribution(offer, round_id, member)


def _noise(terms: Terms, entropy: Entropy) -> NDArray[np.int64] | None:
    """Return a member's share of the noise, from a key that nobody keeps.

    Its variance is such that the shares of the honest in any sum make up
    `multiplier` times the largest norm of one vector.
    """
    if terms.offer.noise is None:
        return None
    encoding = terms.encoding
    variance = terms.query.variance(encoding.noise_multiplier)
    return draw(variance, encoding.length, keystream(entropy(KEY_BYTES)))


def collect(
    terms: Terms, roster: Mapping[int, str], suite: Suite = STANDARD
) -> Collector:
    """Return the coordinator's half of a sum.

    Args:
        terms: of the sum.
        roster: identity of each seat that is asked, hexadecimal.
        suite: how signatures are verified and secrets agreed on.

    Raises:
        ProtocolError: so few cannot be added under masks.
    """
    if not terms.offer.masked:
        return PlainCollector(tuple(roster), terms.encoding.length)
    return MaskedCollector(terms, roster, suite)


class MaskedCollector:
    """A collector of vectors under masks.

    Args:
        terms: of the sum.
        roster: identity of each seat that is asked, hexadecimal.
        suite: how signatures are verified and secrets agreed on.
    """

    def __init__(
        self, terms: Terms, roster: Mapping[int, str], suite: Suite = STANDARD
    ) -> None:
        identities = {seat: bytes.fromhex(name) for seat, name in roster.items()}
        self._ring = RingCollector(terms.round_id, identities, suite)
        self._terms = terms

    def requests(self) -> Mapping[int, bytes]:
        """Return what to ask which seat next; empty when the round is over."""
        return self._ring.requests()

    def receive(self, answers: Mapping[int, bytes]) -> None:
        """Take what came back; a seat that is missing did not answer."""
        self._ring.receive(answers)

    def result(self) -> Sum:
        """Return the sum of the clipped vectors, up to rounding.

        Raises:
            ProtocolError: there is no sum.
        """
        found = self._ring.result()
        try:
            total = self._terms.encoding.decode(found.total, len(found.seats))
        except FormatError as error:
            raise ProtocolError(f"the sum cannot be read: {error}") from None
        lost = {seat: f"lost in phase {phase}" for seat, phase in found.lost.items()}
        return Sum(total, found.seats, {**lost, **found.refused})
