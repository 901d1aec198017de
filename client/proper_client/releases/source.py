"""Where files of a release come from: a folder or an HTTPS server, neither trusted.

Covered: a server that sends hardly anything, for ever; redirections, compressed
answers, plain HTTP; pipes and devices in the place of files. Requests go through the
ledger's door. Proxies and other settings of the environment are left out.
Not covered: what the bytes are (see `checks`), how many come (whoever reads counts);
that a server sees who asks.
"""

import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit

import urllib3

from proper_client.ledger import Door
from proper_client.ledger_entry import Purpose
from proper_client.releases.refusal import KEPT, Refused
from proper_shared.errors import ConfigError, DataError

CHUNK_NBYTES = 1 << 16
SILENCE_S = 30.0  # without a byte
GRACE_S = 30.0  # of one file, before its pace counts
LEAST_BYTES_PER_S = 1024


class MissingError(Exception):
    """There is no such file at a source."""


class Source(Protocol):
    """Something that has files by name."""

    def chunks(self, name: str, start: int = 0) -> Iterator[bytes]:
        """Yield a file from a byte on.

        Raises:
            MissingError: there is no such file.
            DataError: it cannot be reached.
            Refused: it answers as no honest source does.
        """
        ...


class Folder:
    """A published folder on a disk.

    Args:
        folder: with `metadata` and `targets` in it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def chunks(self, name: str, start: int = 0) -> Iterator[bytes]:
        """Yield a file from a byte on; see `Source`."""
        path = self._folder / name
        if not path.is_file():
            raise MissingError(name)
        with path.open("rb") as file:
            file.seek(start)
            while chunk := file.read(CHUNK_NBYTES):
                yield chunk


class Https:
    """A published folder behind a web server.

    Args:
        url: of the folder, `https://...`.
        door: where each request is written down first.
        context: whom to trust for TLS; the system's authorities if None.

    Raises:
        ConfigError: it is no such address.
    """

    def __init__(
        self, url: str, door: Door, context: ssl.SSLContext | None = None
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or parts.username:
            raise ConfigError(
                f"got the source {url[:200]!r}, expected a folder or https://HOST/...",
                hint="ask whoever publishes the release for its address",
            )
        self._base, self._host = url.rstrip("/"), parts.netloc
        self._door = door
        context = context or ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        self._pool = urllib3.PoolManager(ssl_context=context, retries=False)

    def chunks(self, name: str, start: int = 0) -> Iterator[bytes]:
        """Yield a file from a byte on; see `Source`."""
        url = f"{self._base}/{quote(name)}"
        headers = {"accept-encoding": "identity"}
        if start:
            headers["range"] = f"bytes={start}-"
        lines = "".join(f"{key}: {value}\n" for key, value in headers.items())
        request = f"GET {url}\n{lines}".encode()
        try:
            answer = self._door.send(
                request, Purpose.PULL, lambda _: self._get(url, headers)
            )
            try:
                yield from _body(answer, name, start)
            finally:
                answer.close()  # what was not read is never read
        except urllib3.exceptions.ReadTimeoutError:
            raise Refused("slow", f"{self._host} was silent for {SILENCE_S:g} s") from (
                None
            )
        except urllib3.exceptions.HTTPError as error:
            raise DataError(
                f"{self._host} cannot be reached: {_reason(error)}",
                hint=f"try again later, the download goes on where it was; {KEPT}",
            ) from error

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def _get(self, url: str, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
        return self._pool.request(
            "GET",
            url,
            headers=headers,
            preload_content=False,
            redirect=False,
            timeout=SILENCE_S,
        )


def seconds() -> float:
    """Return the time of a clock that never runs backwards."""
    return time.monotonic()


def paced(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Pass chunks on, and refuse a source that hardly sends anything.

    Raises:
        Refused: it is slower than anybody's line.
    """
    began, got = seconds(), 0
    for chunk in chunks:
        got += len(chunk)
        check_pace(got, seconds() - began)
        yield chunk


def check_pace(nbytes: int, seconds: float) -> None:
    """Refuse a source that keeps a person waiting for ever.

    Raises:
        Refused: it is slower than anybody's line.
    """
    if seconds > GRACE_S and nbytes < LEAST_BYTES_PER_S * seconds:
        raise Refused(
            "slow",
            f"got {nbytes:,} bytes in {seconds:.0f} s, expected "
            f"{LEAST_BYTES_PER_S:,} a second at least",
        )


def _body(answer: urllib3.BaseHTTPResponse, name: str, start: int) -> Iterator[bytes]:
    """Yield what the answer holds from the byte `start` of the file on."""
    skip = start
    if answer.status in {403, 404}:
        raise MissingError(name)
    if answer.status == 416:
        return
    if answer.status == 206 and start:
        if not answer.headers.get("content-range", "").startswith(f"bytes {start}-"):
            raise Refused("other-range", f"got another part of {name} than was asked")
        skip = 0
    elif answer.status != 200:
        raise Refused("odd-answer", f"got status {answer.status} for {name}")
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise Refused("compressed", f"got {name} compressed, asked for it plain")
    for chunk in answer.stream(CHUNK_NBYTES, decode_content=False):
        yield chunk[skip:]
        skip = max(0, skip - len(chunk))


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", None) or error)[:200]
