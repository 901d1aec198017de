"""The way in for clients: the Fleet API of a SuperLink, and nothing else of it.

Flower 1.41 serves clients, operators and apps on one port. So Flower is bound to
127.0.0.1, and what clients reach is this process, which hands on the calls that a
resident client makes and answers 404 to all others. Flower checks the signature of the
node in each call, as if the client spoke to it.

Covered: calls of operators and apps from a client's address, registration without an
invitation, bundles; requests that are too long; a SuperLink that is away (503).
Not covered: too many requests; put a limit before it where that is a concern.
"""

import ssl
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import httpx
import uvicorn

from proper_coordinator.deployment import Deployment

CALLS = frozenset(
    f"/v1/fleet/{call}"
    for call in (
        "activate-node",
        "deactivate-node",
        "send-node-heartbeat",
        "pull-messages",
        "push-messages",
        "get-run",
        "pull-object",
        "push-object",
        "confirm-message-received",
    )
)
TIMEOUT_S = 60.0
LEFT_OUT = {b"host", b"connection", b"content-length", b"transfer-encoding"}

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


class Door:
    """An ASGI application that hands calls on.

    Args:
        wire: to the SuperLink.
        max_nbytes: longest request.
    """

    def __init__(self, wire: httpx.AsyncClient, max_nbytes: int) -> None:
        self._wire, self._max_nbytes = wire, max_nbytes

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] != "http":
            return
        if scope["method"] != "POST" or scope["path"] not in CALLS:
            await _say(send, 404, b"not here")
            return
        body = await self._body(receive)
        if body is None:
            await _say(send, 413, b"too long")
            return
        headers = [(k, v) for k, v in scope["headers"] if k.lower() not in LEFT_OUT]
        try:
            answer = await self._wire.post(scope["path"], content=body, headers=headers)
        except httpx.TransportError:
            await _say(send, 503, b"starting anew")
            return
        kind = answer.headers.get("content-type", "application/octet-stream")
        await _say(send, answer.status_code, answer.content, kind.encode())

    async def _body(self, receive: Receive) -> bytes | None:
        """Return a request's body, or None if it is too long."""
        body = bytearray()
        while True:
            event = await receive()
            if event["type"] != "http.request":
                return None
            body += event.get("body", b"")
            if len(body) > self._max_nbytes:
                return None
            if not event.get("more_body", False):
                return bytes(body)


async def _say(
    send: Send, status: int, body: bytes, kind: bytes = b"text/plain"
) -> None:
    length = str(len(body)).encode()
    headers = [(b"content-type", kind), (b"content-length", length)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def serve(deployment: Deployment) -> None:
    """Serve clients until a signal ends it."""
    settings = deployment.settings
    trusted = ssl.create_default_context(cadata=deployment.ca_certificate.decode())
    wire = httpx.AsyncClient(
        base_url=f"https://{deployment.inner_address}",
        verify=trusted,
        timeout=TIMEOUT_S,
        trust_env=False,
    )
    uvicorn.run(
        Door(wire, settings.max_upload_mib * 2**20),
        host=settings.listen,
        port=settings.port,
        ssl_certfile=deployment.path("server.pem"),
        ssl_keyfile=str(deployment.path("server-key.pem")),
        access_log=False,  # who came, and when, is nobody's affair
        log_level="warning",
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=3,
    )
