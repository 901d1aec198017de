"""How far a deployment is: members, rounds, and who dropped out of the last one.

It reads files that are replaced in one step and takes no lock, so that it can be asked
at any time, and as often as one likes.
"""

from proper_coordinator.deployment import CHECKPOINTS, Deployment
from proper_coordinator.members import read_members
from proper_coordinator.store import Round, read_ledger, read_rounds
from proper_shared.friendly import one_line
from proper_shared.privacy.calibration import Limit


def has_begun(deployment: Deployment) -> bool:
    """Tell whether there is a complete round to go on from."""
    return any(read_rounds(deployment.folder / CHECKPOINTS).values())


def describe(deployment: Deployment) -> list[str]:
    """Return lines about members and rounds; it reads, and disturbs no leader."""
    members = read_members(deployment)
    here = [member for member in members if member.is_here]
    gone = sum(member.gone for member in members)
    lines = [
        f"federation  {deployment.federation[:16]}",
        f"address     {deployment.settings.address}",
        f"members     {len(here)} of {len(members)} invited"
        + (f", {gone} gone for good" if gone else ""),
    ]
    settings, rounds = deployment.settings, read_rounds(deployment.folder / CHECKPOINTS)
    for stage in ("population", "grouping", "group", "lora_router"):
        done = rounds.get(stage, ())
        wanted = getattr(settings, stage).rounds
        lines.append(f"{stage:<11} {len(done):>4} of {wanted} rounds{_last(done)}")
    lines += _privacy(deployment)
    names = {member.number: member.name for member in members}
    everything = [round_ for log in rounds.values() for round_ in log]
    for drop in everything[-1].dropped if everything else ():
        name = one_line(names.get(drop.seat, f"seat {drop.seat}"))
        lines.append(f"dropped     {name}: {one_line(drop.reason)}")
    return lines


def _privacy(deployment: Deployment) -> list[str]:
    """Say what is spent of the wanted epsilon; nothing where there is no noise."""
    settings = deployment.settings
    if not settings.epsilon:
        return []
    ledger = read_ledger(deployment.folder / CHECKPOINTS)
    if ledger is None:
        return [f"privacy     epsilon 0 of {settings.epsilon:g} spent"]
    limit = Limit(settings.epsilon, settings.delta)
    return [f"privacy     {ledger.standing(limit)}"]


def _last(done: tuple[Round, ...]) -> str:
    if not done:
        return ""
    loss = "" if done[-1].loss is None else f", loss {done[-1].loss:.3f}"
    return f", {done[-1].count} clients in the last, {done[-1].seconds:.1f} s{loss}"
