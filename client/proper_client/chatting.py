"""A conversation at a terminal, or through pipes: lines in, answers out.

At a terminal there is a prompt, answers come token by token, Ctrl-C breaks an answer
off and leaves where none is being given. In a pipe the answers alone are written, on
lines of their own, and what else there is to say goes to standard error; Ctrl-C ends
it.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TextIO

from proper_client.conversation import Conversation, usual_turns
from proper_client.speaking import Speaker, Voice
from proper_shared.friendly import plain

PROMPT = "> "
HELP = """\
/new            forget what was said
/strength 0.7   answer from between the levels: 0 population, 0.5 group, 1 you
/quit           leave; so does Ctrl-D, or Ctrl-C where no answer is being given"""


class Chat:
    """Answers lines until there are none.

    Args:
        speaker: Who answers.
        lines: What is said.
        out: Where the answers go.
        notes: Where all else goes.
        asks: Somebody sits there: prompts are shown, and Ctrl-C breaks off an answer.
        turns: Earlier exchanges that are read, at most; None for what is usual.
    """

    def __init__(  # noqa: PLR0913 - where from, where to, and how
        self,
        speaker: Speaker,
        lines: TextIO,
        out: TextIO,
        notes: TextIO,
        *,
        asks: bool,
        turns: int | None = None,
    ) -> None:
        self.speaker, self.lines, self.out, self.notes = speaker, lines, out, notes
        self.asks, self.turns, self._open = asks, turns, ExitStack()
        self._talk: Conversation | None = None

    def run(self, voice: Voice) -> None:
        """Answer until /quit, the end of the lines, or Ctrl-C at the prompt.

        Args:
            voice: Who answers until somebody says /strength.
        """
        with self._open:
            self._become(voice)
            for line in self._said():
                if line == "/quit":
                    return
                if not self._command(line):
                    self._answered(line)

    def _said(self) -> Iterator[str]:
        """Yield lines until the end; an empty one is nothing to answer."""
        while True:
            try:
                line = self._line()
            except KeyboardInterrupt:
                if not self.asks:
                    raise
                line = None
            if line is None:
                if self.asks:
                    self._write("\n")
                return
            if line.strip():
                yield _sound(line.strip())
            elif not self.asks:
                self._write("\n")  # line n of the answers is still about line n

    def _line(self) -> str | None:
        """Return the next line, or None at the end."""
        if self.asks and self.lines is sys.stdin:
            try:
                return input(PROMPT)
            except EOFError:
                return None
        if self.asks:
            self._write(PROMPT)
        return self.lines.readline() or None

    def _become(self, voice: Voice) -> None:
        """Let somebody else answer; with them the conversation begins anew."""
        self._open.close()
        self.speaker.speak_as(voice)
        self._talk = None
        if self.speaker.opened.encoder.task.kind == "text":
            self._talk = self._open.enter_context(self.speaker.conversation(self.turns))

    def _command(self, line: str) -> bool:
        """Do what a line commands, if it is a command."""
        word, _, rest = line.partition(" ")
        if line == "/help":
            self._note(HELP)
        elif line == "/new":
            if self._talk is not None:
                self._talk.forget()
            self._note("begun anew")
        elif word == "/strength":
            self._turn(rest)
        else:
            return False
        return True

    def _turn(self, said: str) -> None:
        try:
            voice = Voice(strength=float(said))
        except ValueError:  # ours are ValueErrors too
            self._note(f"got the strength {said[:20]!r}, expected 0 to 1")
            return
        self._become(voice)
        self._note(f"strength {voice.strength:g}")

    def _answered(self, line: str) -> None:
        try:
            for piece in self._pieces(line):
                self._write(plain(piece))
        except KeyboardInterrupt:
            if not self.asks:
                raise
            self._write(" [broken off]")
        self._write("\n")

    def _pieces(self, line: str) -> Iterator[str]:
        if self._talk is None:
            yield self.speaker.label(line)
            return
        pieces = self._talk.ask(line)
        for note in self._talk.cut:
            self._note(f"[{note}]")
        yield from pieces

    def _note(self, text: str) -> None:
        self.notes.write(plain(text) + "\n")
        self.notes.flush()

    def _write(self, text: str) -> None:
        self.out.write(text)
        self.out.flush()


def chat(speaker: Speaker, voice: Voice, turns: int | None = None) -> None:
    """Answer what comes through standard input, until its end.

    Args:
        speaker: Who answers.
        voice: At which level or strength.
        turns: Earlier exchanges that are read, at most; None for what is usual.
    """
    asks = sys.stdin.isatty() and sys.stdout.isatty()
    own = Chat(speaker, sys.stdin, sys.stdout, sys.stderr, asks=asks, turns=turns)
    if asks:
        sys.stdout.write(plain(greeting(speaker, voice, turns)) + "\n")
    own.run(voice)


def greeting(speaker: Speaker, voice: Voice, turns: int | None = None) -> str:
    """Return who answers here, and how."""
    about, task = speaker.about, speaker.opened.encoder.task
    if voice.strength is None:
        who = f"the {voice.level or about.level} level"
    else:
        who = f"strength {voice.strength:g}"
    reads = usual_turns(task) if turns is None else turns
    how = "each line alone"
    if task.kind != "text":
        how = f"each line by one of {len(task.labels)} labels"
    elif reads:
        how = "with what was said before"
    return f"{about.task}: {who} answers {how}. /help says more, Ctrl-D leaves."


def _sound(text: str) -> str:
    """Return a text that a tokenizer can read: halves of characters are none."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
