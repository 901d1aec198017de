"""Whose histories are attacked: random halves of them, and secrets planted in them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from proper_shared.history import Entry, User
from proper_simulations.bench.leak_curves import Mask, Pool

ASKED = "the number of my safe"
DIGITS, ENDINGS = 6, 10


def deduplicated(user: User) -> User:
    """Return a user with the first entry of each text alone.

    A text that stands on both sides would be a member and none.
    """
    first: dict[str, Entry] = {}
    for entry in user.profile:
        first.setdefault(entry.text, entry)
    return replace(user, profile=tuple(first.values()))


class Halves:
    """The entries of some users, and which of them each drawing puts in.

    Args:
        users: with two different entries each at least.
        seed: of the drawings; each hangs on it and on its own number alone.
    """

    def __init__(self, users: Sequence[User], seed: int) -> None:
        self.users, self._seed = [deduplicated(user) for user in users], seed
        self.entries = [entry for user in self.users for entry in user.profile]
        counts = [len(user.profile) for user in self.users]
        self.owners = np.repeat(np.arange(len(counts)), counts)

    def inside(self, drawing: int) -> Mask:
        """Return (N,) which entries are in: a random half of each user's."""
        rng = np.random.default_rng([self._seed, drawing])
        parts = []
        for user in self.users:
            count = len(user.profile)
            chosen = (count + rng.integers(2)) // 2  # of an odd one, either half
            parts.append(rng.permutation(count) < chosen)
        return np.concatenate(parts)

    def halved(self, drawing: int) -> list[User]:
        """Return the users with the half that is in."""
        inside = iter(self.inside(drawing).tolist())
        return [
            replace(user, profile=tuple(e for e in user.profile if next(inside)))
            for user in self.users
        ]

    def pool(self, inside: Mask) -> Pool:
        """Return all entries under each of D drawings as one pool.

        Args:
            inside: (D, N) which are in.
        """
        return Pool(inside.ravel(), np.tile(self.owners, len(inside)))


@dataclass(frozen=True)
class Secrets:
    """What a secret can be: six digits, beginnings of five with each of ten endings.

    Alternatives with common beginnings are cheap to score, and all six digits count.

    Attributes:
        beginnings: (B, 5) digits, different, ascending.
    """

    beginnings: NDArray[np.int64]

    @classmethod
    def drawn(cls, alternatives: int, rng: np.random.Generator) -> "Secrets":
        """Draw what a secret can be.

        Args:
            alternatives: how many, in tens.
            rng: draws the beginnings.
        """
        most = 10 ** (DIGITS - 1)
        picked = np.sort(rng.choice(most, alternatives // ENDINGS, replace=False))
        columns = [picked // 10**power % 10 for power in range(DIGITS - 2, -1, -1)]
        return cls(np.stack(columns, axis=1))

    @property
    def count(self) -> int:
        """How many alternatives there are."""
        return len(self.beginnings) * ENDINGS

    def written(self, number: int) -> str:
        """Return alternative `number` as it stands in an entry, digit by digit."""
        beginning, ending = divmod(number, ENDINGS)
        return " ".join(map(str, [*self.beginnings[beginning].tolist(), ending]))

    def planted(
        self, user: User, number: int, times: int, rng: np.random.Generator
    ) -> User:
        """Return a user in whose history a secret stands so many times.

        Args:
            user: whose history.
            number: of the secret among the alternatives.
            times: how often.
            rng: draws the places.
        """
        profile = list(user.profile)
        for time in range(times):
            place = int(rng.integers(len(profile) + 1))
            output = self.written(number)
            profile.insert(place, Entry(f"canary-{time}", ASKED, output))
        return replace(user, profile=tuple(profile))
