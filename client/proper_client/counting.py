"""How many of what, as people say it: `1 entry`, `1,234 entries`."""


def counted(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun.

    Args:
        number: how many.
        one: the noun of a single one.
        many: of any other number; with an `s` if None.
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
