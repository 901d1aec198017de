"""A look at the private files of a person: whose they are, and whether they open.

Nothing is written, and nothing asked for: a vault that is closed stays so, unless the
person wants it opened.

Covered: files or folders that other accounts could read, of somebody else, or left by
a killed process; a vault, a model, a release or a backbone that is damaged or gone.
Not covered: access lists beyond the permissions that a file shows; Windows, which has
no such permissions.
"""

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from shlex import quote

from proper_client.at_rest.files import SEALED
from proper_client.at_rest.key_file import NAME as KEY_FILE
from proper_client.care.finding import Finding, ok, warning, wrong
from proper_client.kept import TRAIN_AGAIN, About, load
from proper_client.policy import FILE as POLICY
from proper_client.policy import load_policy
from proper_client.standing import Base, base_of, check_there
from proper_client.vault import Vault
from proper_shared.blank import digest_of_blank
from proper_shared.durable import TEMPORARY, is_left_behind
from proper_shared.errors import ProperError
from proper_shared.release import BackboneId, read_manifest, verify_files

FOLDERS = (*SEALED, "releases")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_SHOWN = 3  # names in one finding


def home(vault: Vault) -> Iterator[Finding]:
    """Look at the folder itself: there, writable, of this person."""
    place = vault.home
    if not place.exists():
        above = next(folder for folder in place.parents if folder.exists())
        if not os.access(above, os.W_OK | os.X_OK):
            yield wrong(f"{place} cannot be made in {above}", _ELSEWHERE)
            return
        yield ok(f"{place} is not there yet; the first model makes it")
        return
    if not place.is_dir():
        yield wrong(f"{place} is a file, expected a folder", _ELSEWHERE)
        return
    if not os.access(place, os.W_OK | os.X_OK):
        yield warning(f"{place} cannot be written, so nothing new is kept", _ELSEWHERE)
    yield ok(str(place))


def permissions(vault: Vault) -> Iterator[Finding]:
    """Look whether others of this machine can read, and whose the files are."""
    if sys.platform == "win32" or not vault.home.is_dir():
        return
    places = _private(vault.home)
    facts = [(place, place.lstat()) for place in places]
    odd = [p for p, fact in facts if fact.st_uid != os.getuid()]
    if odd:
        hint = f"if that was sudo: sudo chown -R $USER {vault.home}"
        yield wrong(f"not yours: {_names(odd, vault.home)}", hint)
    open_ones = [
        place
        for place, fact in facts
        if fact.st_mode & _OTHERS and not stat.S_ISLNK(fact.st_mode)
    ]
    if open_ones:
        hint = "close them: chmod go= FILE; and ask who could have read them"
        yield wrong(f"open to others: {_names(open_ones, vault.home)}", hint)
    if not odd and not open_ones:
        yield ok(f"{len(places)} files and folders, yours alone")


def at_rest(vault: Vault, *, opens: bool) -> Iterator[Finding]:
    """Look at the key file, and open it if that is wanted."""
    file, lock = vault.key_file, f"proper-client lock --home {quote(str(vault.home))}"
    if file is None and not vault.files.places():
        yield ok("nothing here yet")
        return
    if file is None:
        vault.files.check_keyed()
        yield warning("not encrypted: whoever takes the disk reads it", lock)
        return
    if file.state == "sealing":
        yield warning("encrypted in part: somebody stopped a lock", lock)
    opener = "a passphrase" if file.way == "passphrase" else "the OS keyring"
    if not opens:
        yield ok(f"{KEY_FILE} is whole, locked by {opener}; --open looks inside")
        return
    vault.files.opened()
    yield ok(f"{KEY_FILE} is whole, and {opener} opens it")


def histories(vault: Vault, *, opens: bool) -> Iterator[Finding]:
    """Read the entries that are kept, to their end."""
    if not is_readable(vault, opens=opens):
        return
    for task in vault.histories():
        yield ok(f"{len(vault.history(task)):,} entries for {task}")


