"""Read a JSON file that somebody else wrote, and say what is wrong with it."""

import json
from pathlib import Path
from typing import Any

from proper_shared.errors import DataError

MAX_CHARACTERS = 100_000  # of one text; no task reads more than 600 of them
FORMAT_HINT = "see docs/history.md for the format and an example"


def read_json(path: Path, *, max_bytes: int | None = None) -> Any:  # noqa: ANN401
    """Return the content of a UTF-8 JSON file (a byte order mark is allowed).

    Args:
        path: A regular file.
        max_bytes: Refuse larger files before reading them.

    Raises:
        DataError: No such file, not a file, too large, not UTF-8, not JSON, or JSON
            with the same key twice in one object, which readers understand
            differently.
    """
    text = _read_text(path, max_bytes)
    if not text.strip():
        raise DataError(
            f"{path.name} is empty, expected JSON",
            hint=FORMAT_HINT,
        )
    try:
        return json.loads(text, object_pairs_hook=_unique_keys)
    except _TwiceError as error:
        raise DataError(
            f"{path.name} has the key {error.args[0]!r} twice in one object",
            hint="keep one of the two",
        ) from None
    except json.JSONDecodeError as error:
        raise DataError(
            f"{path.name} is not JSON: {error.msg.lower()} at line {error.lineno}, "
            f"column {error.colno}",
            hint="see docs/history.md for the format; a missing comma or quote is "
            "the usual cause",
        ) from None
    except (ValueError, RecursionError):  # numbers of 4,300 digits, 1,000 brackets
        raise DataError(
            f"{path.name} has a number or a nesting beyond all measure",
            hint=FORMAT_HINT,
        ) from None


def text_field(raw: Any, key: str, where: str) -> str:  # noqa: ANN401
    """Return the text of one field without surrounding white space.

    Args:
        raw: What the file holds there; None where it holds nothing.
        key: Name of the field.
        where: What to call the place in a message.

    Raises:
        DataError: No text, blank, no string, more than `MAX_CHARACTERS`, or with a
            lone surrogate, which no tokenizer can read.
    """
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        raise DataError(
            f"{where} has no {key}", hint=f"put its {key} in, or take the entry out"
        )
    if not isinstance(raw, str):
        raise DataError(
            f"{where} has {kind_of(raw)} as {key}, expected a string", hint=FORMAT_HINT
        )
    if len(raw) > MAX_CHARACTERS:
        raise DataError(
            f"{where} has {len(raw):,} characters of {key}, "
            f"expected at most {MAX_CHARACTERS:,}",
            hint="split it into several entries, or shorten it",
        )
    if any("\ud800" <= character <= "\udfff" for character in raw):
        raise DataError(
            f"{where} has half a character (a lone surrogate) in its {key}",
            hint="the export cut an emoji in two: mend the entry or take it out",
        )
    return raw.strip()


def kind_of(raw: Any) -> str:  # noqa: ANN401
    """Say in words what a JSON value is."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false"}
    if raw is None:
        return "nothing"
    return names.get(type(raw), "a number")


def _read_text(path: Path, max_bytes: int | None) -> str:
    if not path.exists():
        raise DataError(f"there is no file {path}", hint="check the path")
    if not path.is_file():  # a folder, a pipe or a device, which may never end
        raise DataError(f"{path} is not a file", hint="give the path of a JSON file")
    if max_bytes is not None and path.stat().st_size > max_bytes:
        raise DataError(
            f"{path.name} has {path.stat().st_size:,} bytes, "
            f"expected at most {max_bytes:,}",
            hint="keep the newest entries; a few thousand are plenty",
        )
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path.name} is not UTF-8 (byte {error.start})",
            hint="save it again with the encoding UTF-8",
        ) from None
    except OSError as error:
        raise DataError(
            f"{path.name} cannot be read: {error.strerror}",
            hint="check its permissions",
        ) from None


class _TwiceError(Exception):
    """A key that stands twice in one object."""


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwiceError(next(name for name in names if names.count(name) > 1))
    return found
