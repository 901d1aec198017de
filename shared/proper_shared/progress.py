"""One line about a long task: how far, which loss, how fast, how long still.

On a terminal the line is written over itself; elsewhere (a file, a pipe) a new line
comes when a step begins or ends and now and then in between, so that a log stays short.
"""

import sys
import time
from collections.abc import Callable
from typing import TextIO

SECONDS_BETWEEN_LINES = 10.0
SECONDS_BETWEEN_PAINTINGS = 0.1


class Progress:
    """Writes the line; call it as often as you like.

    Args:
        stream: Where to; standard error if None, so that results can be piped.
        clock: Seconds that never run backwards.
        unit: What the parts are, where it is not a step's own (`kB`).
        of: What a step is, where more of them follow: "this part".
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
        unit: str = "",
        of: str = "",
    ) -> None:
        self._unit, self._of = unit, of
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._step, self._began, self._first = "", 0.0, 0
        self._shown = float("-inf")
        self._width = 0  # of the line that stands on the terminal, unfinished

    def __call__(
        self,
        step: str,
        done: int,
        total: int,
        loss: float | None = None,
        note: str = "",
    ) -> None:
        """Say that `done` of `total` parts of a step are done.

        Args:
            step: Name of the step; a new name starts a new line.
            done: Parts done, at least as many as in the call before.
            total: Parts in all.
            loss: In nats a token, where there is one.
            note: What else there is to say of it.
        """
        now = self._clock()
        is_new = step != self._step
        if is_new:
            self.close()
            self._step, self._began, self._first = step, now, done
        painted = self._stream.isatty()
        pause = SECONDS_BETWEEN_PAINTINGS if painted else SECONDS_BETWEEN_LINES
        if not is_new and done < total and now - self._shown < pause:
            return
        self._shown = now
        pace = self._pace(done, now)
        text = line(step, done, total, loss, pace, unit=self._unit, of=self._of)
        self._write("  ".join([text, note] if note else [text]), painted)
        if done >= total:
            self.close()

    def close(self) -> None:
        """End the line on a terminal, so that other output starts on its own."""
        if self._width:
            self._stream.write("\n")
            self._stream.flush()
        self._width, self._step = 0, ""

    def _pace(self, done: int, now: float) -> float | None:
        """Return parts a second since the step began; None as long as unknown."""
        parts, seconds = done - self._first, now - self._began
        return parts / seconds if parts > 0 and seconds > 0 else None

    def _write(self, text: str, painted: bool) -> None:  # noqa: FBT001 - ours alone
        if painted:
            self._stream.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            self._stream.write(text + "\n")
        self._stream.flush()


def line(  # noqa: PLR0913 - one for each thing that it says
    step: str,
    done: int,
    total: int,
    loss: float | None,
    pace: float | None,
    *,
    unit: str = "",
    of: str = "",
) -> str:
    """Return the line; `pace` in parts a second, `unit` and `of` as in `Progress`."""
    unit = unit and f" {unit}"
    words = [f"{step:<24} {done:>5}/{total}{unit}"]
    if loss is not None:
        words.append(f"loss {loss:.3f}")
    if pace is not None:
        words.append(f"{pace:.1f}{unit}/s" if pace >= 1 else f"{1 / pace:.1f} s each")
        if done < total:
            left = f"{duration((total - done) / pace)} left"
            words.append(f"{left} of {of}" if of else left)
    return "  ".join(words)


def duration(seconds: float) -> str:
    """Return a length of time as people say it: `8 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
