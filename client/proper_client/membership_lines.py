"""What a person is told of their federation: which, since when, and what it has cost.

All is read from the home; nobody is asked, and nothing is written.

Covered: a device that was not let in yet, or is no longer; a budget, or none.
Not covered: whether the coordinator is there; rounds that are still going on.
"""

from proper_client.counting import counted
from proper_client.enrolment import RECORD, Membership, membership_in
from proper_client.guard_members import acquaintances, load_log, load_pins
from proper_client.guard_own import own_record
from proper_client.guard_record import Record
from proper_client.ledger_entry import Entry, Purpose, read_ledger
from proper_client.policy import Policy, load_policy
from proper_client.vault import Vault
from proper_shared.errors import FormatError, ProperError

_VECTORS = frozenset({Purpose.MASKED_UPDATE, Purpose.UPDATE})
_AGAINST = {
    "everybody": "everybody else",
    "third": "a third of a cohort",
    "readers": "readers of a release",
}


def federation_lines(vault: Vault) -> list[str]:
    """Return what this device's federation is, and what was spent; nothing if in none.

    Raises:
        ConfigError: a file cannot be read, or the vault stays locked.
    """
    if vault.read_record(RECORD) is None:
        return []
    try:
        membership = membership_in(vault)
        asked = membership.invitation
        return [
            (
                f"federation  {asked.address} for {asked.task}, as {asked.name} "
                f"(seat {asked.number})"
            ),
            f"            {_since(vault, membership)}",
            f"            {_last_round(vault)}",
            privacy_line(vault, membership),
        ]
    except FormatError as error:  # the models can be shown all the same
        lines = [f"federation  {error}"]
        return [*lines, f"hint        {error.hint}"] if error.hint else lines


def ledger_line(vault: Vault) -> list[str]:
    """Return what was spent, to stand below the ledger; nothing if in no federation.

    The ledger lies in clear, so it can be read while the vault is locked; this cannot.
    A fault here is said in its place, since the ledger can be shown all the same.
    """
    if not vault.files.path(f"federation/{RECORD}.json").exists():
        return []
    if vault.key_file is not None:
        return ["privacy     locked away; proper-client status tells what was spent"]
    try:
        return [privacy_line(vault, membership_in(vault))]
    except ProperError as error:
        return [f"privacy     {error}"]


def privacy_line(vault: Vault, membership: Membership) -> str:
    """Return what was spent of the person's budget, in how many runs.

    Raises:
        ConfigError: a file cannot be read, or the policy is wrong.
        FormatError: the record is damaged, of another device, or gone.
    """
    record = own_record(vault, membership.signer.identity)
    return f"privacy     {_spent(record, load_policy(vault.home))}"


def _since(vault: Vault, membership: Membership) -> str:
    """Return how long this device has been a member, by its own clock."""
    federation = bytes.fromhex(membership.invitation.federation)
    log = load_log(vault, federation)
    if log is None:
        return "enrolled; it has not been seen among the members yet"
    known = acquaintances(log, load_pins(vault, federation))
    me = known.get(membership.signer.identity)
    others = counted(len(known) - (me is not None), "other member")
    if me is None:
        return f"not among its {others} when this device last looked"
    return f"a member since {me.since.date()}, with {others}"


def _last_round(vault: Vault) -> str:
    """Return when this device last added to a sum, by the ledger."""
    last: Entry | None = None
    for line in read_ledger(vault):
        if isinstance(line, Entry) and line.purpose in _VECTORS and line.nbytes > 0:
            last = line
    if last is None:
        return "no update has left this device yet"
    when = last.time[:16].replace("T", " ")
    return f"last update on {when} UTC, {last.stage} sum {last.serial}"


def _spent(record: Record, policy: Policy) -> str:
    from proper_shared.privacy.accounting import epsilon_of  # noqa: PLC0415 - slow

    total, runs = policy.epsilon_total, counted(len(record.runs), "run")
    if not record.runs:
        budget = "no epsilon_total is set" if total is None else f"0 of {total:g} spent"
        return f"{budget}; this device was in no run yet"
    if record.bare:
        bare = counted(record.bare, "update")
        return f"{bare} left without noise, in {runs}: no epsilon bounds what they told"
    epsilon = epsilon_of(record.spent(), policy.delta, policy.epsilon_against)
    budget = "" if total is None else f" of {total:g}"
    unset = ", no epsilon_total is set" if total is None else ""
    against = _AGAINST[policy.epsilon_against]
    return (
        f"{epsilon:.3g}{budget} spent, in {runs} (epsilon at delta "
        f"{policy.delta:g}, against {against}{unset})"
    )
