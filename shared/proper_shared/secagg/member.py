"""The member's half: answer five requests, or refuse, and give away no more than a sum.

    join   announce fresh keys c_u and s_u, and a commitment to a fresh seed b_u
    share  deal shares of s_u and of b_u among the roster
    mask   send x_u + PRG(b_u) + sum of +-PRG(pair keys), once
    agree  sign who stands in the sum, once
    open   for each sharer v one share: of b_v where v is in the sum, of s_v where v is
           lost, never both; then everything is forgotten

After Bonawitz et al. 2017, "Practical Secure Aggregation for Privacy-Preserving Machine
Learning", figure 4, with commitments, and with every key bound to the round.

A refusal changes nothing: what was refused was not answered. Each phase is answered
once; whoever restarts has lost its keys, and with them the round.

Covered: a coordinator that lies in any message, with `Quorum.colluders` accomplices.
Not covered: more accomplices; denial of service; a lie about one's own update.
"""

from dataclasses import replace
from typing import Self

from proper_shared.errors import FormatError
from proper_shared.secagg import checks, keys, masks, messages, shamir, states
from proper_shared.secagg.binding import RoundId, View
from proper_shared.secagg.checks import Known, Refusal
from proper_shared.secagg.keys import STANDARD, Entropy, Signer, Suite
from proper_shared.secagg.messages import NO_SHARE, Advert, Phase, Roster
from proper_shared.secagg.quorum import Quorum
from proper_shared.secagg.ring import Elements
from proper_shared.secagg.states import Masked, Over, Pair, Secrets, State, Unmasked


