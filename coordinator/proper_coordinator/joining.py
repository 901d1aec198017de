"""Invite people, and admit their devices, with what an enrolment office says of them.

Covered: a SuperLink that is not up (it is told when it is); two invitations at once.
Not covered: the way that the files take between people.
"""

from datetime import UTC, datetime
from pathlib import Path

from proper_coordinator.deployment import CHECKPOINTS, SECRET, open_deployment
from proper_coordinator.members import admit, invite, next_name, remove
from proper_coordinator.store import has_blocks
from proper_shared.durable import write_file
from proper_shared.errors import ConfigError, DataError
from proper_shared.invitations import (
    MAX_BYTES,
    NO_OFFICE,
    public_name,
    read_countersignature,
    read_enrolment,
    short,
)

TOO_LATE = (
    "A run has begun already, and its blocks stay as they are: this member takes part "
    "from the next run on."
)


def write_invitation(folder: Path, name: str | None, out: Path | None) -> list[str]:
    """Write an invitation for one person; return lines to show.

    Raises:
        ConfigError: the name is taken, or its file cannot be written as a new one; then
            nobody is invited.
    """
    deployment = open_deployment(folder)
    with deployment.alone("invite"):
        name = name or next_name(deployment)
        place = out or Path(f"{public_name(name)}.invitation.json")
        _expect_free(place)
        invitation = invite(deployment, name)
        write_file(place, invitation.model_dump_json(indent=1).encode(), SECRET)
    return [
        f"wrote {place}, for {invitation.name} alone, at seat {invitation.number}",
        f"coordinator   {short(invitation.coordinator)}",
        f"office        {short(invitation.office) if invitation.office else NO_OFFICE}",
        "Whoever has the file can join in that place: send it in a way that you trust.",
    ]


def _expect_free(place: Path) -> None:
    """Refuse a place where there is something, or no folder.

    Raises:
        ConfigError: it is one.
    """
    if place.exists() or place.is_symlink():
        raise ConfigError(f"{place} is there already", hint="choose another --out")
    if not place.parent.is_dir():
        raise ConfigError(
            f"there is no folder {place.parent}", hint="make it, or choose another"
        )


def take_back(folder: Path, name: str) -> list[str]:
    """Take a seat back for good; return lines to show.

    Raises:
        ConfigError: nobody of that name has a seat.
    """
    deployment = open_deployment(folder)
    with deployment.alone("invite"):
        member = remove(deployment, name)
    lines = [f"took seat {member.number} back from {member.name}"]
    if member.node_key is None:
        return [*lines, "The invitation holds no longer."]
    lines.append("`up` tells the SuperLink by itself; the device cannot connect then.")
    if has_blocks(deployment.folder / CHECKPOINTS):
        lines.append(
            "In its block it counts as away from now on; the next run divides those "
            "who are left."
        )
    return lines


def take_in(
    folder: Path,
    enrolment_file: Path,
    countersignature_file: Path | None = None,
    *,
    unvouched: bool = False,
) -> list[str]:
    """Admit the device that answered an invitation; return lines to show.

    Args:
        folder: of the deployment.
        enrolment_file: the answer.
        countersignature_file: what the enrolment office says of it.
        unvouched: do without it although there is an office.

    Raises:
        ConfigError: its seat is taken, a key is another member's, or a countersignature
            is missing or too many.
        DataError: there is no such file.
        FormatError: it proves nothing, or is not what the office countersigned.
    """
    deployment = open_deployment(folder)
    enrolment = read_enrolment(read_small(enrolment_file), enrolment_file.name)
    said = None
    if countersignature_file is not None:
        data = read_small(countersignature_file)
        said = read_countersignature(data, countersignature_file.name)
    with deployment.alone("invite"):
        day = datetime.now(UTC).date()
        member = admit(deployment, enrolment, day, said, unvouched=unvouched)
    claims = enrolment.claims
    late = deployment.is_busy("run") or has_blocks(deployment.folder / CHECKPOINTS)
    return [
        f"admitted {member.name} at seat {member.number}"
        + (", countersigned by the office" if said else ""),
        f"this device   {short(claims.identity)}",
        f"its node key  {short(claims.node_key)}",
        "Compare them with what the person sees. `up` tells the SuperLink by itself.",
        *([TOO_LATE] if late else []),
    ]


def read_small(path: Path) -> bytes:
    """Return one of the files that people carry, or enough to see that it is none.

    Raises:
        DataError: it is not there.
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}", hint="check the path")
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)
