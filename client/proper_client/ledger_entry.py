"""What one line of the ledger says, and reading them all.

Covered: lines that are none, or that do not follow the line before them; each is shown
in its place and ends nothing.
Not covered: lines that are missing at the end.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from proper_client.vault import Vault
from proper_shared.errors import FormatError
from proper_shared.offers import Hex16, Hex32, Offer
from proper_shared.rounds import Order
from proper_shared.strict_json import parse_object

NAME = "ledger"
UNSENT = "unsent"  # a line that gives back one message
LONGEST_WORDS = 300
_NOTHING = "0" * 64  # stands before the first line


class Purpose(StrEnum):
    """Why something leaves the device, or does not."""

    HELLO = "hello"
    FAREWELL = "farewell"
    HEARTBEAT = "heartbeat"
    POLL = "poll"  # is there anything for me?
    PULL = "pull"  # give me that object
    RECEIPT = "receipt"  # I have it
    ANNOUNCEMENT = "announcement"  # what a reply is made of
    QUERY = "query"
    JOIN = "join"
    SHARE = "share"
    MASKED_UPDATE = "masked update"
    UPDATE = "update"  # in clear
    AGREE = "agree"
    OPEN = "open"
    ERROR = "error"  # told to the coordinator
    REFUSAL = "refusal"  # nothing left
    NOTE = "note"  # the ledger about itself


ROUTINE = frozenset({Purpose.POLL, Purpose.HEARTBEAT})


@dataclass(frozen=True)
class Place:
    """Where in a federation something was sent or refused; None is not known."""

    run: str | None = None
    serial: int | None = None
    attempt: int | None = None
    stage: str | None = None

    @classmethod
    def of(cls, offer: Offer, order: Order) -> Self:
        """Return the place of one round."""
        return cls(offer.run, offer.serial, offer.attempt, order.stage)


NOWHERE = Place()


class Entry(BaseModel):
    """One line of the ledger.

    Attributes:
        time: UTC, ISO 8601 with milliseconds.
        purpose: see `Purpose`.
        nbytes: what left; below 0 where what a line above said did not leave.
        coordinator: whom it went to, or who asked for what was refused.
        sha256: of the bytes; of all messages together where there are several.
        count: messages of a line that settles; refusals, where it stands for several.
        name: of a refusal; `reserved`, `settled`, `unsent` or `torn-line` of the
            ledger's own.
        words: of a refusal or a note.
        run, serial, attempt, stage: see `Place`.
        prev: SHA-256 of the line before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    time: str
    purpose: Purpose
    nbytes: int
    coordinator: str
    sha256: Hex32 | None = None
    count: Annotated[int, Field(ge=0)] | None = None
    name: str | None = None
    words: str | None = None
    run: Hex16 | None = None
    serial: int | None = None
    attempt: int | None = None
    stage: str | None = None
    prev: Hex32

    def dump(self) -> bytes:
        """Return the entry as a line without its end."""
        plain = self.model_dump(mode="json", exclude_none=True)
        return json.dumps(plain, separators=(",", ":")).encode()

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """Return the entry that a line spells.

        Raises:
            FormatError: it is none.
        """
        try:
            return cls.model_validate(parse_object(line, "a line of the ledger"))
        except ValidationError:
            raise FormatError("got a line of the ledger with odd fields") from None

    @property
    def refusals(self) -> int:
        """How many refusals the line stands for."""
        if self.purpose != Purpose.REFUSAL:
            return 0
        return 1 if self.count is None else self.count

    @property
    def messages(self) -> int:
        """How many messages the line stands for; -1 takes one back."""
        if self.purpose in {Purpose.REFUSAL, Purpose.NOTE} or self.name == "reserved":
            return 0
        if self.name == UNSENT:
            return -1
        return 1 if self.count is None else self.count


@dataclass(frozen=True)
class Damage:
    """A line that is none, or does not follow the one before it.

    Attributes:
        line: its number, from 1.
        words: what is wrong with it.
    """

    line: int
    words: str


def link(line: bytes) -> str:
    """Return what the line after this one holds of it."""
    return hashlib.sha256(line).hexdigest() if line else _NOTHING


def words_of(text: str) -> str:
    """Return a text as a line may hold it: not too long, no half characters."""
    return text[:LONGEST_WORDS].encode("utf-8", "backslashreplace").decode()


def read_ledger(vault: Vault) -> Iterator[Entry | Damage]:
    """Yield what the ledger says, oldest first, a line at a time.

    Raises:
        ConfigError: it cannot be read.
    """
    before = b""
    for number, full in enumerate(vault.lines(NAME), start=1):
        line = full.removesuffix(b"\n")
        try:
            entry = Entry.parse(line)
        except FormatError:
            yield Damage(number, f"{len(full)} bytes that are no entry")
        else:
            if entry.prev != link(before):
                yield Damage(number, "the line before it was changed or is missing")
            yield entry
        before = line
