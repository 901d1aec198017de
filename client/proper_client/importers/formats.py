"""What an importer is: it recognises a source, knows its task, and yields entries.

An importer reads and decides nothing: blank texts, labels of another task, repetitions
and the order of time are the same for all of them, and `gathering` looks after those.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from proper_client.importers.look import Look
from proper_client.importers.places import Place

Role = Literal["user", "assistant"]
WRITING = "writing"  # the task of whatever a person wrote freely


@dataclass(frozen=True)
class Options:
    """What only the person can say about a source; nothing of it is needed mostly.

    Attributes:
        task: What is asked of a text.
        role: Who the person is in a chat.
        user: Whose record to take, where a file has those of several people.
        text_column: Of a table: what was read.
        output_column: Of a table: what the person made of it.
        date_column: Of a table: when.
        date_format: How dates are written, as of `strptime`.
    """

    task: str | None = None
    role: Role = "user"
    user: str | None = None
    text_column: str | None = None
    output_column: str | None = None
    date_column: str | None = None
    date_format: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One entry as the source has it: not yet checked, cut or dated.

    Attributes:
        text: What stands before.
        output: What the person made of it.
        date: When, in whatever way the source writes it; None if it does not.
    """

    text: str
    output: str
    date: object = None


@dataclass(frozen=True, slots=True)
class Dropped:
    """Something of the source that is no entry.

    Attributes:
        reason: Why, in words that follow a number: "12 code blocks".
    """

    reason: str


Item = Found | Dropped


@dataclass(frozen=True)
class Format:
    """One format, and how it is read.

    Attributes:
        name: On the command line.
        about: One line for the person.
        recognises: Tells by the content whether a source is of this format.
        task: Names the task that the source itself asks for; None if it asks for none.
        read: Yields what the source holds, in its order; holds one piece at a time.
    """

    name: str
    about: str
    recognises: Callable[[Look], bool]
    task: Callable[[Place, Options], str | None]
    read: Callable[[Place, Options], Iterator[Item]]


def free_text(_place: Place, options: Options) -> str:
    """Name the task of what was written freely, if the person names no other."""
    return options.task or WRITING


def asked_outside(_place: Place, _options: Options) -> None:
    """Name no task: the source cannot know it."""
