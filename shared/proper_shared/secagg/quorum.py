"""How many of a cohort have to agree, and how many of them may cheat.

Q = n - floor(n/3) members make a quorum, so two quorums share 2Q - n members at least.
While fewer than that collude, one honest member stands in both; it signs once, hence
two views of a round can never both reach a quorum. That is certain, not probable.

n counts who was *asked*, as the plan names them, not who came: a coordinator that
keeps members away does not lower what it needs of the others.
"""

from dataclasses import dataclass

from proper_shared.errors import ProtocolError

SMALLEST, LARGEST = 3, 1000


def quorum(cohort_size: int) -> int:
    """Return Q, how many must answer or there is no sum."""
    return cohort_size - cohort_size // 3


def honest(cohort_size: int) -> int:
    """Return m_h, the honest vectors in any sum if less than a third collude.

    A sum holds Q vectors at least, and less than 2Q - n of them are accomplices'.
    """
    return cohort_size // 3 + 1


@dataclass(frozen=True)
class Quorum:
    """The numbers that follow from the size of a cohort.

    Attributes:
        cohort_size: n, members that were asked, 3 to 1000.

    Raises:
        ProtocolError: of any other size.
    """

    cohort_size: int

    def __post_init__(self) -> None:
        if not SMALLEST <= self.cohort_size <= LARGEST:
            raise ProtocolError(
                f"got a cohort of {self.cohort_size}, expected 3 to 1000 members"
            )

    @property
    def lost(self) -> int:
        """Members that may go silent, over all phases together."""
        return self.cohort_size // 3

    @property
    def size(self) -> int:
        """Q, members without whom nothing goes on."""
        return quorum(self.cohort_size)

    @property
    def colluders(self) -> int:
        """Most members, inventions included, that may side with the coordinator."""
        return 2 * self.size - self.cohort_size - 1

    @property
    def threshold(self) -> int:
        """t, shares that give a secret back: more than `colluders`, at most Q."""
        return (self.cohort_size + 1) // 2

    @property
    def honest(self) -> int:
        """Honest members whose updates stand in a sum at least."""
        return honest(self.cohort_size)

    @property
    def arithmetic_only(self) -> bool:
        """Whether one accomplice is too many: the sum is right, privacy not claimed."""
        return self.colluders < 1
