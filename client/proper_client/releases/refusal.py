"""Why a release is not taken."""

from proper_shared.errors import FormatError

KEPT = "nothing was changed: the release that you had is still in use"


class Refused(FormatError):  # noqa: N818, the word of the checks
    """A release is not taken, and the one before is still in use.

    Args:
        name: which check failed, in one or two words with hyphens.
        message: what was got, what was expected.
        hint: what the person can do.
    """

    def __init__(self, name: str, message: str, *, hint: str = KEPT) -> None:
        super().__init__(f"{name}: {message}", hint=hint)
        self.name = name
