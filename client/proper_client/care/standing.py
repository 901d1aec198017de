"""A look at what others vouched for: releases, the federation, and what time it is.

Nobody is asked: all of this is held against what lies in the home.

Covered: a pulled release that was changed or whose signed list went out of date; a
membership log that does not fit the pins; a ledger whose lines do not follow each
other; a clock that shows a time before something that was signed or seen already.
Not covered: whether there is something newer elsewhere, which only `pull` can tell; a
clock that is ahead by less than what is signed is good for.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel, ValidationError

from proper_client.care.belongings import is_readable
from proper_client.care.finding import Finding, ok, warning, wrong
from proper_client.enrolment import RECORD, membership_in
from proper_client.guard_members import LOG, load_log, load_pins
from proper_client.ledger_entry import Damage, Entry, read_ledger
from proper_client.releases.checks import agrees
from proper_client.releases.shelf import Shelf
from proper_client.vault import Vault
from proper_shared.errors import FormatError
from proper_shared.release import digest_of, read_manifest, verify_files
from proper_shared.roles import TIMESTAMP_LIFE

PULL = "proper-client pull SOURCE fetches the newest"
SLACK = timedelta(days=1)  # of two clocks, and of days in other time zones


class _Signed(BaseModel):
    """The part of a signed file that says how long it is good."""

    expires: datetime


class _Stamp(BaseModel):
    """`timestamp.json` of The Update Framework, as far as it is needed here."""

    signed: _Signed


def release(vault: Vault, now: datetime) -> Iterator[Finding]:
    """Look at the release that `train` starts from."""
    shelf = Shelf(vault.home)
    kept = shelf.current()
    if kept is None:
        folder, _ = shelf.default()
        verify_files(folder, read_manifest(folder))
        yield ok("the one that comes with the program, whole")
        return
    folder = shelf.place(kept)
    verify_files(folder, read_manifest(folder))
    if digest_of(folder) != kept.digest:
        yield wrong(f"{folder} is another release than its name says", PULL)
        return
    yield ok(f"version {kept.version}, {kept.digest[:12]}, whole")
    until = _good_until(shelf)
    if until is None:
        yield warning("nothing says how long it is known to be the newest", PULL)
    elif until < now:
        yield warning(f"known to be the newest until {until.date()}, no more", PULL)
    else:
        yield ok(f"known to be the newest until {until.date()}")


def federation(vault: Vault, *, opens: bool) -> Iterator[Finding]:
    """Look at the membership, and at the log of members that was seen."""
    if not (vault.files.path(f"federation/{RECORD}.json")).exists():
        yield ok("in none")
        return
    if not is_readable(vault, opens=opens):
        yield ok("the membership is closed; --open looks inside")
        return
    invitation = membership_in(vault).invitation
    yield ok(f"in the one of {invitation.address}, for {invitation.task}")
    log = load_log(vault, bytes.fromhex(invitation.federation))
    if log is None:
        yield ok("its membership log was not seen yet")
        return
    kept = Shelf(vault.home).current()
    if kept is not None and agrees(log, kept.version, kept.digest):
        yield ok(f"its log names the release in use, version {kept.version}")
    head = log.head.hex()
    yield ok(f"its log holds together: {len(log.entries)} entries, head {head[:16]}")


def ledger(vault: Vault) -> Iterator[Finding]:
    """Follow the chain of the ledger's lines from the first to the last."""
    lines, damaged = 0, 0
    for line in read_ledger(vault):
        lines, damaged = lines + 1, damaged + isinstance(line, Damage)
    if damaged:
        hint = "proper-client ledger shows them: were they edited, or a crash?"
        yield wrong(f"{damaged} of {lines} lines are damaged or do not follow", hint)
        return
    yield ok(f"{lines} lines, each follows the one before" if lines else "empty")


def clock(vault: Vault, now: datetime, *, opens: bool) -> Iterator[Finding]:
    """Hold the clock against the newest moment that was signed or written down."""
    seen = [*_signed_moments(vault, opens=opens), *_ledger_moments(vault)]
    words = f"{now:%Y-%m-%d %H:%M} UTC"
    if not seen:
        yield ok(f"{words}; nothing here to compare it with")
        return
    newest, what = max(seen)
    if now + SLACK < newest:
        hint = "set the clock: expired releases and hours of the policy hang on it"
        yield wrong(f"{words}, which is before {what} of {newest.date()}", hint)
        return
    yield ok(f"{words}, after {what} of {newest.date()}")


def _good_until(shelf: Shelf) -> datetime | None:
    """Return until when the list that was seen last is good."""
    path = shelf.seen / "timestamp.json"
    if not path.is_file():
        return None
    try:
        return _Stamp.model_validate_json(path.read_bytes()).signed.expires
    except ValidationError:
        raise FormatError(f"{path} is damaged", hint=PULL) from None


def _signed_moments(vault: Vault, *, opens: bool) -> Iterator[tuple[datetime, str]]:
    until = _good_until(Shelf(vault.home))
    if until is not None:
        yield until - TIMESTAMP_LIFE, "the signed list of releases"
    if not is_readable(vault, opens=opens):
        return
    if vault.read_record(RECORD) is None:
        return
    name = bytes.fromhex(membership_in(vault).invitation.federation)
    for pin in load_pins(vault, name).pins[-1:]:
        yield pin.time, "the membership log that was seen"
    if vault.read_state(LOG) is not None and (log := load_log(vault, name)) is not None:
        day = log.entries[-1].date
        moment = datetime(day.year, day.month, day.day, tzinfo=UTC)
        yield moment, "the newest entry of the membership log"


def _ledger_moments(vault: Vault) -> Iterator[tuple[datetime, str]]:
    """Yield the newest time of the ledger, which this device wrote itself."""
    times = (line.time for line in read_ledger(vault) if isinstance(line, Entry))
    newest = max((t for t in map(_moment, times) if t is not None), default=None)
    if newest is not None:
        yield newest, "the newest line of the ledger"


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None  # `ledger` says that the line is odd
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
