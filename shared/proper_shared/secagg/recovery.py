"""The coordinator's way from shares to secrets, when some holders lie.

A secret is known to be right by something outside: its public key or commitment. So a
wrong share can hide a secret, never replace one. Wrong shares are found by decoding, up
to half of what is there beyond the threshold, and named, even where they did no harm.

Not covered: whose fault it is. A share that does not fit was forged by its holder, or
dealt so by the owner of the secret.
"""

import hashlib
from collections.abc import Callable, Mapping

from proper_shared.errors import ProtocolError
from proper_shared.secagg import shamir
from proper_shared.secagg.binding import Label, framed

Rows = dict[int, dict[int, int]]  # holder -> owner of the secret -> share


class Recovery:
    """Shares of many secrets, in the hands of the same holders.

    Args:
        rows: for each holder the shares that it opened.
        owners: whose secrets they are.
        threshold: t, shares that give a secret back.

    Attributes:
        liars: holders whose shares do not fit the others', ascending.
    """

    def __init__(
        self, rows: Mapping[int, Mapping[int, int]], owners: int, threshold: int
    ) -> None:
        self._rows, self._threshold = rows, threshold
        self._weights: dict[tuple[int, ...], list[int]] = {}
        self.liars: set[int] = set()
        self._audit({u: row for u, row in rows.items() if len(row) == owners})

    def secret(self, owner: int, is_right: Callable[[int], bool]) -> int:
        """Return a secret.

        Args:
            owner: whose.
            is_right: says whether a number is the secret.

        Raises:
            ProtocolError: too few shares, or too many wrong ones.
        """
        shares = {
            u: row[owner]
            for u, row in self._rows.items()
            if owner in row and u not in self.liars
        }
        if len(shares) < self._threshold:
            raise ProtocolError(
                f"got {len(shares)} shares of a secret, expected {self._threshold}"
            )
        used = tuple(shares)[: self._threshold]
        secret = shamir.combine(self._weighing(used), (shares[u] for u in used))
        if is_right(secret):
            return secret
        found = shamir.decode(
            {u + 1: share for u, share in shares.items()}, self._threshold
        )
        self._name(found, shares)
        secret = shamir.evaluate(found, 0)
        if not is_right(secret):
            raise ProtocolError("got shares of another secret than was committed to")
        return secret

    def _weighing(self, places: tuple[int, ...]) -> list[int]:
        if places not in self._weights:
            self._weights[places] = shamir.weights([place + 1 for place in places])
        return self._weights[places]

    def _audit(self, rows: Mapping[int, Mapping[int, int]]) -> None:
        """Name who lied about any secret, by one random combination of all secrets.

        The coefficients are a hash of all shares, so nobody can choose shares that
        cancel in it: one wrong share passes with a chance of 2^-128.
        """
        if len(rows) < self._threshold:
            return
        said = (
            share.to_bytes(shamir.NBYTES, "big")
            for row in rows.values()
            for share in row.values()
        )
        root = hashlib.sha256(framed(Label.AUDIT, b"".join(said)))
        mixed = {u: self._mix(root.digest(), row) for u, row in rows.items()}
        try:
            found = shamir.decode({u + 1: z for u, z in mixed.items()}, self._threshold)
        except ProtocolError:
            return  # each secret is looked at by itself, and says so if it is hopeless
        self._name(found, mixed)

    @staticmethod
    def _mix(root: bytes, row: Mapping[int, int]) -> int:
        total = 0
        for owner, share in row.items():
            chance = hashlib.sha256(root + owner.to_bytes(2, "big")).digest()[:16]
            total += int.from_bytes(chance, "big") * share
        return total % shamir.ORDER

    def _name(self, found: shamir.Polynomial, shares: Mapping[int, int]) -> None:
        self.liars |= {
            u for u, share in shares.items() if shamir.evaluate(found, u + 1) != share
        }
