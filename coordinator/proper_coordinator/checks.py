"""Look at a sum, since nobody can look at its terms.

Covered: numbers that are not finite, or larger than honest clipping allows; a model
that fares badly on public texts after the sum was taken up.
Not covered: a client that lies within the bounds, a back door that public texts do not
show, and a wrap of the ring that happens to land inside.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from proper_shared.aggregation import Sum
from proper_shared.errors import ProtocolError
from proper_shared.rounds import FederatedPart, Stage
from proper_shared.secagg.collector import AGREED_BEFORE
from proper_shared.terms import Terms

SLACK = 1.05  # over the sum of the bounds, for rounding
BAND = 0.5  # nats a token: how much worse public texts may get over the best so far


def check_norms(terms: Terms, total: Sum) -> None:
    """Refuse a sum that no clipped vectors add up to.

    Raises:
        ProtocolError: a number is not finite, or a block is too long.
    """
    if not np.isfinite(total.total).all():
        raise ProtocolError("the sum holds NaN or infinity")
    norms = terms.blocks.norms(total.total) / total.count
    error = rounding_error(terms) / math.sqrt(total.count)
    for block, norm in zip(terms.blocks.blocks, norms, strict=True):
        most = SLACK * block.bound + error * block.bound / block.weight
        if norm > most:
            raise ProtocolError(
                f"the mean of {block.name} has norm {norm:.3g}, expected {most:.3g} "
                "at most from honest clients"
            )


def way_on(failed: str) -> str:
    """Return what an operator can do about rounds that failed for this reason."""
    if AGREED_BEFORE in failed:
        return (
            "bring back whoever dropped out, then the same command goes on from here; "
            "if one is gone for good, begin another run with another number of rounds"
        )
    return "see the log of drop-outs; the same command goes on from here"


def rounding_error(terms: Terms) -> float:
    """Return a bound on the norm of one vector's rounding error, in scaled units."""
    if not terms.offer.masked:
        return 0.0
    encoding = terms.encoding
    noise = encoding.noise_multiplier * encoding.sensitivity * encoding.step
    return (encoding.step + 6 * noise) * math.sqrt(encoding.length)


@dataclass
class Gauge:
    """Judges a part by texts that anybody may see.

    Attributes:
        measure: the loss of a part on those texts, nats a token; None where the stage
            has none.
        band: how much worse than the best of its stage a part may get.
        last: what `check` measured last; None where that was no finite number.
    """

    measure: Callable[[FederatedPart], float | None]
    band: float = BAND
    last: float | None = None
    _best: dict[str, float] = field(default_factory=dict)

    def best(self, stage: Stage) -> float | None:
        """Return the least loss of a stage so far, None where there is none."""
        return self._best.get(stage)

    def recall(self, stage: Stage, best: float | None) -> None:
        """Go on from the best of a run that was broken off."""
        if best is not None:
            self._best[stage] = best

    def begin(self, part: FederatedPart) -> None:
        """Look at a part before it moves, if it was not looked at before."""
        if part.stage not in self._best:
            loss = self.measure(part)
            if loss is not None and math.isfinite(loss):
                self._best[part.stage] = loss

    def check(self, part: FederatedPart) -> None:
        """Refuse a part that got worse than the band allows.

        Raises:
            ProtocolError: it did, or its loss is not finite.
        """
        loss = self.measure(part)
        self.last = loss if loss is not None and math.isfinite(loss) else None
        if loss is None:
            return
        if not self.holds(part.stage, loss):
            most = self._best.get(part.stage, math.inf) + self.band
            raise ProtocolError(
                f"public texts cost {loss:.3f} nats a token after the round, "
                f"expected {most:.3f} at most"
            )
        self._best[part.stage] = min(self._best.get(part.stage, loss), loss)

    def holds(self, stage: Stage, loss: float) -> bool:
        """Return whether a loss is within the band over the best of its stage."""
        return math.isfinite(loss) and loss <= self._best.get(stage, loss) + self.band
