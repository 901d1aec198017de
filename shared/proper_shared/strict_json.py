"""Read JSON from elsewhere, and accept only what every reader understands alike.

Covered: bytes that are no UTF-8, a name twice in one object, NaN and infinity, numbers
and nesting beyond what Python takes, anything but an object at the top.
Not covered: what the object says (that is for its own model), or how long it is (the
caller looks at the length before it reads).
"""

import json
from typing import Never

from proper_shared.errors import FormatError


def strict_decoder() -> json.JSONDecoder:
    """Return a decoder; what is not strict ends in ValueError or RecursionError."""
    return json.JSONDecoder(
        object_pairs_hook=_without_repeats, parse_constant=_refuse_constant
    )


def parse_object(data: bytes, what: str) -> dict[str, object]:
    """Return the one JSON object in `data`; `what` names the source in errors.

    Raises:
        FormatError: `data` is not exactly one JSON object in strict form.
    """
    try:
        value = strict_decoder().decode(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{what} is not strict JSON: {error}") from None
    if not isinstance(value, dict):
        kind = type(value).__name__
        raise FormatError(f"{what} holds a {kind}, expected a JSON object")
    return value


def _without_repeats(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """Refuse a name that stands twice: two readers could take different values."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return value


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"got the number {name}, expected a finite one")
