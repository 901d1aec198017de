"""`proper-coordinator`: options in, functions called, errors out. No logic here.

Imports stand inside the commands, so that `--help` is there at once.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from proper_shared.completion import completion_of
from proper_shared.environment import quiet
from proper_shared.friendly import Command, friendly, plain

_PATH = click.Path(path_type=Path)


def _place(*names: str, default: str, words: str) -> Callable[[Command], Command]:
    """Return the option of a file or folder that need not be named."""
    return click.option(
        *names, type=_PATH, default=Path(default), show_default=True, help=words
    )


_dir = _place(
    "--dir", "folder", default="federation", words="Folder of the deployment."
)
_debug = click.option("--debug", is_flag=True, help="Show the traceback of an error.")
_keys = _place("--keys", default="release-keys", words="Folder of the keys.")
_passphrase = click.option(
    "--passphrase-file",
    type=_PATH,
    help="File with the passphrase, for scripts [default: it is asked for].",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="proper", prog_name="proper-coordinator")
def main() -> None:
    """Look after what a federation learns together; no text comes by here."""
    quiet(os.environ)  # before any library is imported that would call home


@main.command()
@click.argument("release", type=_PATH)
@_debug
@friendly(interrupted="nothing was changed")
def inspect(release: Path) -> None:
    """Show what the folder RELEASE holds, and verify its files."""
    from proper_coordinator.inspection import describe  # noqa: PLC0415

    click.echo(plain("\n".join(describe(release))))


@main.command()
@_place("--out", default="office.key", words="File for the private key.")
@_debug
@friendly(interrupted="no key was made")
def office(*, out: Path) -> None:
    """Make the key of an enrolment office, on a machine that is not the coordinator's.

    The office looks at people and countersigns who they are: devices count them from
    the first day on.
    """
    from proper_coordinator.office import make_office  # noqa: PLC0415

    click.echo(plain("\n".join(make_office(out))))


@main.command()
@click.argument("enrolments", nargs=-1, required=True, type=_PATH)
@_place("--key", default="office.key", words="The office's private key.")
@_debug
@friendly(interrupted="the same command does it again, with the same result")
def countersign(*, enrolments: tuple[Path, ...], key: Path) -> None:
    """Say as the office that ENROLMENTS are of people whom you know; needs no network.

    For each file NAME.json it writes NAME.countersigned.json beside it.
    """
    from proper_coordinator.office import countersign_files  # noqa: PLC0415

    click.echo(plain("\n".join(countersign_files(key, enrolments))))


@main.command()
@click.option("--address", help="HOST:PORT by which clients reach this machine.")
@click.option("--host", multiple=True, help="Another name or address of it.")
@click.option("--set", "chosen", multiple=True, help="A line of coordinator.toml.")
@click.option("--office", help="Public key of the enrolment office; it is for good.")
@_dir
@_debug
@friendly(interrupted="nothing was made")
def init(
    *,
    folder: Path,
    address: str | None,
    host: tuple[str, ...],
    chosen: tuple[str, ...],
    office: str | None,
) -> None:
    """Make keys, an authority for TLS, and the settings of a federation."""
    from proper_coordinator.authority import fingerprint  # noqa: PLC0415
    from proper_coordinator.deployment import make_deployment  # noqa: PLC0415
    from proper_coordinator.office import describe, parse_office  # noqa: PLC0415
    from proper_coordinator.settings import FILE, parse_settings  # noqa: PLC0415

    lines = [*([f'address = "{address}"'] if address else []), *chosen]
    settings = parse_settings("\n".join(lines))
    key = parse_office(office)
    made = make_deployment(folder, settings, host, datetime.now(UTC), key)
    click.echo(plain(f"made {folder}; look through {folder / FILE}"))
    click.echo(f"authority {fingerprint(made.ca_certificate)}")
    click.echo(f"office    {describe(key)}")
    click.echo(plain(f"next: proper-coordinator up --dir {folder}"))


@main.command()
@_dir
@_debug
@friendly(interrupted="stopped; `up` starts it again, nothing is lost")
def up(*, folder: Path) -> None:
    """Run what clients connect to, until Ctrl-C."""
    from proper_coordinator.running import keep_up  # noqa: PLC0415

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    keep_up(folder, os.environ, stop, lambda line: click.echo(plain(line)))


@main.command()
@click.option("--name", help="What you call the person.")
@click.option(
    "--out",
    type=_PATH,
    help="File to write [default: NAME.invitation.json].",
)
@_dir
@_debug
@friendly(interrupted="look with `status` whether the person was invited")
def invite(*, folder: Path, name: str | None, out: Path | None) -> None:
    """Write an invitation for one person; send it in a way that you trust."""
    from proper_coordinator.joining import write_invitation  # noqa: PLC0415

    click.echo(plain("\n".join(write_invitation(folder, name, out))))


@main.command()
@click.argument("enrolment", type=_PATH)
@click.option(
    "--countersignature",
    type=_PATH,
    help="What the office wrote for it.",
)
@click.option("--unvouched", is_flag=True, help="Do without, although there is one.")
@_dir
@_debug
@friendly(interrupted="look with `status` whether the person was admitted")
def admit(
    *, folder: Path, enrolment: Path, countersignature: Path | None, unvouched: bool
) -> None:
    """Admit the device whose answer is in the file ENROLMENT."""
    from proper_coordinator.joining import take_in  # noqa: PLC0415

    lines = take_in(folder, enrolment, countersignature, unvouched=unvouched)
    click.echo(plain("\n".join(lines)))


@main.command()
@click.argument("name")
@_dir
@_debug
@friendly(interrupted="look with `status` whether the seat was taken back")
def remove(*, folder: Path, name: str) -> None:
    """Take the seat of NAME back for good, because the device is lost."""
    from proper_coordinator.joining import take_back  # noqa: PLC0415

    click.echo(plain("\n".join(take_back(folder, name))))


@main.command()
@_dir
@_debug
@friendly(interrupted="go on with `resume`; with `run` if no round was complete yet")
def run(*, folder: Path) -> None:
    """Train the federation's parts, one round after the other."""
    _lead(folder, begun=False)


