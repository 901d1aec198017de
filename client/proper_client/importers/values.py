"""Read JSON values one by one, so that a file may be larger than the memory.

The values stand in one list, or one after the other (JSON Lines is the usual case).
Each is decoded by Python's own decoder in strict form: a reader that streams by events
was tried and left (docs/log.md: it changes half characters, takes the last of two equal
keys, and crashes on long numbers).

Covered: a key twice, NaN, numbers and nesting beyond all measure, a file that breaks
off, a value that is too long to be held.
Not covered: what a value says.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

from proper_shared.errors import DataError
from proper_shared.strict_json import strict_decoder

CHUNK = 2**20  # characters
MAX_VALUE = 2**24  # characters of one value, a long conversation has a tenth

_DECODER = strict_decoder()
_SPACE = re.compile(r"[ \t\r\n]*")


def values(stream: TextIO, name: str) -> Iterator[Any]:
    """Yield each value of the list in `stream`, or each that stands there.

    Args:
        stream: Decoded text.
        name: What to call it in messages.

    Raises:
        DataError: It is not strict JSON; the message has the line.
    """
    window = _Window(stream, name)
    if window.peek() != "[":
        while window.peek():
            yield window.value()
        return
    window.skip()
    between = window.peek()
    while between != "]":
        yield window.value()
        between = window.peek()
        if between not in (",", "]"):
            raise window.damaged("expected a comma or the end of the list")
        if between == ",":
            window.skip()
    window.skip()
    if window.peek():
        raise window.damaged("expected nothing after the end of the list")


class _Window:
    """The part of a text that is in memory, and a place in it."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self._text = ""
        self._at = 0
        self._line = 1
        self._ended = False

    def peek(self) -> str:
        """Return the next character that is no white space, "" at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            self._at = space.end() if space else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if self._ended:
                return ""
            self._read()

    def skip(self) -> None:
        """Go past one character."""
        self._at += 1

    def value(self) -> Any:  # noqa: ANN401
        """Decode the value that begins here, or after white space, and go past it."""
        self.peek()
        while True:
            try:
                found, self._at = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:  # or there is only more to come
                if self._ended:
                    raise self.damaged(error.msg.lower()) from None
            except ValueError as error:
                raise self.damaged(str(error).lower()) from None
            except RecursionError:
                raise self.damaged("a nesting beyond all measure") from None
            else:
                return found
            if len(self._text) - self._at > MAX_VALUE:
                raise self.damaged(f"no end of a value in {MAX_VALUE:,} characters")
            self._read()

    def damaged(self, reason: str) -> DataError:
        """Return the error for what stands here."""
        line = self._line + self._text.count("\n", 0, self._at)
        return DataError(
            f"{self._name} is not JSON from line {line} on: {reason[:80]}",
            hint="is the file cut off? export it again, or mend that line",
        )

    def _read(self) -> None:
        """Let go of what is behind, and read on: twice as much for a long value."""
        self._line += self._text.count("\n", 0, self._at)
        rest = self._text[self._at :]
        more = self._stream.read(max(CHUNK, len(rest)))
        self._text, self._at, self._ended = rest + more, 0, not more
