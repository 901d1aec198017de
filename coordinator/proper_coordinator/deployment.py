"""The folder of a deployment: keys, settings, members; and where all else goes.

    coordinator.toml       what the operator chose
    deployment.json        which federation it is
    ca.pem, ca-key.pem     the authority that clients trust
    server.pem, server-key.pem
    signing.key            Ed25519 seed, signs for the coordinator
    membership.log         who belongs to it, in a chain that members pin
    runtime.secret         lets our own process, and no other, lead a run
    members.json           who was invited, and who came
    superlink/             Flower's database
    logs/                  what the processes said
    checkpoints/           where training stands, see store.py

Covered: a folder is whole or not there; nothing is overwritten; other accounts of the
machine (folders 0700, files 0600).
Not covered: whoever reads the folder is the coordinator. Other accounts of the machine
can reach Flower on 127.0.0.1 and start runs there, which nobody works on.
"""

import json
import secrets
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from proper_coordinator.authority import new_papers
from proper_coordinator.settings import FILE, Settings, load_settings, written
from proper_shared.durable import write_file, write_folder
from proper_shared.errors import ConfigError, FormatError
from proper_shared.locks import alone
from proper_shared.secagg.keys import HeldSigner
from proper_shared.secagg.membership import Log
from proper_shared.strict_json import parse_object

SECRET, FOLDER = 0o600, 0o700
FORMAT = "proper deployment 1"
CHECKPOINTS = "checkpoints"
LOG = "membership.log"


@dataclass(frozen=True)
class Deployment:
    """A deployment on this machine's disk.

    Attributes:
        folder: its own.
        settings: as they are in the file.
        federation: its number, 64 hex digits.
    """

    folder: Path
    settings: Settings
    federation: str

    @property
    def ca_certificate(self) -> bytes:
        """What clients trust, PEM."""
        return self.path("ca.pem").read_bytes()

    @property
    def runtime_secret(self) -> bytes:
        """What lets our own process lead a run."""
        return self.path("runtime.secret").read_bytes()

    @property
    def signing_key(self) -> Ed25519PrivateKey:
        """The key that signs for the coordinator."""
        return Ed25519PrivateKey.from_private_bytes(
            self.path("signing.key").read_bytes()
        )

    @property
    def log(self) -> Log:
        """Who belongs to the federation, signed entry by entry."""
        return Log.parse(self.path(LOG).read_bytes())

    @property
    def signer(self) -> HeldSigner:
        """What signs for the coordinator in the log."""
        return HeldSigner(self.path("signing.key").read_bytes())

    @property
    def inner_address(self) -> str:
        """Where Flower is, on this machine."""
        return f"127.0.0.1:{self.settings.inner_port}"

    def path(self, name: str) -> Path:
        """Return the place of a file."""
        return self.folder / name

    def room(self, name: str) -> Path:
        """Return a folder of its own, made if it is not there."""
        room = self.folder / name
        room.mkdir(mode=FOLDER, exist_ok=True)
        return room

    def is_busy(self, what: str) -> bool:
        """Tell whether a process does `what` here at this moment."""
        try:
            with self.alone(what):
                return False
        except ConfigError:
            return True

    def alone(self, what: str) -> AbstractContextManager[None]:
        """Be the only process that does `what` here; see `locks.alone`."""
        return alone(self.folder, what)


def make_deployment(
    folder: Path,
    settings: Settings,
    hosts: Sequence[str],
    now: datetime,
    office: bytes | None = None,
) -> Deployment:
    """Make the folder of a new deployment, in one step.

    Args:
        folder: not there yet.
        settings: written into its file.
        hosts: names and addresses for the server's certificate, besides the address
            in the settings.
        now: with a time zone, for the certificates.
        office: public key of the enrolment office, 32 bytes; for good, since the name
            of the federation depends on it.

    Raises:
        ConfigError: something stands at `folder`, or a host is none.
        OSError: it cannot be written; nothing is left behind.
    """
    if folder.exists() or folder.is_symlink():
        raise ConfigError(
            f"{folder} is there already, and nothing is overwritten",
            hint="choose another folder with --dir, or move this one away",
        )
    texts = Path(settings.public_texts)  # one that is not absolute lies in `folder`
    if texts.is_absolute() and not texts.exists():
        raise ConfigError(f"there are no public texts in {texts}")
    own = settings.address.rpartition(":")[0].strip("[]")
    papers = new_papers([own, *hosts], now)
    key = Ed25519PrivateKey.generate().private_bytes_raw()
    log = Log.found(HeldSigner(key), office, now.date())
    files = {
        "ca-key.pem": papers.ca_key,
        "ca.pem": papers.ca_certificate,
        "server-key.pem": papers.server_key,
        "server.pem": papers.server_certificate,
        "signing.key": key,
        LOG: log.dump(),
        "runtime.secret": secrets.token_bytes(32),
        FILE: written(settings).encode(),
        "deployment.json": json.dumps(
            {"format": FORMAT, "federation": log.federation.hex()}
        ).encode(),
    }

    def fill(place: Path) -> None:
        place.chmod(FOLDER)
        for name, data in files.items():
            write_file(place / name, data, SECRET)

    write_folder(folder, fill)
    return open_deployment(folder)


def open_deployment(folder: Path) -> Deployment:
    """Return the deployment in a folder.

    Raises:
        ConfigError: there is none, or its settings are wrong.
        FormatError: it is damaged.
    """
    settings = load_settings(folder / FILE)
    try:
        about = parse_object(
            (folder / "deployment.json").read_bytes(), "deployment.json"
        )
    except FileNotFoundError:
        raise ConfigError(f"{folder} lacks its deployment.json") from None
    federation = about.get("federation")
    if about.get("format") != FORMAT or not isinstance(federation, str):
        raise FormatError(f"deployment.json is not of the format {FORMAT!r}")
    return Deployment(folder, settings, federation)
