"""The last stop before the wire: what may leave for a SuperLink, and what may come.

Covered: calls that are none of ours (so no bundle is ever asked for), a server without
the one certificate that is trusted, redirections, compressed answers, answers that are
too long; the length is looked at before the body is read. Every request goes through
the ledger's door. Proxies and other settings of the environment are left out.
Not covered: what the headers tell, such as the version of Flower; the public key and a
signed time stand there too.
"""

import ssl

import httpx

from proper_client.ledger import Door
from proper_client.ledger_amounts import NothingLeftError
from proper_client.ledger_entry import NOWHERE, Place, Purpose
from proper_shared.secagg.checks import Refusal

TIMEOUT_S = 30.0
SMALL = 2**20  # bytes of any answer that is no object
OVERHEAD = 2**10  # bytes around an object

# All that may ever leave, and why. `RegisterNode`, `GetFab` are not among it.
PURPOSES = {
    "ActivateNode": Purpose.HELLO,
    "DeactivateNode": Purpose.FAREWELL,
    "SendNodeHeartbeat": Purpose.HEARTBEAT,
    "PullMessages": Purpose.POLL,
    "GetRun": Purpose.PULL,
    "PullObject": Purpose.PULL,
    "ConfirmMessageReceived": Purpose.RECEIPT,
    "PushMessages": Purpose.ANNOUNCEMENT,
}


class Gate:
    """Known calls, written down, with bounded answers.

    Args:
        ca_certificate: PEM, the only authority that is trusted.
        door: where what leaves is written down first.

    Attributes:
        left: bytes that the objects of the message at hand may still have.
        contents: why objects are sent now, and in which round.
    """

    def __init__(self, ca_certificate: str, door: Door) -> None:
        trusted = ssl.create_default_context(cadata=ca_certificate)
        trusted.minimum_version = ssl.TLSVersion.TLSv1_2
        # No proxy and no other setting of the environment: bytes go to one place.
        self._wire = httpx.Client(verify=trusted, timeout=TIMEOUT_S, trust_env=False)
        self._door = door
        self.left = 0
        self.contents: tuple[Purpose, Place] = (Purpose.ERROR, NOWHERE)

    def send(self, call: str, request: httpx.Request) -> httpx.Response:
        """Send a request, if it is one that may leave; return what came back.

        Args:
            call: its name in the Fleet API.
            request: with its body; nothing else of a device is in it.

        Raises:
            Refusal: the call may not leave, or what came back is refused.
            ConfigError: the ledger could not be written; nothing was sent.
            httpx.TransportError: nobody answered.
        """
        purpose, place = self.contents if call == "PushObject" else (None, NOWHERE)
        purpose = purpose or PURPOSES.get(call)
        if purpose is None:
            raise Refusal("unknown-call", f"the call {call} is none of ours")
        request.headers["accept-encoding"] = "identity"
        limit = self.left + OVERHEAD if call == "PullObject" else SMALL
        send = self._door.send
        return send(
            request.content, purpose, lambda _: self._ask(request, limit), place
        )

    def _ask(self, request: httpx.Request, limit: int) -> httpx.Response:
        """Send, and read at most `limit` bytes of the answer."""
        try:
            response = self._wire.send(request, stream=True, follow_redirects=False)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            # No connection, or nobody there whom we trust: no body was ever sent.
            raise NothingLeftError(error) from error
        try:
            content = _read(response, limit)
        finally:
            response.close()
        return httpx.Response(response.status_code, content=content, request=request)

    def close(self) -> None:
        """Close the connections."""
        self._wire.close()


def _read(response: httpx.Response, limit: int) -> bytes:
    """Return the body of an answer, refusing it as soon as it is known to be too long.

    Raises:
        Refusal: it is longer than `limit` bytes, compressed, or leads elsewhere.
    """
    if response.is_redirect:
        raise Refusal("redirection", "got an answer that leads elsewhere")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise Refusal("compressed", "got a compressed answer, asked for a plain one")
    declared = response.headers.get("content-length", "0")
    if not declared.isdigit() or int(declared) > limit:
        raise Refusal(
            "object-too-large",
            f"got an answer of {declared[:20]} bytes, expected at most {limit:,}",
        )
    content = bytearray()
    for chunk in response.iter_raw():
        content += chunk
        if len(content) > limit:
            raise Refusal("object-too-large", f"got more than {limit:,} bytes")
    return bytes(content)
