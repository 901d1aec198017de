"""All phases of one sum, with the members of a block.

Covered: members that drop out in any phase, whatever the reason, which is kept; answers
that are longer than any that such a sum needs.
Not covered: what the answers say (see `proper_shared.summing`).
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from proper_coordinator.line import Line, Node, letter, sort_replies
from proper_coordinator.plan import Plan
from proper_shared.aggregation import Collector, Sum
from proper_shared.errors import ProtocolError
from proper_shared.secagg.keys import Suite
from proper_shared.summing import collect
from proper_shared.terms import Terms

# Most of an answer: what is said of each member, and of each number with its padding.
MEMBER_NBYTES, NUMBER_NBYTES = 2**12, 16

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Conversation:
    """Talks to the members of a block about one sum.

    Attributes:
        line: To the nodes.
        plan: How long to wait.
        members: The block, by seat.
        dropped: Who is not in the sum, and why; it is filled in.
    """

    line: Line
    plan: Plan
    members: Mapping[int, Node]
    dropped: dict[int, str]

    def run(self, terms: Terms, suite: Suite) -> Sum:
        """Go through all phases of a collector; return its sum.

        Raises:
            ProtocolError: there is no sum.
        """
        identities = {seat: node.identity for seat, node in self.members.items()}
        collector = collect(terms, identities, suite)
        failed = self._phases(terms, collector)
        return self._outcome(collector.result, failed)

    def _phases(self, terms: Terms, collector: Collector) -> dict[int, str]:
        """Ask until there is nothing to ask; return who did not answer, and why."""
        most = MEMBER_NBYTES * len(self.members) + NUMBER_NBYTES * terms.layout.size
        deadline = time.monotonic() + self.plan.round_timeout_s
        first, failed = True, dict[int, str]()
        while requests := collector.requests():
            order = terms.order if first else None
            letters = {
                number: letter(terms.offer, request, order)
                for seat, request in requests.items()
                if (number := self.members[seat].number) is not None
            }
            replies = self.line.ask("train", letters, deadline, most)
            asked = {seat: self.members[seat] for seat in requests}
            answers, missing = sort_replies(replies, asked)
            failed = {**missing, **failed}
            collector.receive(answers)
            first, deadline = False, time.monotonic() + self.plan.phase_timeout_s
        return failed

    def _outcome(self, result: Callable[[], Sum], failed: Mapping[int, str]) -> Sum:
        """Return the sum, or say what the first node said.

        Raises:
            ProtocolError: there is no sum.
        """
        try:
            outcome = result()
        except ProtocolError as error:
            self.dropped.update(failed)
            reason = next(iter(failed.values()), "no reason was given")
            raise ProtocolError(f"{error}; the first: {reason}") from error
        for seat, reason in {**outcome.refused, **failed}.items():
            if seat in outcome.seats:
                _log.info("seat %d left after its vector was added: %s", seat, reason)
            else:
                self.dropped[seat] = reason
        return outcome
