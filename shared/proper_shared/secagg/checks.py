"""What a member checks before it answers, each check a function of its own.

A check returns nothing and raises a `Refusal` that carries its name, so that a device's
ledger can say what was refused, and a test can switch one off and show the attack that
it stops.

Covered: what is said in each function.
Not covered: whether the round may take place at all (plan, budget, a round that only
grows); that is decided before a member is made.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from proper_shared.errors import ProtocolError
from proper_shared.secagg.keys import Suite, has_low_order
from proper_shared.secagg.messages import Advert, Phase, Roster
from proper_shared.secagg.quorum import Quorum


class Refusal(ProtocolError):  # noqa: N818, the word of the protocol
    """A member does not answer, and nothing of it has left.

    Args:
        name: which check failed, in one or two words with hyphens.
        message: what was got, what was expected.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


@dataclass(frozen=True)
class Known:
    """What a member knows of the others, from its plan, its pinned log and its policy.

    Attributes:
        cohort: identities that the plan asks, ascending; a place is an index into it.
        members: identities of the pinned log, and whether this member vouches for
            each: its own contacts, those whom an enrolment key that is not the
            coordinator's countersigned, those whom it has seen for long enough.
        min_cohort: fewest members that may be asked.
        min_vouched: fewest others for whom it vouches, in the sum.
    """

    cohort: tuple[bytes, ...]
    members: Mapping[bytes, bool]
    min_cohort: int = 3
    min_vouched: int = 0


def in_order(due: Phase | None, got: Phase) -> None:
    """Refuse a phase that was answered, or whose turn has not come."""
    if got is not due:
        expected = "none: this session is over" if due is None else due.title
        raise Refusal("out-of-order", f"got the phase {got.title}, expected {expected}")


def same_round(own: bytes, got: bytes) -> None:
    """Refuse a message of another session, plan, model or cohort."""
    if got != own:
        raise Refusal(
            "another-round",
            f"got the context {got.hex()[:8]}, expected {own.hex()[:8]}",
        )


def cohort_in_log(known: Known, identity: bytes) -> None:
    """Refuse a cohort with strangers, with somebody twice, or without oneself."""
    ascending = sorted(set(known.cohort))
    if list(known.cohort) != ascending:
        raise Refusal("cohort-order", "got identities that do not ascend")
    if strangers := set(ascending) - known.members.keys():
        raise Refusal(
            "outside-the-log",
            f"got {len(strangers)} identities that are not in the pinned log",
        )
    if identity not in ascending:
        raise Refusal("not-asked", "got a cohort without this member")


def cohort_size(known: Known) -> None:
    """Refuse to hide among too few."""
    if len(known.cohort) < known.min_cohort:
        raise Refusal(
            "small-cohort",
            f"got a cohort of {len(known.cohort)}, expected {known.min_cohort}",
        )


def vouched(known: Known, places: Collection[int], own: int) -> None:
    """Refuse to stand among inventions: signatures cannot tell them from people."""
    others = (known.cohort[place] for place in places if place != own)
    count = sum(known.members[identity] for identity in others)
    if count < known.min_vouched:
        raise Refusal(
            "too-few-vouched", f"vouch for {count} others, expected {known.min_vouched}"
        )


def quorum(size: int, cohort_size: int, what: str) -> None:
    """Refuse to go on with fewer than Q: two such views might both be completed."""
    if size < (least := Quorum(cohort_size).size):
        raise Refusal("below-quorum", f"got {size} {what}, expected {least} or more")


def own_advert(roster: Roster, own: int, advert: Advert) -> None:
    """Refuse a roster in which one's own keys are missing or are not one's own."""
    if roster.get(own) != advert:
        raise Refusal("not-my-keys", "got a roster without the keys that were sent")


def distinct_keys(roster: Roster) -> None:
    """Refuse keys that stand twice: one of the owners does not hold them."""
    keys = [key for advert in roster.values() for key in (advert.channel, advert.mask)]
    if len(set(keys)) < len(keys):
        raise Refusal("same-keys", "got a key twice in one roster")


def no_low_order(roster: Roster) -> None:
    """Refuse keys with which every shared secret is zero, hence known to all."""
    for place, advert in roster.items():
        if has_low_order(advert.channel) or has_low_order(advert.mask):
            raise Refusal("low-order-key", f"got a key of low order at place {place}")


def signed_keys(
    roster: Roster, cohort: Sequence[bytes], context: bytes, suite: Suite
) -> None:
    """Refuse keys that their owner did not sign for this round and place."""
    for place, advert in roster.items():
        message = advert.signed(context, place)
        if not suite.verify(cohort[place], advert.signature, message):
            raise Refusal("bad-signature", f"got unsigned keys at place {place}")


def within(places: Collection[int], wider: Collection[int], what: str) -> None:
    """Refuse somebody who comes back, or in, after the others were counted."""
    if extra := set(places) - set(wider):
        raise Refusal(
            "not-a-subset", f"got {len(extra)} {what} who were not there before"
        )


def self_among(places: Collection[int], own: int, what: str) -> None:
    """Refuse to help with a sum in which one is said to be lost."""
    if own not in places:
        raise Refusal("declared-lost", f"got {what} without this member")


def agreed(
    signatures: Mapping[int, bytes],
    message: bytes,
    cohort: Sequence[bytes],
    suite: Suite,
) -> None:
    """Refuse to open before Q members signed the very view that one has oneself."""
    quorum(len(signatures), len(cohort), "signatures")
    for place, signature in signatures.items():
        if not suite.verify(cohort[place], signature, message):
            raise Refusal(
                "no-agreement", f"place {place} has not signed what this member sees"
            )
