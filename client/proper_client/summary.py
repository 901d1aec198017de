"""What a person is told about their model, in lines for a terminal."""

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from proper_client.at_rest.key_file import Way
from proper_client.counting import counted
from proper_client.kept import About, load_all
from proper_client.learnt import Learnt
from proper_client.membership_lines import federation_lines
from proper_client.standing import in_words, what_is_below
from proper_client.vault import Vault
from proper_shared.errors import FormatError
from proper_shared.history import Entry
from proper_shared.progress import duration
from proper_shared.tasks import get_task

if TYPE_CHECKING:
    from proper_client.assistant import Learning

_SAID = {  # what an entry kept aside costs, as in `Answerer.costs`
    "label": "expected to be wrong in {:.0%}",
    "score": "expected to be off by {:.2f}",
    "text": "loss of a text {:.1f}",
}


def after_training(
    about: About, vault: Vault, seconds: float, home: Path | None
) -> list[str]:
    """Return what the person got, how good it is and what comes next.

    Args:
        about: What is known about the model.
        vault: Where it is kept.
        seconds: How long it took.
        home: The option --home, if it was given and so has to be again.

    Raises:
        ConfigError: the key file of the vault cannot be read.
        FormatError: it is damaged.
    """
    entries = counted(about.entries, "entry", "entries")
    learnt = f"learnt      {entries} for {about.task} in {duration(seconds)}"
    return [learnt, *_kept(about, vault, home)]


def after_learning(
    done: "Learning", vault: Vault, seconds: float, home: Path | None
) -> list[str]:
    """Return what came of a training, as `after_training` does.

    Args:
        done: What came of it.
        vault: Where the model is kept.
        seconds: How long it took.
        home: The option --home, if it was given and so has to be again.

    Raises:
        ConfigError: the key file of the vault cannot be read.
        FormatError: it is damaged.
    """
    about, course = done.about, done.course
    if course.way == "nothing":
        entries = counted(about.entries, "entry", "entries")
        known = f"nothing new your model for {about.task} knows all {entries}"
        return [known, *_kept(about, vault, home)]
    lines = after_training(about, vault, seconds, home)
    if course.way == "later":
        new = counted(len(course.new), "new entry", "new entries")
        lines[0] = (
            f"learnt      {new} for {about.task} in {duration(seconds)}, beside "
            f"{about.entries - len(course.new)} of before"
        )
    elif course.why:
        lines.insert(1, f"            from the beginning: {course.why}")
    if done.resumed:
        lines.insert(1, "            from where the last training was cut short")
    return lines


def _kept(about: About, vault: Vault, home: Path | None) -> list[str]:
    return [
        *_scores(about),
        f"kept in     {vault.path(about.task)} (only on this machine)",
        *at_rest(vault, home),
        f"next        proper-client generate 'a text of yours'{_again(home)}",
    ]


def after_locking(way: Way) -> list[str]:
    """Return what a person sees once their files are encrypted.

    Args:
        way: What opens them.
    """
    if way == "keyring":
        return [
            "your files are encrypted; the OS keyring opens them for you",
            "It stays behind when the folder moves to another machine. Before that:",
            "proper-client passphrase",
        ]
    return [
        "your files are encrypted; the passphrase opens them",
        "Nobody can help if it is lost, so keep a copy of it elsewhere.",
    ]


def at_rest(vault: Vault, home: Path | None) -> list[str]:
    """Return how the files lie on the disk, and what to do if they lie in clear.

    Args:
        vault: The private files.
        home: The option --home, if it was given and so has to be again.

    Raises:
        ConfigError: the key file cannot be read.
        FormatError: it is damaged.
    """
    file, again = vault.key_file, _again(home)
    if file is None:
        return [
            "at rest     not encrypted: whoever takes the disk reads your files",
            f"            to encrypt them: proper-client lock{again}",
        ]
    if file.state == "sealing":
        return [
            "at rest     encrypted in part: somebody stopped proper-client lock",
            f"            to go on: proper-client lock{again}",
        ]
    opener = "your passphrase" if file.way == "passphrase" else "the OS keyring"
    return [f"at rest     encrypted, {opener} opens it"]


def status(vault: Vault) -> list[str]:
    """Return what lies in a vault.

    Raises:
        ConfigError: the home folder cannot be read, or stays locked.
        FormatError: a file is damaged.
    """
    names, histories = vault.names(), vault.histories()
    lines = [f"home        {vault.home}"]
    if names or histories or vault.key_file:
        lines += at_rest(vault, None)
    if histories:
        lines.append(f"histories   {', '.join(histories)}")
    lines += federation_lines(vault)
    for name in names:
        lines += ["", *_one(vault, name)]
    if not names:
        lines += [
            f"no personal model in {vault.home} yet",
            "next        proper-client train --history my.json",
        ]
    return lines


def _again(home: Path | None) -> str:
    return "" if home is None else f" --home {quote(str(home))}"


def _one(vault: Vault, name: str) -> list[str]:
    try:
        _, about, learnt = load_all(vault, name)
        entries = vault.history(name)
    except FormatError as error:  # the others can be shown all the same
        said = {"task": name, "error": error, "hint": error.hint}
        return [f"{word:<12}{value}" for word, value in said.items()]
    return [
        f"task        {about.task}",
        f"learnt      {counted(about.entries, 'entry', 'entries')}, {about.trained}",
        *_behind(entries, learnt),
        *_scores(about),
        f"release     {what_is_below(about)}",
        f"file        {vault.path(name)} ({vault.path(name).stat().st_size:,} bytes)",
    ]


def _behind(entries: Sequence[Entry], learnt: Learnt | None) -> list[str]:
    """Return a line for what the model has yet to learn or to forget, if anything."""
    if learnt is None or not entries:
        return []
    ids = {entry.id for entry in entries}
    lines = []
    if new := len(ids - learnt.costs.keys()):
        lines.append(f"            {new} more to learn: proper-client train")
    if gone := len(learnt.costs.keys() - ids):
        lines.append(f"            {gone} still to forget: proper-client train")
    return lines


def _scores(about: About) -> list[str]:
    """Return one line for each level: what it would miss in entries it had not seen."""
    chosen, costs = in_words(about)
    if not costs:
        return [f"level       {chosen}: too few entries to compare the levels on"]
    newest = counted(about.kept_aside, "newest entry", "newest entries")
    best = costs[chosen] == min(costs.values())
    why = "the best" if best else "as the population does not lead clearly"
    kind = get_task(about.task).kind
    lines = [f"level       {chosen}, {why} on your {newest}, kept aside:"]
    for level, cost in costs.items():
        mark = "  <- answers you" if level == chosen else ""
        each = _SAID[kind].format(cost / about.kept_aside)
        lines.append(f"            {level:<11} {each}{mark}")
    return lines
