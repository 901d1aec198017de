"""`proper-client doctor`: every look in its order, as lines or as JSON."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from functools import partial

from proper_client.care import belongings, installation, standing
from proper_client.care.finding import Finding, Look, State, looked
from proper_client.vault import Vault

Report = Sequence[tuple[str, Finding]]


def examine(
    vault: Vault, now: datetime, *, opens: bool
) -> Iterator[tuple[str, Finding]]:
    """Yield what was looked at, and what it came to, one after the other.

    Args:
        vault: of the person; nothing is written.
        now: with its zone.
        opens: whether a locked vault is opened, which may ask for its passphrase.
    """
    yield from _told(_outside(vault))
    found = list(_told({"encryption": partial(belongings.at_rest, vault, opens=opens)}))
    yield from found
    # Once it stayed closed it is not asked for again.
    opens = opens and all(finding.state != "wrong" for _, finding in found)
    yield from _told(_inside(vault, now, opens=opens))


def _told(looks: Mapping[str, Look]) -> Iterator[tuple[str, Finding]]:
    for name, look in looks.items():
        for finding in looked(look):
            yield name, finding


def _outside(vault: Vault) -> dict[str, Look]:
    """Return the looks for which nothing has to be opened."""
    return {
        "python": installation.python,
        "packages": installation.packages,
        "torch": installation.torch_works,
        "devices": installation.accelerators,
        "disk": partial(installation.disk, vault.home),
        "memory": installation.memory,
        "home": partial(belongings.home, vault),
        "permissions": partial(belongings.permissions, vault),
    }


def _inside(vault: Vault, now: datetime, *, opens: bool) -> dict[str, Look]:
    """Return the looks into the vault, and at what others vouched for."""
    return {
        "histories": partial(belongings.histories, vault, opens=opens),
        "models": partial(belongings.models, vault, opens=opens),
        "release": partial(standing.release, vault, now),
        "federation": partial(standing.federation, vault, opens=opens),
        "ledger": partial(standing.ledger, vault),
        "clock": partial(standing.clock, vault, now, opens=opens),
        "leftovers": partial(belongings.leftovers, vault),
        "policy": partial(belongings.policy, vault),
    }


def worst(report: Report) -> State:
    """Return the worst of all findings."""
    states = {finding.state for _, finding in report}
    order: tuple[State, ...] = ("wrong", "warning")
    return next((state for state in order if state in states), "ok")


def lines(name: str, finding: Finding) -> list[str]:
    """Return a finding as lines for a terminal."""
    shown = [f"{finding.state:<8} {name:<12} {finding.words}"]
    if finding.hint:
        shown.append(f"{'':<21} hint: {finding.hint}")
    return shown


def summary(report: Report) -> str:
    """Return the last line: how it stands."""
    counts = {
        state: sum(finding.state == state for _, finding in report)
        for state in ("ok", "warning", "wrong")
    }
    return f"{counts['ok']} ok, {counts['warning']} to mind, {counts['wrong']} wrong"


def as_json(report: Report) -> str:
    """Return a report as one JSON object."""
    checks = [{"check": name, **asdict(finding)} for name, finding in report]
    return json.dumps({"state": worst(report), "checks": checks}, indent=1)
