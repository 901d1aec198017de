"""What a look at one thing comes to: fine, to be minded, or wrong; and what to do."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from proper_shared.errors import ProperError

State = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True)
class Finding:
    """What was seen.

    Attributes:
        state: ok, warning (it works, and should be minded), or wrong.
        words: what was seen, in one line.
        hint: what the person can do about it.
    """

    state: State
    words: str
    hint: str | None = None


Look = Callable[[], Iterator[Finding]]


def ok(words: str) -> Finding:
    """Say that something is as it should be."""
    return Finding("ok", words)


def warning(words: str, hint: str) -> Finding:
    """Say that something works, and should be minded."""
    return Finding("warning", words, hint)


def wrong(words: str, hint: str | None) -> Finding:
    """Say that something does not work, or not as it should."""
    return Finding("wrong", words, hint)


def looked(look: Look) -> list[Finding]:
    """Return what a look comes to; an error that it ends in is one finding more."""
    found = []
    try:
        for finding in look():
            found.append(finding)  # noqa: PERF402 - those before an error count too
    except ProperError as error:
        found.append(wrong(str(error), error.hint))
    except OSError as error:
        what = f"{error.filename or 'a file'}: {error.strerror or error}".lower()
        found.append(wrong(what, "check the path and its permissions"))
    return found
