"""What this device agreed to: its own record, and never a fresh start by accident.

A record is made before anything leaves for a federation, and names the device. So one
that is not there, though the home shows that this device took part, was lost.

Covered: a record that was removed, or is of another device; a record that an older
version wrote, which names none, is taken once and names this device from then on.
Not covered: an older copy of the record; somebody who removes ledger, log and record.
"""

from proper_client.guard_members import NAME as PINS
from proper_client.guard_record import NAME, Record, load_record, save_record
from proper_client.ledger_entry import Damage, Purpose, read_ledger
from proper_client.vault import Vault
from proper_shared.errors import FormatError

_ROUNDS = frozenset(
    {
        Purpose.JOIN,
        Purpose.SHARE,
        Purpose.MASKED_UPDATE,
        Purpose.UPDATE,
        Purpose.AGREE,
        Purpose.OPEN,
    }
)
_LOST = (
    "put the newest copy of it back, or enrol anew from a home of its own: without it "
    "this device would agree a second time to what it agreed to before"
)
_OTHERS = "put this device's own file back, or enrol anew from a home of its own"


def own_record(vault: Vault, identity: bytes) -> Record:
    """Return what this device agreed to so far; it names the device.

    Args:
        vault: where record, ledger and pins lie; nothing is written.
        identity: of this device, 32 bytes.

    Raises:
        ConfigError: a file cannot be read.
        FormatError: the record is damaged, of another device, or gone.
    """
    record, who = load_record(vault), identity.hex()
    if record is None:
        if (trace := _trace(vault)) is not None:
            raise FormatError(
                f"{NAME}.json is gone, though {trace}: this device took part before",
                hint=_LOST,
            )
        return Record(identity=who)
    if record.identity not in {None, who}:
        raise FormatError(
            f"{NAME}.json is of the device {record.identity[:8]}, expected {who[:8]}",
            hint=_OTHERS,
        )
    return record.model_copy(update={"identity": who})


def take_record(vault: Vault, identity: bytes) -> Record:
    """Return what this device agreed to so far; it is on the disk, with its name.

    Raises:
        ConfigError: a file cannot be read or written.
        FormatError: the record is damaged, of another device, or gone.
    """
    record = own_record(vault, identity)
    if record != load_record(vault):
        save_record(vault, record)
    return record


def _trace(vault: Vault) -> str | None:
    """Return what shows that this device took part, if anything does.

    Before there was a record from the start, a home could have a ledger and pins and
    none, since every round had been refused. The ledger of such a home says so: the log
    was seen, and nothing of a round left.
    """
    asked = False
    for line in read_ledger(vault):
        if isinstance(line, Damage):
            return "the ledger is here, with damaged lines"
        if line.purpose in _ROUNDS:
            return "the ledger tells of rounds"
        asked = asked or line.purpose == Purpose.QUERY
    if vault.read_record(PINS) is not None and not asked:
        return f"{PINS}.json is here"
    return None