@main.command()
@_dir
@_debug
@friendly(interrupted="the last complete round is kept; go on with `resume`")
def resume(*, folder: Path) -> None:
    """Go on from the last complete round."""
    _lead(folder, begun=True)


@main.command()
@_dir
@_debug
@friendly(interrupted="nothing was changed")
def status(*, folder: Path) -> None:
    """Show members, rounds, and who dropped out of the last one."""
    from proper_coordinator.deployment import open_deployment  # noqa: PLC0415
    from proper_coordinator.progress import describe  # noqa: PLC0415

    click.echo(plain("\n".join(describe(open_deployment(folder)))))


@main.command()
@_place(
    "--out", default="release", words="Folder to write; a release there is replaced."
)
@click.option("--merged", is_flag=True, help="With the backbone and population as one.")
@click.option("--unfinished", is_flag=True, help="Take parts that lack rounds, too.")
@_dir
@_debug
@friendly(interrupted="the release that was there is as it was")
def release(*, folder: Path, out: Path, merged: bool, unfinished: bool) -> None:
    """Write what the federation learnt as a release."""
    from proper_coordinator.deployment import open_deployment  # noqa: PLC0415
    from proper_coordinator.releasing import write_release_of  # noqa: PLC0415

    quiet(os.environ)  # before Flower is imported
    made = open_deployment(folder)
    lines = write_release_of(made, out, merged=merged, unfinished=unfinished)
    click.echo(plain("\n".join(lines)))


@main.command()
@_place("--out", default="release-keys", words="Folder for the keys.")
@_passphrase
@_debug
@friendly(interrupted="no key was made")
def keys(*, out: Path, passphrase_file: Path | None) -> None:
    """Make the keys that sign releases, on a machine that is not the coordinator's."""
    from proper_coordinator.publishing import make_keys  # noqa: PLC0415

    secret = _ask(passphrase_file, new=True)
    click.echo(plain("\n".join(make_keys(out, secret, datetime.now(UTC)))))


