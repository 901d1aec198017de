"""How every command ends: one line of error, one of hint, and a code.

| end | code |
|---|---|
| done | 0 |
| a fault of ours | 1 |
| something that the person can put right | 2 |
| Ctrl-C | 130, as shells have it (128 + SIGINT) |

What is shown may quote a file from elsewhere, so characters that would steer the
terminal are spelt out (`plain`).
"""

import sys
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

from proper_shared.errors import ProperError

OUR_FAULT, THEIR_FAULT, INTERRUPTED = 1, 2, 130
EXTRAS = {  # library -> the extra of pyproject.toml that brings it
    "bitsandbytes": "quant",
    "flwr": "federated",
    "grpc": "serve",
    "httpx": "federated",
    "ray": "simulation",
    "sklearn": "simulation",
    "uvicorn": "federated",
}
_LEFT = "\n\u200c\u200d"

Command = Callable[..., None]


def friendly(interrupted: str) -> Callable[[Command], Command]:
    """Make a command explain its end; a traceback is shown only with `debug`.

    Args:
        interrupted: What Ctrl-C leaves behind, and how to go on.

    Returns:
        A decorator. The command that it makes takes one option more, `debug`, and ends
        the process by SystemExit with one of the codes above.
    """

    def decorate(command: Command) -> Command:
        @wraps(command)
        def run(*, debug: bool = False, **options: Any) -> None:  # noqa: ANN401
            try:
                command(**options)
            except ProperError as error:
                _end(THEIR_FAULT, str(error), error.hint, debug=debug)
            except BrokenPipeError:
                raise  # who reads us had enough; click knows how to end then
            except OSError as error:
                reason = str(error.strerror or error).lower()
                what = f"{error.filename}: {reason}" if error.filename else reason
                hint = "check the path, its permissions and the space on the disk"
                _end(THEIR_FAULT, what, hint, debug=debug)
            except MemoryError:
                hint = "close other programs, or take a smaller backbone or history"
                _end(THEIR_FAULT, "there is not enough memory", hint, debug=debug)
            except ModuleNotFoundError as error:
                _end(*_missing(error), debug=debug)
            except KeyboardInterrupt:
                _end(INTERRUPTED, "interrupted", interrupted, debug=debug)
            except Exception as error:  # noqa: BLE001 - the last place to explain it
                fault = f"a fault in the program: {type(error).__name__}: {error}"
                hint = "repeat it with --debug and report what it shows"
                _end(OUR_FAULT, fault, hint, debug=debug)

        return run

    return decorate


def _missing(error: ModuleNotFoundError) -> tuple[int, str, str]:
    """Return code, message and hint for a library that is not there."""
    name = (error.name or "").partition(".")[0]
    if name not in EXTRAS:
        fault = f"a fault in the program: {name or error} is missing"
        return OUR_FAULT, fault, "install the program anew"
    hint = f"install the program with its extra, as in: pip install '.[{EXTRAS[name]}]'"
    return THEIR_FAULT, f"{name} is not installed", hint


def plain(text: str) -> str:
    """Spell out the characters that steer a terminal or cannot be seen; lines stay.

    The joiners within emoji and Persian words are left as they are.
    """
    return "".join(map(_seen, text))


def one_line(text: str) -> str:
    """Spell out line breaks too: a line within would pass for one of ours."""
    return plain(text).replace("\n", "\\n")


def _seen(character: str) -> str:
    if character.isprintable() or character in _LEFT:
        return character
    return character.encode("unicode_escape").decode()


def _end(code: int, message: str, hint: str | None, *, debug: bool) -> None:
    if debug:
        sys.stderr.write(plain(traceback.format_exc()))
    lines = [f"error: {message}", *([f"hint: {hint}"] if hint else [])]
    sys.stderr.write("\n".join(map(one_line, lines)) + "\n")
    sys.exit(code)
