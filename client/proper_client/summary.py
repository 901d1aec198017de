"""What a person is told about their model, in lines for a terminal."""

from pathlib import Path
from shlex import quote
from typing import get_args

from proper_client.kept import About, Level, load
from proper_client.vault import Vault
from proper_shared.errors import FormatError
from proper_shared.progress import duration
from proper_shared.tasks import get_task

_SAID = {  # what an entry kept aside costs, as in `Answerer.costs`
    "label": "expected to be wrong in {:.0%}",
    "score": "expected to be off by {:.2f}",
    "text": "loss of a text {:.1f}",
}


def after_training(
    about: About, place: Path, seconds: float, home: Path | None
) -> list[str]:
    """Return what the person got, how good it is and what comes next.

    Args:
        about: What is known about the model.
        place: Its file.
        seconds: How long it took.
        home: The option --home, if it was given and so has to be again.
    """
    again = "" if home is None else f" --home {quote(str(home))}"
    entries = _count(about.entries, "entry", "entries")
    return [
        f"learnt      {entries} for {about.task} in {duration(seconds)}",
        *_scores(about),
        f"kept in     {place} (only on this machine, not encrypted)",
        f"next        proper-client generate 'a text of yours'{again}",
    ]


def status(vault: Vault) -> list[str]:
    """Return what lies in a vault.

    Raises:
        ConfigError: the home folder cannot be read.
        FormatError: a file is damaged.
    """
    names = vault.names()
    if not names:
        return [
            f"no personal model in {vault.home} yet",
            "next        proper-client train --history my.json",
        ]
    lines = [f"home        {vault.home}"]
    for name in names:
        lines += ["", *_one(vault, name)]
    return lines


def _one(vault: Vault, name: str) -> list[str]:
    try:
        _, about = load(vault, name)
    except FormatError as error:  # the others can be shown all the same
        said = {"task": name, "error": error, "hint": error.hint}
        return [f"{word:<12}{value}" for word, value in said.items()]
    return [
        f"task        {about.task}",
        f"learnt      {_count(about.entries, 'entry', 'entries')}, {about.trained}",
        *_scores(about),
        f"release     {about.release} ({about.release_sha256[:12]})",
        f"file        {vault.path(name)} ({vault.path(name).stat().st_size:,} bytes)",
    ]


def _scores(about: About) -> list[str]:
    """Return one line for each level: what it would miss in entries it had not seen."""
    if not about.costs:
        return [f"level       {about.level}: too few entries to compare the levels on"]
    newest = _count(about.kept_aside, "newest entry", "newest entries")
    costs = {level: about.costs[level] for level in get_args(Level)}
    best = costs[about.level] == min(costs.values())
    why = "the best" if best else "as the population does not lead clearly"
    kind = get_task(about.task).kind
    lines = [f"level       {about.level}, {why} on your {newest}, kept aside:"]
    for level, cost in costs.items():
        mark = "  <- answers you" if level == about.level else ""
        each = _SAID[kind].format(cost / about.kept_aside)
        lines.append(f"            {level:<11} {each}{mark}")
    return lines


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
