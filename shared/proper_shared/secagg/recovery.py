"""The coordinator's way from shares to secrets, when some holders lie.

A secret is known to be right by something outside: its public key or commitment. So a
wrong share can hide a secret, never replace one. Wrong shares are found by decoding, up
to half of what is there beyond the threshold, and named, even where they did no harm.

Not covered: whose fault it is. A share that does not fit was forged by its holder, or
dealt so by the owner of the secret.
"""

from collections.abc import Callable, Mapping

from proper_shared.errors import ProtocolError
from proper_shared.secagg import shamir
from proper_shared.secagg.binding import Label, digest, two_bytes


class UnrecoverableError(ProtocolError):
    """A secret does not come together.

    Args:
        owner: place of the member whose secret it is.
        message: what is missing.
    """

    def __init__(self, owner: int, message: str) -> None:
        super().__init__(message)
        self.owner = owner


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
            UnrecoverableError: too few shares, or too many wrong ones.
        """
        shares = {u: row[owner] for u, row in self._rows.items() if owner in row}
        if len(shares) < self._threshold:
            raise UnrecoverableError(
                owner,
                f"got {len(shares)} shares of its secret, expected {self._threshold}",
            )
        trusted = sorted(shares, key=lambda u: u in self.liars)[: self._threshold]
        weights = self._weighing(tuple(trusted))
        secret = shamir.combine(weights, (shares[u] for u in trusted))
        return secret if is_right(secret) else self._decoded(owner, shares, is_right)

    def _decoded(
        self, owner: int, shares: Mapping[int, int], is_right: Callable[[int], bool]
    ) -> int:
        """Return a secret in spite of wrong shares, and name their holders."""
        try:
            found = self._decode(shares)
        except ProtocolError as error:
            raise UnrecoverableError(owner, str(error)) from None
        secret = shamir.evaluate(found, 0)
        if not is_right(secret):
            raise UnrecoverableError(owner, "got shares of another secret than its own")
        self._name(found, shares)
        return secret

    def _decode(self, shares: Mapping[int, int]) -> shamir.Polynomial:
        points = {u + 1: share for u, share in shares.items()}
        return shamir.decode(points, self._threshold)

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
        root = digest(Label.AUDIT, *said)
        chances = {
            owner: int.from_bytes(
                digest(Label.AUDIT, root, two_bytes(owner))[:16], "big"
            )
            for owner in next(iter(rows.values()))
        }
        mixed = {
            u: sum(chances[owner] * share for owner, share in row.items())
            % shamir.ORDER
            for u, row in rows.items()
        }
        try:
            found = self._decode(mixed)
        except ProtocolError:
            return  # each secret is looked at by itself, and says so if it is hopeless
        self._name(found, mixed)

    def _name(self, found: shamir.Polynomial, shares: Mapping[int, int]) -> None:
        self.liars |= {
            u for u, share in shares.items() if shamir.evaluate(found, u + 1) != share
        }
