"""What an invitation must be like before a device makes keys for it.

An invitation that can never work is refused while a person still looks at it, not at
the first round; and what it brings is shown in a terminal, and names files.

Covered: an address that is no host and port, a certificate that is none, an unknown
task, a backbone or a name that leads up in folders, characters that steer a terminal.
Not covered: whether anybody answers there, or the backbone is here.
"""

import ipaddress
import re

from cryptography import x509

from proper_shared.errors import FormatError
from proper_shared.invitations import Invitation
from proper_shared.tasks import TASKS

_PART = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")  # of a host's name
_HINT = "ask the coordinator for another invitation; nothing was kept of this one"


def check_invitation(invitation: Invitation) -> None:
    """Refuse an invitation that can never work, or would steer what shows it.

    Raises:
        FormatError: it names what is wrong.
    """
    for what, text in (
        ("name", invitation.name),
        ("backbone", invitation.backbone),
        ("task", invitation.task),
        ("address", invitation.address),
    ):
        if not text.isprintable() or not text.strip():
            raise _wrong(f"the {what} {text[:60]!r}", "printable characters")
        if ".." in re.split(r"[/\\]", text):
            raise _wrong(f"the {what} {text[:60]!r}", "no path upwards")
    if not _is_address(invitation.address):
        raise _wrong(f"the address {invitation.address[:60]!r}", "host:port")
    if invitation.task not in TASKS:
        raise _wrong(f"the task {invitation.task!r}", f"one of {', '.join(TASKS)}")
    try:
        x509.load_pem_x509_certificates(invitation.ca_certificate.encode())
    except ValueError:
        raise _wrong("a certificate that is none", "PEM") from None


def _wrong(got: str, expected: str) -> FormatError:
    return FormatError(f"the invitation has {got}, expected {expected}", hint=_HINT)


def _is_address(text: str) -> bool:
    """Tell whether a text is `name:port`, `1.2.3.4:port` or `[::1]:port`."""
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 2**16:
        return False
    if host.startswith("[") and host.endswith("]"):
        return _is_version(host[1:-1], 6)
    if host.replace(".", "").isdigit():
        return _is_version(host, 4)
    parts = host.removesuffix(".").split(".")
    return len(host) <= 253 and all(map(_PART.fullmatch, parts))


def _is_version(host: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(host).version == version
    except ValueError:
        return False
