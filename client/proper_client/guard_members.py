"""Whom this device has seen in the membership log, and since when.

The dates in the log are the coordinator's word. So each time the log has grown the
device pins its new head with the time of its own clock; a member was seen from the
first pin on that lies behind its entry. A log that does not extend the last pin is
refused, whatever else it says.

Covered: a log that forks, goes back or was made for this device alone after a pin;
members that are dated back; members that left and came again (they count anew).
Not covered: the first log that is ever seen, but for the federation that it founds; a
clock that somebody else sets.
"""

from bisect import bisect_left
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from proper_client.guard import Acquaintance
from proper_client.vault import Vault
from proper_shared.errors import FormatError, ProtocolError
from proper_shared.offers import Hex32
from proper_shared.secagg.checks import Refusal
from proper_shared.secagg.membership import Log

NAME, LOG = "pins", "membership-log"
_HINT = "restore it from a copy; without it this device cannot tell a log that forked"


def _with_zone(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("expected a time with its zone")
    return moment


class Pin(BaseModel):
    """The last entry of the log at a time, by the clock of this device."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    head: Hex32
    time: Annotated[datetime, AfterValidator(_with_zone)]


class Pins(BaseModel):
    """All heads that this device saw, the oldest first.

    Attributes:
        format: of the file.
        federation: hash of the first entry of the log.
        pins: none before a log was seen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    federation: Hex32
    pins: tuple[Pin, ...] = ()

    @property
    def head(self) -> bytes:
        """The last entry that was seen, at first that which founds, 32 bytes."""
        return bytes.fromhex(self.pins[-1].head if self.pins else self.federation)

    def after(self, log: Log, now: datetime) -> "Pins":
        """Return the pins once `log`, which extends them, was seen."""
        if self.pins and log.head == self.head:
            return self
        pin = Pin(head=log.head.hex(), time=now.astimezone(UTC))
        return self.model_copy(update={"pins": (*self.pins, pin)})


def acquaintances(
    log: Log, pins: Pins, contacts: Collection[bytes] = ()
) -> dict[bytes, Acquaintance]:
    """Return what this device knows of each member.

    Args:
        log: its head is the last one pinned.
        pins: of this log.
        contacts: identities that the person verified.

    Raises:
        ProtocolError: the head of the log is not the one that was pinned last.
    """
    if not pins.pins or pins.head != log.head:
        raise ProtocolError("got a membership log whose head is not pinned")
    places = {entry.hash.hex(): place for place, entry in enumerate(log.entries)}
    pinned = [places[pin.head] for pin in pins.pins]  # ascending: each log extends
    added = {
        e.identity: place for place, e in enumerate(log.entries) if e.kind == "add"
    }
    known = {}
    for identity, standing in log.members.items():
        first = bisect_left(pinned, added[identity.hex()])
        trusted = standing.countersigned or identity in contacts
        known[identity] = Acquaintance(trusted, pins.pins[first].time)
    return known


def see_log(vault: Vault, federation: bytes, data: bytes, now: datetime) -> Log:
    """Take a log from the coordinator, if it extends what was seen, and pin its head.

    Args:
        vault: where the pins are kept; they are on the disk before this returns.
        federation: the one that was joined, 32 bytes.
        data: the log as sent.
        now: by the clock of this device, with its zone.

    Raises:
        Refusal: it is malformed, forks, or is of another federation.
        ConfigError, FormatError: the pins cannot be read or written.
    """
    pins = load_pins(vault, federation)
    try:
        log = Log.parse(data, pinned=pins.head)
    except FormatError as error:
        raise Refusal("malformed", str(error)) from None
    except ProtocolError as error:
        raise Refusal("forked-log", str(error)) from None
    if (new := pins.after(log, now)) != pins:
        vault.write_record(NAME, new.model_dump(mode="json"))
    return log


def load_log(vault: Vault, federation: bytes) -> Log | None:
    """Return the log that was seen last; None where there is none whose head is pinned.

    Raises:
        ConfigError: a file cannot be read.
        FormatError: it is damaged, or of another federation.
    """
    data, pins = vault.read_state(LOG), load_pins(vault, federation)
    if data is None:
        return None
    try:
        log = Log.parse(data)
    except ProtocolError as error:
        raise FormatError(f"{LOG} is damaged: {error}", hint=_HINT) from None
    # A crash may have kept the pin and not the log, or it is of before.
    return log if log.head == pins.head else None


def load_pins(vault: Vault, federation: bytes) -> Pins:
    """Return the pins of a federation; none where no log was seen.

    Raises:
        ConfigError: the file cannot be read.
        FormatError: it is damaged, or of another federation.
    """
    try:
        plain = vault.read_record(NAME)
        if plain is None:
            return Pins(federation=federation.hex())
        pins = Pins.model_validate(plain)
    except ValidationError:
        raise FormatError(f"{NAME}.json is damaged", hint=_HINT) from None
    except FormatError as error:
        raise FormatError(str(error), hint=_HINT) from None
    if pins.federation != federation.hex():
        raise FormatError(
            f"{NAME}.json is of the federation {pins.federation[:8]}, "
            f"expected {federation.hex()[:8]}",
            hint="use a home of its own for each federation: --home",
        )
    return pins
