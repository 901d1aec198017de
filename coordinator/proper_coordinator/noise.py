"""A run under noise: how much of it, with which bounds, and when it has to stop.

Everything that noise hangs on is known before the first round: the blocks, in which
order they are asked, and what each round adds up. So one multiplier is found for the
whole run, such that the block that is asked most ends at the wanted epsilon. A round
has one attempt; one that comes to nothing is lost, and paid for.

Covered: a coordinator that was killed between offer and sum (the round is repeated and
paid twice; at the end that many rounds are missing); blocks of different sizes.
Not covered: members who gave to other runs; each device counts those itself.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from proper_coordinator.ledger import Ledger
from proper_coordinator.plan import Privacy, cohorts
from proper_coordinator.store import Store
from proper_shared.errors import ConfigError, FormatError, ProperError
from proper_shared.offers import Noise
from proper_shared.packing import Layout
from proper_shared.privacy.budget import Budget
from proper_shared.privacy.calibration import Limit, Query, calibrate, price
from proper_shared.rounds import Order, Outline
from proper_shared.suggest import did_you_mean
from proper_shared.terms import Terms, kind_of, query_of
from proper_shared.vectors.clip import Blocks, blocks_of
from proper_shared.vectors.encoding import Encoding, ring_for
from proper_shared.vectors.fixed import fixed_bounds

if TYPE_CHECKING:
    from proper_shared.privacy.accounting import Spent

TRIES = 20  # at a multiplier that agrees with the grid that follows from it

Divided = Sequence[tuple[int, ...]]


class SpentError(ProperError):
    """A block has nothing left to pay the next round with; training ends."""


@dataclass(frozen=True)
class Asked:
    """What a run asks of the members of one block.

    Attributes:
        size: members of the block.
        sums: kinds of vectors, and how many attempts there are of each.
        layouts: of all kinds.
    """

    size: int
    sums: tuple[tuple[str, int], ...]
    layouts: Mapping[str, Layout] = field(compare=False, repr=False)

    @property
    def attempts(self) -> int:
        """How often the block is asked."""
        return sum(count for _, count in self.sums)

    def plan(self, multiplier: float) -> list[tuple[Query, int]]:
        """Return what is summed how often, on the grid that this noise has.

        Raises:
            FormatError: no ring holds so much noise.
        """
        return [
            (self._query(self.layouts[kind], multiplier), count)
            for kind, count in self.sums
        ]

    def _query(self, layout: Layout, multiplier: float) -> Query:
        """Return the query of a layout; bounds and rotation do not enter into it."""
        blocks = Blocks.of(layout, dict.fromkeys(blocks_of(layout), 1.0))
        ring = ring_for(self.size, blocks.size, multiplier)
        return query_of(Encoding(blocks, ring, self.size, bytes(32), multiplier))

    def within(self, limit: Limit, multiplier: float) -> bool:
        """Return whether all attempts together stay within a limit."""
        counts: Counter[Spent] = Counter()
        try:
            for query, count in self.plan(multiplier):
                counts[query.spent(multiplier)] += count
        except ConfigError:  # noise below two units of the grid
            return False
        return limit.holds(counts)


def asked_of(
    outline: Sequence[Outline], divided: Divided, seed: int
) -> tuple[Asked, ...]:
    """Return what a run asks of each block.

    Args:
        outline: of all parts, in their order.
        divided: the blocks.
        seed: of the choice of blocks.
    """
    counts: list[Counter[str]] = [Counter() for _ in divided]
    layouts: dict[str, Layout] = {}
    for number, part in enumerate(outline):
        dealt = islice(cohorts(divided, (seed, number)), len(part.layouts))
        for layout, cohort in zip(part.layouts, dealt, strict=False):
            kind = kind_of(layout)
            layouts[kind] = layout
            counts[divided.index(cohort)][kind] += 1
    return tuple(
        Asked(len(block), tuple(sorted(own.items())), layouts)
        for block, own in zip(divided, counts, strict=True)
    )


def multiplier_for(limit: Limit, asked: Sequence[Asked]) -> float:
    """Return the noise multiplier of a run, the least that keeps all blocks within.

    The grid follows from the noise, since a ring has to hold it, and how coarse noise
    is counted follows a little from the grid: so it is looked for until both agree.

    Raises:
        ConfigError: nobody is asked, or no noise or no ring is enough.
    """
    busiest = sorted(
        (own for own in dict.fromkeys(asked) if own.sums),
        key=lambda own: own.attempts,
        reverse=True,
    )
    grid = 1.0
    try:
        for _ in range(TRIES):
            found = 0.0
            for own in busiest:
                if not found or not own.within(limit, found):
                    found = max(found, calibrate(limit, own.plan(grid)))
            if all(own.within(limit, found) for own in busiest):
                return found
            grid = max(found, grid * 1.01)
    except FormatError as error:
        raise ConfigError(
            f"epsilon {limit.epsilon:g} asks for more noise than a sum holds: {error}",
            hint="a larger epsilon, fewer rounds or fewer parameters",
        ) from None
    raise ConfigError(f"no grid goes with the noise of epsilon {limit.epsilon:g}")


@dataclass(frozen=True)
class Purse:
    """Pays for the rounds of one run.

    Attributes:
        wanted: what the run may cost.
        store: where it is written down what was paid.
        divided: the blocks.
    """

    wanted: Privacy
    store: Store
    divided: Divided

    @classmethod
    def of(
        cls,
        wanted: Privacy,
        store: Store,
        divided: Divided,
        outline: Sequence[Outline],
        seed: int,
    ) -> "Purse":
        """Return the purse of a run; the first time, find the noise and write it down.

        Raises:
            ConfigError: nothing is known of the parts, or no noise is enough.
        """
        if not outline:
            raise ConfigError("got noise for a run whose parts are not known before")
        known = {
            f"{part.stage}/{block}"
            for part in outline
            for layout in part.layouts
            for block in blocks_of(layout)
        }
        if odd := sorted(wanted.bounds.keys() - known):
            raise ConfigError(
                f"got a bound for {odd[0][:60]!r}, which no round adds up",
                hint=did_you_mean(odd[0], sorted(known)),
            )

        def begin() -> Ledger:
            asked = asked_of(outline, divided, seed)
            return Ledger(
                multiplier=multiplier_for(wanted.limit, asked),
                participations=max(own.attempts for own in asked),
                spent=((),) * len(divided),
            )

        store.ledger(begin)
        return cls(wanted, store, divided)

    @property
    def ledger(self) -> Ledger:
        """What was paid so far."""
        found = self.store.ledger()
        if found is None:
            raise ConfigError("the run has no ledger")
        return found

    @property
    def noise(self) -> Noise:
        """What offers say of the noise."""
        ledger = self.ledger
        return Noise(
            multiplier=ledger.multiplier,
            delta=self.wanted.delta,
            participations=ledger.participations,
        )

    def bounds(self, order: Order, layout: Layout) -> dict[str, float]:
        """Return the bounds of a round: fixed, but for what the operator chose."""
        found = fixed_bounds(order.schedule.recipe, layout)
        chosen = self.wanted.bounds
        return {
            block: chosen.get(f"{order.stage}/{block}", bound)
            for block, bound in found.items()
        }

    def pay(self, cohort: tuple[int, ...], terms: Terms) -> None:
        """Charge an attempt to its block; it is on the disk afterwards.

        Raises:
            SpentError: the block cannot afford it; nothing is charged.
        """
        ledger, block = self.ledger, self.divided.index(cohort)
        spent = terms.query.spent(ledger.multiplier)
        if not self.wanted.limit.holds(ledger.counts(block) + Counter([spent])):
            raise SpentError(
                f"{terms.order.stage} {terms.order.round + 1} would cost more than "
                f"epsilon {self.wanted.epsilon:g}: {self.standing()}"
            )
        stage = terms.order.stage
        bounds = {f"{stage}/{name}": b for name, b in terms.offer.bounds.items()}
        self.store.keep_ledger(ledger.after(block, spent, bounds))

    def opening(self, outline: Sequence[Outline]) -> list[str]:
        """Return lines on what the noise costs, for the operator."""
        ledger, wanted = self.ledger, self.wanted
        n = min(map(len, self.divided))
        wish = f"epsilon {wanted.epsilon:g} at delta {wanted.delta:.0e}"
        often = f"{ledger.participations} attempts of a member at most"
        loud = ", ".join(
            f"{part.stage} {loudness(ledger.multiplier, n, part):.2g}"
            for part in outline
            if part.layouts
        )
        where = f"noise over signal in one round of a block of {n}"
        return [
            f"{wish} for {often}: noise multiplier {ledger.multiplier:.3g}",
            f"{where}, if all want the same: {loud}",
        ]

    def standing(self) -> str:
        """Return in a few words how much is spent."""
        return self.ledger.standing(self.wanted.limit)

    def budget(self) -> Budget:
        """Return the record that a release of the run carries."""
        return self.ledger.budget(self.wanted.delta)


def loudness(multiplier: float, n: int, part: Outline) -> float:
    """Return how long noise is over the signal in the mean of a round of a part.

    All have vectors at their bounds and in one direction; otherwise it is more.

    Args:
        multiplier: z.
        n: members of the block.
        part: its largest vectors count.
    """
    size = max(layout.size for layout in part.layouts)
    return multiplier * price(n, n) * math.sqrt(size) / n