@main.command()
@click.argument(
    "name", type=click.Choice(["targets", "online", "root-1", "root-2", "root-3"])
)
@_keys
@_passphrase
@_debug
@friendly(interrupted="the old key is in force; the same command starts again")
def rotate(*, name: str, keys: Path, passphrase_file: Path | None) -> None:
    """Put a new key pair in the place of the pair NAME; two root keys say so."""
    from proper_coordinator.publishing import rotate as change  # noqa: PLC0415

    ask = lambda: _ask(passphrase_file)  # noqa: E731
    click.echo(plain("\n".join(change(keys, name, ask, datetime.now(UTC)))))


@main.command()
@click.argument("release", type=_PATH)
@click.option(
    "--to",
    "place",
    type=_PATH,
    required=True,
    help="Folder that a server, or a stick, brings to the devices.",
)
@click.option(
    "--announce",
    "folder",
    type=click.Path(path_type=Path),
    help="Folder of the deployment, if it is on this machine: see `announce`.",
)
@_keys
@_passphrase
@_debug
@friendly(interrupted="what was published is as it was; the same command starts again")
def publish(
    *,
    release: Path,
    place: Path,
    folder: Path | None,
    keys: Path,
    passphrase_file: Path | None,
) -> None:
    """Sign the folder RELEASE and write it to where devices take it from."""
    from proper_coordinator.announcing import announce as name  # noqa: PLC0415
    from proper_coordinator.publishing import publish as sign  # noqa: PLC0415

    ask = lambda: _ask(passphrase_file)  # noqa: E731
    now = datetime.now(UTC)
    click.echo(plain("\n".join(sign(release, place, keys, ask, now))))
    if folder is not None:
        click.echo(plain("\n".join(name(folder, place, now.date()))))
    else:
        click.echo("next, at the coordinator: proper-coordinator announce")


@main.command()
@click.argument("place", type=click.Path(path_type=Path))
@_dir
@_debug
@friendly(interrupted="the same command starts again; a release is named once")
def announce(*, place: Path, folder: Path) -> None:
    """Name what is published in PLACE in the log that all members see."""
    from proper_coordinator.announcing import announce as name  # noqa: PLC0415

    click.echo(plain("\n".join(name(folder, place, datetime.now(UTC).date()))))


@main.command()
@click.argument("place", type=_PATH)
@_place("--key", default="online.1.key", words="File of the online key.")
@_debug
@friendly(interrupted="what was published is as it was; the same command starts again")
def refresh(*, place: Path, key: Path) -> None:
    """Say that what is published in PLACE is still the newest; once a day will do."""
    from proper_coordinator.publishing import refresh as stamp  # noqa: PLC0415

    click.echo(plain("\n".join(stamp(place, key, datetime.now(UTC)))))


main.add_command(completion_of("proper-coordinator"))


def _ask(passphrase_file: Path | None, *, new: bool = False) -> str:
    """Return the passphrase, from a file or from the person.

    An old one may have several lines: once, such a file was no error.
    """
    from proper_shared.passphrases import (  # noqa: PLC0415
        GIVE,
        ask_at_terminal,
        ask_twice,
        of_file,
    )

    if passphrase_file is not None:
        return of_file(passphrase_file, lines=not new)
    ask = partial(ask_at_terminal, locked="a key", how=GIVE)
    question = "Passphrase of the keys"
    return ask_twice(ask, question, len) if new else ask(question)


def _lead(folder: Path, *, begun: bool) -> None:
    from proper_coordinator.running import go_on  # noqa: PLC0415
    from proper_shared.progress import Progress  # noqa: PLC0415

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    say = lambda line: click.echo(plain(line), err=True)  # noqa: E731
    go_on(folder, os.environ, Progress(sys.stderr, of="this part"), say, begun=begun)
