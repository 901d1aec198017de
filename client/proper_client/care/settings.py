"""`proper-client config show`: every setting that holds on this device, and why.

There is no file of settings but `policy.toml`; all else is an option, a variable of the
environment, a default, or what an earlier command left in the home.

Covered: all variables that our own code reads, and those of the libraries below it that
change what is loaded, from where, or how fast.
Not covered: what a library reads besides; a secret is shown as `set`, whatever it is.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from proper_client.at_rest.key_file import NAME as KEY_FILE
from proper_client.at_rest.passphrase import VARIABLE as PASSPHRASE
from proper_client.policy import FILE as POLICY
from proper_client.policy import Policy, load_policy, unit_of
from proper_client.releases.shelf import INDEX, ROOT, Shelf
from proper_client.vault import Vault
from proper_shared.roles import fingerprint_of

HOME = "PROPER_HOME"
SET = "set"
# variable -> what it decides; those whose value is a secret stand in SECRETS
VARIABLES = {
    HOME: "folder of your private files",
    PASSPHRASE: "opens a locked vault",
    "XDG_DATA_HOME": "where your data folder is, on Linux",
    "LOCALAPPDATA": "where your data folder is, on Windows",
    "PYTHON_KEYRING_BACKEND": "which keyring is used",
    "HF_HOME": "where models of the hub are kept",
    "HF_HUB_CACHE": "where models of the hub are kept",
    "HF_HUB_OFFLINE": "whether the hub is never asked",
    "HF_ENDPOINT": "which hub is asked for a hub id",
    "HF_TOKEN": "who you are at the hub",
    "HUGGING_FACE_HUB_TOKEN": "who you are at the hub",
    "SSL_CERT_FILE": "which authorities vouch for https://",
    "OMP_NUM_THREADS": "how many threads compute",
    "MKL_NUM_THREADS": "how many threads compute",
    "CUDA_VISIBLE_DEVICES": "which GPUs are seen",
}
SECRETS = frozenset({PASSPHRASE, "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"})
_UNSET = "not set"


@dataclass(frozen=True)
class Given:
    """What options of this command said.

    Attributes:
        home: the option --home.
        passphrase_file: the option --passphrase-file.
    """

    home: Path | None = None
    passphrase_file: Path | None = None


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: of it.
        value: as it holds.
        origin: default, option, an environment variable, or file and line.
        about: what it decides.
    """

    name: str
    value: str
    origin: str
    about: str


def settings(
    vault: Vault, environment: Mapping[str, str], given: Given
) -> Iterator[Setting]:
    """Yield all settings.

    Args:
        vault: of the person; it is not opened.
        environment: as `os.environ`.
        given: on the command line.

    Raises:
        ConfigError: `policy.toml` or the home cannot be read.
        FormatError: a file in the home is damaged.
    """
    yield Setting(
        "home", str(vault.home), _origin_of_home(environment, given), VARIABLES[HOME]
    )
    yield _passphrase(environment, given)
    yield from _of_the_home(vault)
    yield from _policy(vault.home)
    for name, about in VARIABLES.items():
        if name in {HOME, PASSPHRASE} or name not in environment:
            continue
        value = SET if name in SECRETS else environment[name]
        yield Setting(name, value, f"environment {name}", about)


def describe(found: Iterator[Setting], *, origin: bool) -> list[str]:
    """Return settings as lines: name, value and, if asked for, where it comes from."""
    lines = []
    for one in found:
        line = f"{one.name:<28} {one.value}"
        lines.append(f"{line}  # {one.about}; {one.origin}" if origin else line)
    return lines


def as_objects(found: Iterator[Setting]) -> list[dict[str, str]]:
    """Return settings as JSON has them."""
    return [vars(one) for one in found]


def _origin_of_home(environment: Mapping[str, str], given: Given) -> str:
    """Say which of the ways of `default_home` decided."""
    if given.home is not None:
        return "option --home"
    if environment.get(HOME, "").strip():
        return f"environment {HOME}"
    if sys.platform == "win32" and environment.get("LOCALAPPDATA"):
        return "environment LOCALAPPDATA"
    linux = sys.platform not in {"win32", "darwin"}
    if linux and Path(environment.get("XDG_DATA_HOME", "")).is_absolute():
        return "environment XDG_DATA_HOME"
    return "default"


def _passphrase(environment: Mapping[str, str], given: Given) -> Setting:
    if given.passphrase_file is not None:
        origin = "option --passphrase-file"
    elif PASSPHRASE in environment:
        origin = f"environment {PASSPHRASE}"
    else:
        return Setting("passphrase", "asked for", "default", VARIABLES[PASSPHRASE])
    return Setting("passphrase", SET, origin, VARIABLES[PASSPHRASE])


def _of_the_home(vault: Vault) -> Iterator[Setting]:
    """Yield what earlier commands left there."""
    file = vault.key_file
    locked = "not encrypted" if file is None else f"locked by a {file.way}"
    origin = "default" if file is None else str(vault.home / KEY_FILE)
    yield Setting("vault", locked, origin, "how your files lie on the disk")
    shelf = Shelf(vault.home)
    kept, (folder, _) = shelf.current(), shelf.default()
    origin = "default" if kept is None else str(shelf.folder / INDEX)
    yield Setting("release", str(folder), origin, "what `train` starts from")
    if kept is not None:
        yield Setting("backbone", kept.backbone, origin, "what that release stands on")
    if (root := shelf.pinned()) is not None:
        print_ = fingerprint_of(root)
        yield Setting("root", print_, str(shelf.folder / ROOT), "who signs releases")


def _policy(home: Path) -> Iterator[Setting]:
    """Yield the keys of the policy, each with the line that sets it."""
    policy = load_policy(home)
    path = home / POLICY
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    for key, about in Policy.model_fields.items():
        value = getattr(policy, key)
        shown = _UNSET if value is None else str(value)
        if isinstance(value, bool):
            shown = str(value).lower()
        origin = "default"
        if key in policy.model_fields_set:
            origin = _place_of(key, path, lines)
        what = f"{about.description} ({unit_of(key)})"
        yield Setting(f"policy.{key}", shown, origin, what)


def _place_of(key: str, path: Path, lines: list[str]) -> str:
    """Return file and line, from 1, of a key that was found to be set."""
    spelt = re.compile(rf"""\s*(["']?){key}\1\s*=""")
    for number, line in enumerate(lines, 1):
        if spelt.match(line):
            return f"{path}:{number}"
    return str(path)  # TOML lets letters be spelt as escapes
