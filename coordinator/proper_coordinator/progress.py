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
        last = _last(stage, done, noisy=settings.epsilon > 0)
        lines.append(f"{stage:<11} {len(done):>4} of {wanted} rounds{last}")
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


def loss_of(stage: str, round_: Round, *, noisy: bool) -> float | None:
    """Return the loss of a round where it says something of the training.

    The search for groups has none, and one number under noise is noise.
    """
    return None if noisy or stage == "grouping" else round_.loss


def public_of(round_: Round) -> str:
    """Say what public texts cost after a round; nothing where they were not asked."""
    if round_.public is None:
        return ""
    best = "" if round_.public_best is None else f" (best {round_.public_best:.3f})"
    return f"public {round_.public:.3f}{best}"


def note_of(round_: Round) -> str:
    """Return what an operator sees of a round beside its loss."""
    words = [public_of(round_), f"took {round_.seconds:.1f} s"]
    return "  ".join(word for word in words if word)


def _last(stage: str, done: tuple[Round, ...], *, noisy: bool) -> str:
    if not done:
        return ""
    loss = loss_of(stage, done[-1], noisy=noisy)
    words = [f"{done[-1].count} clients in the last", f"{done[-1].seconds:.1f} s"]
    words += [] if loss is None else [f"loss {loss:.3f}"]
    words += [public] if (public := public_of(done[-1])) else []
    return "".join(f", {word}" for word in words)
