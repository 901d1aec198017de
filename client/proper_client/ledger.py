"""The only door out of a device, and the record of every byte that went through it.

One line of JSON for each message, on the disk before the first byte is handed to the
wire: a crash can make the record say too much, never too little. Refusals stand there
too, with the name of what was refused and no bytes. Each line holds the hash of the
line before it, so that one that was changed or taken out is noticed.

Messages that say nothing but "I am here" go out every few seconds. For them a line
reserves an amount beforehand, and a second one gives back what was not used, with the
hash of all that was sent: exact after both, too much after a crash between them.

A message that could not even be handed over keeps its line for the next try; if there
is none, another line gives all of it back.

Covered: a kill at any byte, a full disk (then nothing is sent), lines that were changed
or removed before the last one, threads that send at the same time; Ctrl-C while a line
is written.
Not covered: whoever writes as this user can make a new ledger from the first line on;
lines that are missing at the end; addresses and headers below the wire that is passed.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TypeVar

from proper_client.ledger_amounts import NothingLeftError, Parcel, Repeats, Reserve
from proper_client.ledger_entry import (
    NAME,
    NOWHERE,
    ROUTINE,
    UNSENT,
    Entry,
    Place,
    Purpose,
    link,
    words_of,
)
from proper_client.ledger_file import Journal
from proper_client.vault import Vault
from proper_shared.errors import ConfigError
from proper_shared.friendly import one_line
from proper_shared.secagg.checks import Refusal

RESERVED_NBYTES = 8192  # for messages of routine, at a time
ROUTINE_NBYTES = 1024  # one of them has at most; what is longer gets its own line
REPEATS_S = 3600.0  # between two lines of the same refusal, where it comes with polls
Clock = Callable[[], datetime]
Facts = Mapping[str, int | str | None]
T = TypeVar("T")

_log = logging.getLogger(__name__)


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

    def sent(self, parcel: Parcel, coordinator: str) -> None:
        """Write down that a message is about to leave.

        Raises:
            ConfigError: it could not be written; so nothing may be sent.
        """
        facts: Facts = {"nbytes": parcel.nbytes, "sha256": parcel.sha256}
        self._write(parcel.purpose, coordinator, parcel.place, facts)

    def unsent(self, parcel: Parcel, coordinator: str) -> None:
        """Give back a message that was written down, and could not leave.

        Raises:
            ConfigError: it could not be written.
        """
        facts: Facts = {
            "nbytes": -parcel.nbytes,
            "sha256": parcel.sha256,
            "name": UNSENT,
        }
        self._write(parcel.purpose, coordinator, parcel.place, facts)

    def refused(
        self,
        refusal: Refusal,
        coordinator: str,
        place: Place = NOWHERE,
        count: int | None = None,
    ) -> None:
        """Write down what was refused; no bytes left for it.

        Args:
            refusal: its name and words are kept.
            coordinator: who asked for it.
            place: the round that it belongs to.
            count: how many refusals of this name the line stands for, if not one.

        Raises:
            ConfigError: it could not be written.
        """
        name, words = words_of(refusal.name), words_of(str(refusal))
        facts: Facts = {"nbytes": 0, "name": name, "words": words, "count": count}
        self._write(Purpose.REFUSAL, coordinator, place, facts)

    def reserved(self, purpose: Purpose, coordinator: str, nbytes: int) -> None:
        """Write down that at most so many bytes are about to leave, bit by bit.

        Raises:
            ConfigError: it could not be written; so nothing may be sent.
        """
        facts: Facts = {"nbytes": nbytes, "name": "reserved"}
        self._write(purpose, coordinator, NOWHERE, facts)

    def settled(self, reserve: Reserve, coordinator: str) -> None:
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
        except BaseException as error:
            self._journal = None  # whatever it was, Ctrl-C too: the file was closed
            if not isinstance(error, OSError):
                raise
            raise ConfigError(
                f"the ledger cannot be written: {str(error.strerror or error).lower()}",
                hint="free some space on the disk; what was to be sent was not",
            ) from error


class Door:
    """What leaves for one coordinator leaves here.

    Args:
        ledger: where it is written down first.
        coordinator: how it is called there, such as its address.
        seconds: a clock that only runs forward.
    """

    def __init__(
        self,
        ledger: Ledger,
        coordinator: str,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger, self.coordinator = ledger, coordinator
        self._seconds = seconds
        self._guard = threading.RLock()
        self._reserves: dict[Purpose, Reserve] = {}
        self._unsent: Parcel | None = None  # its line stands, and it did not leave
        self._refused: Refusal | None = None
        self._repeats: dict[str, Repeats] = {}
        self._told: set[str] = set()

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
            wire: sends it; what it returns is returned, what it raises is raised. By
                `NothingLeftError` it says that it did not send a byte.
            place: the round that it belongs to.

        Raises:
            ConfigError: the ledger could not be written; the wire was not called.
        """
        if purpose in ROUTINE and len(data) <= ROUTINE_NBYTES:
            return self._send_routine(data, purpose, wire)
        parcel = Parcel.of(data, purpose, place)
        self._announce(parcel)
        try:
            return wire(data)
        except NothingLeftError as error:
            with self._guard:
                self._give_back()
                self._unsent = parcel
            raise error.why from None

    def refuse(self, refusal: Refusal, place: Place = NOWHERE) -> None:
        """Write down that nothing leaves, and why; once, however often it is passed on.

        Raises:
            ConfigError: the ledger could not be written.
        """
        with self._guard:
            if refusal is not self._refused:
                self._ledger.refused(refusal, self.coordinator, place)
                self._refused = refusal
                self._tell(refusal)

    def refuse_again(self, refusal: Refusal) -> None:
        """Write down a refusal that may come with each poll.

        The first of a name has a line; the others are counted, and have one in an hour.

        Raises:
            ConfigError: the ledger could not be written.
        """
        with self._guard:
            kept = self._repeats.get(refusal.name)
            if kept is None:
                self.refuse(refusal)
                self._repeats[refusal.name] = Repeats(refusal, self._seconds())
                return
            kept.last, kept.count = refusal, kept.count + 1
            if self._seconds() - kept.since >= REPEATS_S:
                self._write_repeats(kept)

    def settle(self) -> None:
        """Give back all that was reserved and not used; the ledger is then exact.

        Raises:
            ConfigError: the ledger could not be written.
        """
        with self._guard:
            self._give_back()
            for kept in self._repeats.values():
                self._write_repeats(kept)
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

    def _announce(self, parcel: Parcel) -> None:
        """Write down what leaves, unless the line of an earlier try stands for it."""
        with self._guard:
            if self._unsent == parcel:
                self._unsent = None
            else:
                self._give_back()
                self._ledger.sent(parcel, self.coordinator)

    def _give_back(self) -> None:
        """Take back the line of what could not leave."""
        # Forgotten first: a crash in between leaves the ledger saying too much.
        parcel, self._unsent = self._unsent, None
        if parcel is not None:
            self._ledger.unsent(parcel, self.coordinator)

    def _send_routine(
        self, data: bytes, purpose: Purpose, wire: Callable[[bytes], T]
    ) -> T:
        """Send what is written down in advance, with others of its kind."""
        reserve, sent = self._draw(len(data), purpose), True
        try:
            return wire(data)
        except NothingLeftError as error:
            sent = False
            raise error.why from None
        finally:
            with self._guard:
                reserve.land(data, sent=sent)
                if reserve.is_settled:
                    self._ledger.settled(reserve, self.coordinator)

    def _draw(self, nbytes: int, purpose: Purpose) -> Reserve:
        """Return the reserve under which a message leaves; a new one, if need be."""
        with self._guard:
            reserve = self._reserves.get(purpose)
            if reserve is None or reserve.left < nbytes:
                if reserve is not None:
                    del self._reserves[purpose]
                    reserve.over = True
                    if reserve.is_settled:
                        self._ledger.settled(reserve, self.coordinator)
                self._ledger.reserved(purpose, self.coordinator, RESERVED_NBYTES)
                reserve = self._reserves[purpose] = Reserve(purpose, RESERVED_NBYTES)
            reserve.draw(nbytes)
            return reserve

    def _write_repeats(self, kept: Repeats) -> None:
        """Write one line for all refusals of a name since its last line."""
        count, kept.count, kept.since = kept.count, 0, self._seconds()
        if count:
            self._ledger.refused(kept.last, self.coordinator, NOWHERE, count)

    def _tell(self, refusal: Refusal) -> None:
        """Say to the person what is refused, once for each reason."""
        if refusal.name not in self._told:
            self._told.add(refusal.name)
            _log.warning(
                "refused: %s (%s; said once, all are in `proper-client ledger "
                "--refusals`)",
                one_line(str(refusal)),
                refusal.name,
            )