class Member:
    """One member in one attempt at one round.

    Args:
        signer: its identity.
        round_id: what it was told of the round, and what it received.
        known: what it knows of the others.
        elements: its vector, encoded, (Q,); it is copied.
        entropy: secret random bytes, from the operating system on a device.
        suite: how signatures are verified and secrets agreed on.

    Raises:
        Refusal: the cohort is too small, has too few members it vouches for, strangers,
            or not this member.
        ProtocolError: no quorum exists for such a cohort.
        FormatError: the vector is not one of this round.
    """

    def __init__(  # noqa: PLR0913, a round is all of this and no less
        self,
        signer: Signer,
        round_id: RoundId,
        known: Known,
        elements: Elements,
        entropy: Entropy,
        *,
        suite: Suite = STANDARD,
    ) -> None:
        checks.cohort_in_log(known, signer.identity)
        checks.cohort_size(known)
        self._place = known.cohort.index(signer.identity)
        checks.vouched(known, range(len(known.cohort)), self._place)
        self._signer, self._known, self._suite = signer, known, suite
        self._entropy, self._ring = entropy, round_id.ring
        self._quorum = Quorum(len(known.cohort))
        self._context = round_id.context(known.cohort)
        self._ring.expect(elements, round_id.length)
        secrets = Secrets.draw(entropy)
        self._state: State = Unmasked(Phase.JOIN, elements.copy(), secrets)

    @property
    def due(self) -> Phase | None:
        """The phase whose turn it is; None when the session is over."""
        return self._state.due

    def answer(self, request: bytes) -> bytes:
        """Return the answer to a request.

        Raises:
            Refusal: the request fails a check; the session stays as it was.
        """
        try:
            phase, context, body = messages.read(request)
            checks.in_order(self.due, phase)
            checks.same_round(self._context, context)
            reply, self._state = self._step(body)
        except FormatError as error:
            raise Refusal("malformed", str(error)) from None
        return messages.write(phase, context, reply)

    def abort(self) -> None:
        """Give the round up, and forget its secrets."""
        self._state = Over()

    def snapshot(self) -> bytes:
        """Return the whole session, secrets in clear.

        Only for a simulation whose processes come and go between phases. A device never
        does this: who restores one snapshot twice answers twice, and two answers to
        "open" give its update away.
        """
        return self._context + states.dump(self._state, self._ring)

    @classmethod
    def restore(  # noqa: PLR0913, as the constructor
        cls,
        signer: Signer,
        round_id: RoundId,
        known: Known,
        snapshot: bytes,
        entropy: Entropy,
        *,
        suite: Suite = STANDARD,
    ) -> Self:
        """Return the member of a `snapshot`; for simulations only, as said there.

        Raises:
            FormatError: it is no snapshot of a session of this round.
        """
        vector = round_id.ring.zeros(round_id.length)
        member = cls(signer, round_id, known, vector, entropy, suite=suite)
        context, state = snapshot[:32], snapshot[32:]
        if context != member._context:
            raise FormatError("got the snapshot of a session in another round")
        member._state = states.load(state, round_id.ring)
        return member

    def _step(self, body: bytes) -> tuple[bytes, State]:
        """Return the answer to a request whose turn it is, and the state after it."""
        match self._state:
            case Unmasked(due=Phase.JOIN) as state:
                return self._join(state, body)
            case Unmasked(due=Phase.SHARE) as state:
                return self._share(state, body)
            case Unmasked() as state:
                return self._mask(state, body)
            case Masked(due=Phase.AGREE) as state:
                return self._agree(state, body)
            case Masked() as state:
                return self._open(state, body)
            case Over():
                raise Refusal("out-of-order", "got a request, this session is over")

    def _join(self, state: Unmasked, body: bytes) -> tuple[bytes, State]:
        messages.expect_length(body, 0, "the end of a request")
        secrets = state.secrets
        committed = masks.commitment(self._context, self._place, secrets.seed)
        bare = Advert(secrets.channel.public, secrets.mask.public, committed)
        signature = self._signer.sign(bare.signed(self._context, self._place))
        advert = replace(bare, signature=signature)
        roster = Roster({self._place: advert})
        return advert.dump(), replace(state, due=Phase.SHARE, roster=roster)

    def _share(self, state: Unmasked, body: bytes) -> tuple[bytes, State]:
        roster = Roster.parse(body, self._quorum.cohort_size)
        checks.quorum(len(roster), self._quorum.cohort_size, "members in the roster")
        checks.own_advert(roster, self._place, state.roster[self._place])
        checks.vouched(self._known, roster, self._place)
        checks.distinct_keys(roster)
        checks.no_low_order(roster)
        checks.signed_keys(roster, self._known.cohort, self._context, self._suite)
        shares = self._deal(state.secrets, roster)
        own = shares.pop(self._place)
        after = replace(state, due=Phase.MASK, roster=roster, own=own)
        sealed = (
            keys.seal(self._channel(after, self._place, place), b"".join(pair))
            for place, pair in shares.items()
        )
        return b"".join(sealed), after

    def _deal(self, secrets: Secrets, roster: Roster) -> dict[int, Pair]:
        """Return the two shares of each place, its own among them."""
        chances = keys.draw_scalars(self._entropy, 2 * (self._quorum.threshold - 1))
        key = int.from_bytes(secrets.mask.secret, "little")
        of_key = [key, *chances[::2]]
        of_seed = [int.from_bytes(secrets.seed, "big"), *chances[1::2]]
        return {
            place: (
                shamir.evaluate(of_key, place + 1).to_bytes(shamir.NBYTES, "big"),
                shamir.evaluate(of_seed, place + 1).to_bytes(shamir.NBYTES, "big"),
            )
            for place in roster
        }

    def _channel(self, state: Unmasked, sender: int, receiver: int) -> bytes:
        """Return the key from sender to receiver, one of whom is this member."""
        other = receiver if sender == self._place else sender
        public = state.roster[other].channel
        secret = self._suite.agree(state.secrets.channel, public)
        bound = self._context, state.roster.digest, sender, receiver
        return masks.channel_key(secret, *bound, derive=self._suite.derive)

    def _mask(self, state: Unmasked, body: bytes) -> tuple[bytes, State]:
        sharers, sealed = messages.read_deal(
            body, self._place, self._quorum.cohort_size
        )
        checks.within(sharers, state.roster, "sharers")
        checks.self_among(sharers, self._place, "sharers")
        checks.quorum(len(sharers), self._quorum.cohort_size, "sharers")
        checks.vouched(self._known, sharers, self._place)
        view = View(self._context, state.roster.digest, sharers)
        held = {place: self._unseal(state, place, sealed[place]) for place in sealed}
        held[self._place] = state.own
        after = Masked(Phase.AGREE, view, {place: held[place] for place in sharers})
        return self._masked(state, view), after

    def _unseal(self, state: Unmasked, sender: int, sealed: bytes) -> Pair:
        """Return the shares from one sender.

        Broken ones are no reason to stop: one bad dealer would end every round. They
        are reported as missing when the round is opened.
        """
        opened = keys.unseal(self._channel(state, sender, self._place), sealed)
        if opened is None:
            return NO_SHARE, NO_SHARE
        return opened[: shamir.NBYTES], opened[shamir.NBYTES :]

    def _masked(self, state: Unmasked, view: View) -> bytes:
        """Return the vector under all of its masks."""
        secrets, total = state.secrets, state.elements.copy()
        suite, here = self._suite, self._place
        own = masks.self_key(secrets.seed, self._context, here)
        masks.add(self._ring, total, own, 1)
        for other in view.sharers:
            if other != here:
                shared = suite.agree(secrets.mask, state.roster[other].mask)
                key = masks.pair_key(shared, view, here, other, suite.derive)
                masks.add(self._ring, total, key, masks.pair_sign(here, other))
        return self._ring.to_bytes(total)

    def _agree(self, state: Masked, body: bytes) -> tuple[bytes, State]:
        survivors = messages.read_places(body, self._quorum.cohort_size)
        checks.within(survivors, state.view.sharers, "survivors")
        checks.self_among(survivors, self._place, "survivors")
        checks.quorum(len(survivors), self._quorum.cohort_size, "survivors")
        checks.vouched(self._known, survivors, self._place)
        signature = self._signer.sign(state.view.agreement(survivors))
        return signature, replace(state, due=Phase.OPEN, survivors=survivors)

    def _open(self, state: Masked, body: bytes) -> tuple[bytes, State]:
        signatures = messages.read_table(
            body, messages.SIGNATURE_NBYTES, self._quorum.cohort_size
        )
        checks.within(signatures, state.survivors, "signatures")
        message = state.view.agreement(state.survivors)
        checks.agreed(signatures, message, self._known.cohort, self._suite)
        alive = set(state.survivors)
        shares = (
            of_seed if place in alive else of_key
            for place, (of_key, of_seed) in state.held.items()
        )
        return b"".join(shares), Over()
