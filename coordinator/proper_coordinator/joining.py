"""Invite people, and admit their devices.

Covered: a SuperLink that is not up (it is told when it is); two invitations at once.
Not covered: the way that the files take between people.
"""

from datetime import UTC, datetime
from pathlib import Path

from proper_coordinator.deployment import SECRET, open_deployment
from proper_coordinator.members import admit, invite
from proper_shared.durable import write_file
from proper_shared.errors import ConfigError, DataError
from proper_shared.invitations import MAX_BYTES, public_name, read_enrolment, short


def write_invitation(folder: Path, name: str | None, out: Path | None) -> list[str]:
    """Write an invitation for one person; return lines to show.

    Raises:
        ConfigError: the name is taken, or something stands at `out`.
    """
    deployment = open_deployment(folder)
    with deployment.alone("invite"):
        if out is not None and out.exists():
            raise ConfigError(f"{out} is there already", hint="choose another --out")
        invitation = invite(deployment, name)
        place = out or Path(f"{public_name(invitation.name)}.invitation.json")
        write_file(place, invitation.model_dump_json(indent=1).encode(), SECRET)
    return [
        f"wrote {place}, for {invitation.name} alone, at seat {invitation.number}",
        f"coordinator   {short(invitation.coordinator)}",
        "Whoever has the file can join in that place: send it in a way that you trust.",
    ]


def take_in(folder: Path, enrolment_file: Path) -> list[str]:
    """Admit the device that answered an invitation; return lines to show.

    Raises:
        ConfigError: its seat is taken, or a key is another member's.
        DataError: there is no such file.
        FormatError: it proves nothing.
    """
    deployment = open_deployment(folder)
    if not enrolment_file.is_file():
        raise DataError(f"there is no file {enrolment_file}", hint="check the path")
    with enrolment_file.open("rb") as file:
        enrolment = read_enrolment(file.read(MAX_BYTES + 1), enrolment_file.name)
    with deployment.alone("invite"):
        member = admit(deployment, enrolment, datetime.now(UTC).date())
    claims = enrolment.claims
    return [
        f"admitted {member.name} at seat {member.number}",
        f"this device   {short(claims.identity)}",
        f"its node key  {short(claims.node_key)}",
        "Compare them with what the person sees. `up` tells the SuperLink by itself.",
    ]