def models(vault: Vault, *, opens: bool) -> Iterator[Finding]:
    """Open each model, and look for the release and the backbone below it."""
    if not (names := vault.names()):
        yield ok("none yet")
    if not is_readable(vault, opens=opens):
        if names:
            yield ok(f"{', '.join(names)}: closed; --open looks inside")
        return
    for name in names:
        try:
            _, about = load(vault, name)
            yield _below(name, about)
        except ProperError as error:  # the others are looked at all the same
            yield wrong(f"{name}: {error}", error.hint or TRAIN_AGAIN)


def policy(vault: Vault) -> Iterator[Finding]:
    """Read what the person lets a federation ask for."""
    chosen = load_policy(vault.home).model_fields_set
    if not (vault.home / POLICY).is_file():
        yield ok(f"no {POLICY}: the defaults hold")
        return
    yield ok(f"{POLICY} can be read, it sets {len(chosen)} keys")


def leftovers(vault: Vault) -> Iterator[Finding]:
    """Look for what killed processes left beside their places."""
    found = [p for p in vault.home.rglob(f".*{TEMPORARY}") if is_left_behind(p)]
    if not found:
        yield ok("none")
        return
    size = sum(path.lstat().st_size for path in found)
    names = _names(sorted(found), vault.home)
    hint = "remove them; most go by themselves with the next command that writes"
    yield warning(f"{len(found)} of killed processes, {size:,} bytes: {names}", hint)


def is_readable(vault: Vault, *, opens: bool) -> bool:
    """Tell whether sealed files may be read: nothing seals them, or it is wanted."""
    return opens or vault.key_file is None


def _below(name: str, about: About) -> Finding:
    """Look whether what a model stands on is there, and the same as back then."""
    check_there(about)
    base = base_of(about)
    if isinstance(base, Path):
        verify_files(base, read_manifest(base))
    from proper_shared.backbone import (  # noqa: PLC0415 - torch is slow
        NANO,
        fingerprint_of,
        local_folder,
    )

    place = NANO if about.backbone == "nano" else local_folder(about.backbone)
    if place is None:
        return warning(
            f"{name}: its backbone {about.backbone} is no folder here, so the hub is "
            "asked for it",
            "to stay offline, download it and train again with --backbone FOLDER",
        )
    if not _stands_on(about, base, made := fingerprint_of(place)):
        return wrong(
            f"{name}: the backbone in {place} is another by now ({made[:12]})",
            f"put the old one back, or {TRAIN_AGAIN}",
        )
    return ok(f"{name} opens; its release and backbone are there and whole")


def _stands_on(about: About, base: Base, fingerprint: str) -> bool:
    """Tell whether a backbone is the one of training; of a blank release by its digest.

    What a backbone is called does not count there.
    """
    if isinstance(base, Path):
        return read_manifest(base).backbone.fingerprint == fingerprint
    header = base.header(BackboneId(name="nano", fingerprint=fingerprint))
    return digest_of_blank(header) == about.release_sha256


def _private(home: Path) -> list[Path]:
    """Return what belongs to the person alone. A home may hold other things."""
    single = [home / name for name in (KEY_FILE, ".lock")]
    inside = [
        place
        for folder in FOLDERS
        for place in (home / folder, *(home / folder).rglob("*"))
    ]
    shown = [p for p in inside if not _is_public(p.relative_to(home))]
    return sorted(p for p in (*single, *shown) if p.exists() or p.is_symlink())


def _is_public(place: Path) -> bool:
    """Tell whether everybody may read it: what was pulled lies in a closed folder."""
    return place.parts[0] == "releases" and len(place.parts) > 1


def _names(places: list[Path], home: Path) -> str:
    shown = [str(place.relative_to(home)) for place in places[:_SHOWN]]
    rest = len(places) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


_ELSEWHERE = "choose another folder with --home, or set PROPER_HOME"
