"""Who was invited to a deployment, and who came.

Each invitation is a seat with a secret of its own. An enrolment that proves the secret
takes the seat, once; the secret is then thrown away.

Where the federation has an enrolment office, an enrolment comes with what that office
says of it, or the operator says that it comes without.

A device that is lost leaves its seat empty for good. Its entry leaves the membership
log when a new run begins, since devices refuse to be asked together with strangers, and
without noise they add only to the block that they saw first.

Covered: an enrolment that nobody was invited to, that comes twice, or takes a key that
another member has; one that the office did not countersign; a crash at any step.
Not covered: two processes that write at the same time (the caller holds a lock).
"""

import secrets
from datetime import date

from pydantic import BaseModel, ConfigDict, ValidationError

from proper_coordinator.deployment import LOG, SECRET, Deployment
from proper_shared.durable import write_file
from proper_shared.errors import ConfigError, FormatError
from proper_shared.invitations import Claims, Countersignature, Enrolment, Invitation
from proper_shared.suggest import did_you_mean

FILE = "members.json"
MAX_NAME = 100  # what an invitation takes


class Member(BaseModel):
    """One seat.

    Attributes:
        number: of the seat, from 0.
        name: what the operator calls the person.
        secret: of the invitation; gone once the seat is taken.
        node_key: PEM, by which Flower knows the device; None until then.
        identity: Ed25519 key of the device, hex; None until then.
        gone: whether the device is lost for good. Its keys stay here: a block that it
            is in is asked under its name, and nobody else comes with them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int
    name: str
    secret: str | None
    node_key: str | None = None
    identity: str | None = None
    gone: bool = False

    @property
    def is_here(self) -> bool:
        """Whether the seat is taken by a device that may come."""
        return self.node_key is not None and not self.gone


class _Register(BaseModel):
    """The whole of `members.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    members: tuple[Member, ...] = ()


def read_members(deployment: Deployment) -> tuple[Member, ...]:
    """Return all seats, taken or not.

    Raises:
        FormatError: the file is malformed.
    """
    path = deployment.path(FILE)
    if not path.exists():
        return ()
    try:
        return _Register.model_validate_json(path.read_bytes()).members
    except ValidationError as error:
        raise FormatError(
            f"{path} is malformed at {error.errors()[0]['loc']}"
        ) from None


def next_name(deployment: Deployment) -> str:
    """Return what the next person is called whom nobody gives a name."""
    return f"member-{len(read_members(deployment))}"


def invite(deployment: Deployment, name: str) -> Invitation:
    """Make a seat and return the invitation to it.

    Args:
        deployment: to which.
        name: of the person.

    Raises:
        ConfigError: there is such a name already, or it is too long.
    """
    members, settings = read_members(deployment), deployment.settings
    number = len(members)
    if name in {member.name for member in members if not member.gone}:
        raise ConfigError(f"{name!r} was invited already", hint="choose another name")
    if len(name) > MAX_NAME:
        raise ConfigError(
            f"got a name of {len(name)} characters, expected {MAX_NAME} at most"
        )
    secret = secrets.token_hex(32)
    invitation = Invitation(
        founding=deployment.log.entries[0].dump().decode(),
        number=number,
        name=name,
        address=settings.address,
        ca_certificate=deployment.ca_certificate.decode(),
        secret=secret,
        backbone=settings.backbone,
        task=settings.task,
        method=settings.method,
        seed=settings.seed,
        releases=settings.releases or None,
    )
    _write(deployment, (*members, Member(number=number, name=name, secret=secret)))
    return invitation


def admit(
    deployment: Deployment,
    enrolment: Enrolment,
    day: date,
    countersignature: Countersignature | None = None,
    *,
    unvouched: bool = False,
) -> Member:
    """Give a seat to who answers its invitation; return the member.

    Args:
        deployment: where.
        enrolment: the answer.
        day: for the membership log.
        countersignature: of the enrolment office on the answer.
        unvouched: do without it although there is an office.

    Raises:
        FormatError: the enrolment is for another federation, or proves nothing; or the
            countersignature is not the office's, or to another enrolment.
        ConfigError: the seat is taken, a key is another member's, or a countersignature
            is missing or too many.
    """
    members, claims = read_members(deployment), enrolment.claims
    if claims.federation != deployment.federation:
        raise FormatError("the enrolment is for another federation")
    if claims.number >= len(members):
        raise FormatError(f"nobody was invited to seat {claims.number}")
    seat = members[claims.number]
    if seat.gone:
        raise ConfigError(
            f"seat {seat.number} ({seat.name}) was taken back",
            hint="invite the person anew",
        )
    if seat.secret is None:
        raise ConfigError(
            f"seat {seat.number} ({seat.name}) is taken",
            hint="if their device changed: `remove` the old one, then invite them anew",
        )
    enrolment.check(seat.secret)
    if any(
        {claims.node_key, claims.identity} & {m.node_key, m.identity} for m in members
    ):
        raise ConfigError("another member has one of these keys")
    said = _countersigned(deployment, claims, countersignature, unvouched=unvouched)
    changes = {
        "secret": None,
        "node_key": claims.node_key,
        "identity": claims.identity,
    }
    member = seat.model_copy(update=changes)
    others = [m if m.number != member.number else member for m in members]
    # The log first: a crash leaves an entry for whom the seat is still free, no member
    # whom the others do not know.
    _add_to_log(deployment, bytes.fromhex(claims.identity), day, said)
    _write(deployment, tuple(others))
    return member


def remove(deployment: Deployment, name: str) -> Member:
    """Take a seat back for good; return whose it was.

    Args:
        deployment: where.
        name: of the person.

    Raises:
        ConfigError: nobody of that name has a seat.
    """
    members = read_members(deployment)
    found = [m for m in members if m.name == name and not m.gone]
    if not found:
        names = [m.name for m in members if not m.gone]
        raise ConfigError(
            f"nobody here is called {name[:60]!r}", hint=did_you_mean(name, names)
        )
    empty = found[0].model_copy(update={"gone": True, "secret": None})
    _write(deployment, tuple(empty if m.number == empty.number else m for m in members))
    return empty


def strike(deployment: Deployment, day: date) -> None:
    """Take those who are gone out of the membership log, before a run begins."""
    log, signer = deployment.log, deployment.signer
    gone = [m.identity for m in read_members(deployment) if m.gone and m.identity]
    leaving = [who for who in map(bytes.fromhex, gone) if who in log.members]
    for identity in leaving:
        log = log.remove(signer, identity, day)
    if leaving:
        write_file(deployment.path(LOG), log.dump(), SECRET)


def _countersigned(
    deployment: Deployment,
    claims: Claims,
    countersignature: Countersignature | None,
    *,
    unvouched: bool,
) -> bytes | None:
    """Return what the office says of these claims, 64 bytes, once it was checked."""
    office = deployment.log.enrolment
    if countersignature is None:
        if office is not None and not unvouched:
            raise ConfigError(
                "this federation has an enrolment office, and got no countersignature",
                hint="give it with --countersignature FILE; or --unvouched, and the "
                "other devices count this one only once they know it for long",
            )
        return None
    if office is None or unvouched:
        raise ConfigError(
            "got a countersignature, expected none: "
            + ("--unvouched" if office else "this federation has no enrolment office"),
            hint="an office is named once, by `init --office`",
        )
    countersignature.check(office, claims)
    return bytes.fromhex(countersignature.signature)


def _add_to_log(
    deployment: Deployment, identity: bytes, day: date, said: bytes | None
) -> None:
    log, signer = deployment.log, deployment.signer
    if (standing := log.members.get(identity)) is not None:  # from before a crash
        if standing.countersigned or said is None:
            return
        log = log.remove(signer, identity, day)
    longer = log.add(signer, identity, day, said)
    write_file(deployment.path(LOG), longer.dump(), SECRET)


def _write(deployment: Deployment, members: tuple[Member, ...]) -> None:
    text = _Register(members=members).model_dump_json(indent=1)
    write_file(deployment.path(FILE), text.encode(), SECRET)
