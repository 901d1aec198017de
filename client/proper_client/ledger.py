"""The only door out of a device, and the record of every byte that went through it.

One line of JSON for each message, on the disk before the first byte is handed to the
wire: a crash can make the record say too much, never too little. Refusals stand there
too, with the name of what was refused and no bytes. Each line holds the hash of the
line before it, so that one that was changed or taken out is noticed.

Messages that say nothing but "I am here" go out every few seconds. For them a line
reserves an amount beforehand, and a second one gives back what was not used, with the
hash of all that was sent: exact after both, too much after a crash between them.

Covered: a kill at any byte, a full disk (then nothing is sent), lines that were changed
or removed before the last one, threads that send at the same time.
Not covered: whoever writes as this user can make a new ledger from the first line on;
lines that are missing at the end; addresses and headers below the wire that is passed.
"""

import hashlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TypeVar

from proper_client.ledger_entry import (
    NAME,
    NOWHERE,
    ROUTINE,
    Entry,
    Place,
    Purpose,
    link,
    words_of,
)
from proper_client.ledger_file import Journal
from proper_client.vault import Vault
from proper_shared.errors import ConfigError
from proper_shared.secagg.checks import Refusal

RESERVED_NBYTES = 8192  # for messages of routine, at a time
ROUTINE_NBYTES = 1024  # one of them has at most; what is longer gets its own line
Clock = Callable[[], datetime]
Facts = Mapping[str, int | str | None]
T = TypeVar("T")


def now_utc() -> datetime:
    """Return the time of the system."""
    return datetime.now(UTC)


class Ledger:
    """Adds lines to the ledger; one process at a time, any number of threads.

    Args:
        vault: where it is kept.
        clock: gives the time, with its zone.

    Raises:
        ConfigError: another process has it open, or it cannot be written.
    """

    def __init__(self, vault: Vault, clock: Clock = now_utc) -> None:
        self._vault, self._clock = vault, clock
        self._guard = threading.RLock()
        self._journal: Journal | None = None
        self._open()

    def sent(
        self, data: bytes, purpose: Purpose, coordinator: str, place: Place = NOWHERE
    ) -> None:
        """Write down that `data` is about to leave.

        Raises:
            ConfigError: it could not be written; so nothing may be sent.
        """
        digest = hashlib.sha256(data).hexdigest()
        facts: Facts = {"nbytes": len(data), "sha256": digest}
        self._write(purpose, coordinator, place, facts)

    def refused(
        self, refusal: Refusal, coordinator: str, place: Place = NOWHERE
    ) -> None:
        """Write down what was refused; no bytes left for it.

        Raises:
            ConfigError: it could not be written.
        """
        name, words = words_of(refusal.name), words_of(str(refusal))
        facts: Facts = {"nbytes": 0, "name": name, "words": words}
        self._write(Purpose.REFUSAL, coordinator, place, facts)

    def reserved(self, purpose: Purpose, coordinator: str, nbytes: int) -> None:
        """Write down that at most so many bytes are about to leave, bit by bit.

        Raises:
            ConfigError: it could not be written; so nothing may be sent.
        """
        facts: Facts = {"nbytes": nbytes, "name": "reserved"}
        self._write(purpose, coordinator, NOWHERE, facts)

    def settled(self, reserve: "Reserve", coordinator: str) -> None:
        """Give back what of a reserve was not used.

        Raises:
            ConfigError: it could not be written.
        """
        digest = reserve.digest.hexdigest()
        facts: Facts = {
            "nbytes": -reserve.left,
            "sha256": digest,
            "count": reserve.count,
            "name": "settled",
        }
        self._write(reserve.purpose, coordinator, NOWHERE, facts)

    def close(self) -> None:
        """Let other processes write."""
        with self._guard:
            if self._journal is not None:
                self._journal.close()
                self._journal = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> Journal:
        """Open the file, and say in it where a crash cut off a line."""
        self._journal = journal = self._vault.journal(NAME)
        if journal.was_cut:
            words = f"a crash cut off the line above, at {len(journal.last)} bytes"
            facts: Facts = {"nbytes": 0, "name": "torn-line", "words": words}
            self._append(journal, Purpose.NOTE, "", {**vars(NOWHERE), **facts})
        return journal

    def _write(
        self, purpose: Purpose, coordinator: str, place: Place, facts: Facts
    ) -> None:
        with self._guard:
            # After a fault the file was closed; opening it looks at what stands there.
            journal = self._journal or self._open()
            self._append(journal, purpose, coordinator, {**vars(place), **facts})

    def _append(
        self, journal: Journal, purpose: Purpose, coordinator: str, facts: Facts
    ) -> None:
        moment = self._clock().astimezone(UTC).isoformat(timespec="milliseconds")
        fields = {
            "time": moment.replace("+00:00", "Z"),
            "purpose": purpose,
            "coordinator": words_of(coordinator),
            "prev": link(journal.last),
        }
        entry = Entry.model_validate(fields | dict(facts))
        try:
            journal.append(entry.dump())
        except OSError as error:
            self._journal = None
            raise ConfigError(
                f"the ledger cannot be written: {str(error.strerror or error).lower()}",
                hint="free some space on the disk; what was to be sent was not",
            ) from error


@dataclass
class Reserve:
    """What may still leave under one line of the ledger."""

    purpose: Purpose
    left: int = 0  # bytes
    count: int = 0  # messages that left
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)


class Door:
    """What leaves for one coordinator leaves here.

    Args:
        ledger: where it is written down first.
        coordinator: how it is called there, such as its address.
    """

    def __init__(self, ledger: Ledger, coordinator: str) -> None:
        self._ledger, self.coordinator = ledger, coordinator
        self._guard = threading.Lock()
        self._reserves: dict[Purpose, Reserve] = {}
        self._refused: Refusal | None = None

    def send(
        self,
        data: bytes,
        purpose: Purpose,
        wire: Callable[[bytes], T],
        place: Place = NOWHERE,
    ) -> T:
        """Write down that `data` leaves, then hand it to the wire.

        Args:
            data: all that leaves.
            purpose: why.
            wire: sends it; what it returns is returned.
            place: the round that it belongs to.

        Raises:
            ConfigError: the ledger could not be written; the wire was not called.
        """
        if purpose in ROUTINE and len(data) <= ROUTINE_NBYTES:
            self._draw(data, purpose)
        else:
            self._ledger.sent(data, purpose, self.coordinator, place)
        return wire(data)

    def refuse(self, refusal: Refusal, place: Place = NOWHERE) -> None:
        """Write down that nothing leaves, and why; once, however often it is passed on.

        Raises:
            ConfigError: the ledger could not be written.
        """
        if refusal is not self._refused:
            self._ledger.refused(refusal, self.coordinator, place)
            self._refused = refusal

    def settle(self) -> None:
        """Give back all that was reserved and not used; the ledger is then exact.

        Raises:
            ConfigError: the ledger could not be written.
        """
        with self._guard:
            while self._reserves:
                _, reserve = self._reserves.popitem()
                self._ledger.settled(reserve, self.coordinator)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.settle()

    def _draw(self, data: bytes, purpose: Purpose) -> None:
        with self._guard:
            reserve = self._reserves.get(purpose)
            if reserve is None or reserve.left < len(data):
                if reserve is not None:
                    del self._reserves[purpose]
                    self._ledger.settled(reserve, self.coordinator)
                self._ledger.reserved(purpose, self.coordinator, RESERVED_NBYTES)
                reserve = self._reserves[purpose] = Reserve(purpose, RESERVED_NBYTES)
            reserve.left -= len(data)
            reserve.count += 1
            reserve.digest.update(data)
