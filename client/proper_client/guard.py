"""What this device refuses on its own, whatever the coordinator says.

An offer of a round is held against the person's policy, the pinned log of members and
what was agreed to before. Every refusal has a name; a check changes nothing. What comes
later in the round (rosters, signatures, survivors) is checked by `secagg.checks`, with
the numbers of the same policy.

Covered: cohorts that are too small, of strangers, of members nobody vouches for, or
other than the device's fixed block; rounds that do not grow, that are too many or too
heavy; bounds, rings and noise outside the policy; the budget of epsilon; hours, power,
too short a history; messages, objects and bundles that no honest coordinator sends.
Not covered: inventions that waited until the device vouches for them; a block that a
new run draws anew (`max_runs` bounds how often). Without noise the sums of two
rounds with other survivors differ by those who came or went: of an order one sum alone
is opened, but one that differs by next to nothing is another order.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from proper_client.counting import counted
from proper_client.guard_record import Record, Run, Signed, hash_of
from proper_client.guard_terms import SAME_NORMS, Sum, spent_in, survivors_hash
from proper_client.policy import Policy
from proper_shared.offers import Offer
from proper_shared.privacy.accounting import epsilon_of
from proper_shared.rounds import Order
from proper_shared.secagg import checks
from proper_shared.secagg.checks import Known, Refusal
from proper_shared.terms import Terms

MIB = 1 << 20


@dataclass(frozen=True)
class Acquaintance:
    """What this device knows of one member of the pinned log.

    Attributes:
        trusted: a contact that the person verified, or somebody whom an enrolment key
            that is not the coordinator's countersigned.
        since: when this device itself first saw the member, with a zone. The dates in
            the log are the coordinator's word.
    """

    trusted: bool
    since: datetime


@dataclass(frozen=True)
class Situation:
    """How it stands with the device at the moment of an offer.

    Attributes:
        now: local time, with its zone.
        plugged_in: None where it is not known.
        items: entries in the history.
    """

    now: datetime
    plugged_in: bool | None
    items: int


@dataclass(frozen=True)
class Guard:
    """Decides; what it decides on is passed, what follows from it is returned.

    Attributes:
        policy: the person's.
        identity: of this device, 32 bytes.
        federation: hash of the first entry of the pinned log, 32 bytes.
        members: of the pinned log, this device among them.
    """

    policy: Policy
    identity: bytes
    federation: bytes
    members: Mapping[bytes, Acquaintance]

    def check(self, terms: Terms, record: Record, situation: Situation) -> Record:
        """Return the record as it has to be kept before this round is answered.

        Raises:
            Refusal: the round is not one that this device takes part in.
        """
        offer = terms.offer
        self._federation(offer)
        self._situation(situation)
        self._new_order(terms, record)
        self._progress(offer, record)
        self._cohort(offer, record.runs.get(offer.run), situation.now)
        self._work(terms.order)
        self._terms(terms)
        self._budget(terms, record)
        return record.after_agreeing(offer)

    def check_sending(self, terms: Terms, record: Record) -> Record:
        """Return the record as it has to be kept before the vector leaves.

        Raises:
            Refusal: the attempt was not agreed to, or its vector left before; or the
                budget was spent meanwhile.
        """
        offer = terms.offer
        run = record.runs.get(offer.run)
        if run is None or run.offer != hash_of(offer):
            raise Refusal(
                "old-round", f"round {offer.serial} is not what was agreed to last"
            )
        if run.left:
            raise Refusal(
                "sent-already", f"the vector of round {offer.serial} left before"
            )
        self._budget(terms, record)
        return record.after_sending(offer, spent_in(terms))

    def check_adding(self, sum_: Sum, mark: str, record: Record) -> Record:
        """Return the record as it has to be kept before an update goes into a sum.

        Who dies before it signs cannot know whether the sum with its vector was
        opened. So whatever it signed, it adds to one sum one update: else the others,
        who sign that sum again, would lay bare by how much its own has changed.

        Raises:
            Refusal: another update went into this very sum before.
        """
        if record.updates.get(sum_.name, mark) != mark:
            raise Refusal(
                "other-update",
                "another update went into this very sum before; training came out "
                "differently, or the history has changed",
            )
        return record.after_adding(sum_.name, mark)

    def check_agreeing(
        self, terms: Terms, survivors: Sequence[int], record: Record
    ) -> Record:
        """Return the record as it has to be kept before a sum may be opened.

        Args:
            terms: of the round.
            survivors: places in the cohort of those who stand in the sum.
            record: as it is.

        Raises:
            Refusal: another sum of this order may have been opened.
        """
        sum_ = Sum.of(terms)
        signed = Signed(sum=sum_.name, survivors=survivors_hash(survivors))
        for name, part in sum_.parts.items():
            if self.bare and record.agreed.get(part, signed) != signed:
                raise Refusal(name, "agreed before to a sum of others for this order")
        return record.after_signing(sum_.parts.values(), signed)

    @property
    def bare(self) -> bool:
        """Whether no noise that the person asked for hides who is in a sum.

        Faint noise hides nobody: only a budget that the person set counts.
        """
        return self.policy.epsilon_total is None

    def known(self, offer: Offer, now: datetime) -> Known:
        """Return what the protocol of the round needs to know of the others."""
        cohort = tuple(map(bytes.fromhex, offer.cohort))
        asked = self.members.keys() & set(cohort)
        return Known(
            cohort=cohort,
            members={who: self._vouches(who, now) for who in asked},
            min_cohort=self.policy.min_cohort,
            min_vouched=self.policy.min_vouched,
        )

    def check_object(self, nbytes: int) -> None:
        """Refuse an object before it is fetched.

        Raises:
            Refusal: it is larger than the policy allows.
        """
        most = self.policy.max_object_mib * MIB
        if nbytes > most:
            raise Refusal(
                "object-too-large",
                f"got an object of {nbytes} bytes, expected at most {most}",
            )

    def _federation(self, offer: Offer) -> None:
        if bytes.fromhex(offer.federation) != self.federation:
            raise Refusal(
                "other-federation",
                f"got an offer of {offer.federation[:8]}, "
                f"expected {self.federation.hex()[:8]}",
            )

    def _new_order(self, terms: Terms, record: Record) -> None:
        """Refuse to add one update to two sums that may both be read.

        Their difference is what those who stood in one of them alone had sent. Noise
        that the person asked for hides that. The very same sum may be asked for again:
        whether the same members are in it is known when they agree.
        """
        if not self.bare:
            return
        sum_ = Sum.of(terms)
        for name, part in sum_.parts.items():
            old = record.agreed.get(part)
            if part in record.signed or (old is not None and old.sum != sum_.name):
                what = "the norms" if name == SAME_NORMS else "a sum"
                raise Refusal(name, f"{what} of this very order were agreed to before")

    def _situation(self, situation: Situation) -> None:
        policy = self.policy
        if not policy.is_open(situation.now.time()):
            raise Refusal(
                "outside-hours", f"it is {situation.now:%H:%M}, expected {policy.hours}"
            )
        if policy.only_plugged_in and situation.plugged_in is None:
            raise Refusal(
                "power-unknown",
                "cannot tell whether the machine is plugged in; "
                "only_plugged_in = false in the policy lets it work anyway",
            )
        if policy.only_plugged_in and not situation.plugged_in:
            raise Refusal("on-battery", "the machine runs on its battery")
        if situation.items < policy.min_items:
            raise Refusal(
                "too-few-items",
                f"the history has {situation.items} entries, "
                f"expected {policy.min_items} or more",
            )

    def _progress(self, offer: Offer, record: Record) -> None:
        """Refuse what was answered before, and more than was agreed to."""
        policy, run = self.policy, record.runs.get(offer.run)
        if offer.attempt >= policy.max_attempts:
            raise Refusal(
                "too-many-attempts",
                f"got attempt {offer.attempt + 1}, expected {policy.max_attempts}",
            )
        if run is None:
            _below(policy.max_runs, record.runs_of(offer.federation), "runs")
            _below(policy.max_rounds, 0, "rounds")
            return
        if (offer.serial, offer.attempt) <= (run.serial, run.attempt):
            raise Refusal(
                "old-round",
                f"got round {offer.serial}, attempt {offer.attempt + 1}; already "
                f"agreed to round {run.serial}, attempt {run.attempt + 1}",
            )
        if offer.serial > run.serial:
            _below(policy.max_rounds, run.rounds, "rounds")
        if offer.noise is not None:
            _below(offer.noise.participations, run.vectors, "rounds")

    def _cohort(self, offer: Offer, run: Run | None, now: datetime) -> None:
        known = self.known(offer, now)
        checks.cohort_in_log(known, self.identity)
        checks.cohort_size(known)
        places, own = range(len(known.cohort)), known.cohort.index(self.identity)
        checks.vouched(known, places, own)
        if self.bare and run is not None and run.block is not None:
            new, old = set(offer.cohort), set(run.block)
            if new != old:
                raise Refusal(
                    "not-my-block",
                    f"got a cohort with {len(new - old)} others and without "
                    f"{len(old - new)} of the {len(old)} in the first round",
                )

    def _work(self, order: Order) -> None:
        recipe = order.schedule.recipe
        for name, got, most in (
            ("too-many-steps", recipe.steps, self.policy.max_steps),
            ("batch-too-large", recipe.batch, self.policy.max_batch),
        ):
            if got > most:
                raise Refusal(name, f"got {got}, expected at most {most}")

    def _terms(self, terms: Terms) -> None:
        offer, policy = terms.offer, self.policy
        if not offer.masked and not policy.allow_unmasked:
            raise Refusal("not-masked", "got a round that shows each single update")
        for block, bound in sorted(offer.bounds.items()):
            if bound > policy.max_bound:
                raise Refusal(
                    "bound-too-large",
                    f"got the bound {bound:g} for {block[:40]!r}, "
                    f"expected at most {policy.max_bound:g}",
                )
        if policy.epsilon_total is not None and offer.noise is None:
            raise Refusal(
                "no-noise", "got a round without noise, expected differential privacy"
            )
        terms.check()

    def _budget(self, terms: Terms, record: Record) -> None:
        spent, policy = spent_in(terms), self.policy
        if policy.epsilon_total is None or spent is None:
            return
        if record.bare:
            raise Refusal(
                "epsilon-spent",
                f"{counted(record.bare, 'update')} left without noise before: no "
                "epsilon bounds what was told",
            )
        counts = record.spent() + Counter([spent])
        epsilon = epsilon_of(counts, policy.delta, policy.epsilon_against)
        if epsilon > policy.epsilon_total:
            raise Refusal(
                "epsilon-spent",
                f"epsilon would be {epsilon:.3g} after this round, "
                f"expected at most {policy.epsilon_total:g}",
            )

    def _vouches(self, who: bytes, now: datetime) -> bool:
        known = self.members[who]
        wait = timedelta(days=self.policy.vouched_after_days)
        return known.trusted or now - known.since >= wait


def check_message(kind: str, known: Collection[str]) -> None:
    """Refuse a message of a type that this program does not answer.

    Raises:
        Refusal: `kind` is not in `known`.
    """
    if kind not in known:
        raise Refusal("unknown-message", f"got a message of type {kind[:60]!r}")


def refuse_bundle(what: str) -> None:
    """Refuse code that a coordinator wants to have run here.

    Raises:
        Refusal: always.
    """
    raise Refusal(
        "bundle-offered", f"got {what[:60]!r}, this device runs installed code only"
    )


def _below(most: int, so_far: int, what: str) -> None:
    if so_far >= most:
        raise Refusal(f"too-many-{what}", f"took part in {so_far}, agreed to {most}")
