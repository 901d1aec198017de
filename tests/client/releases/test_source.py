"""A web server sends the file that was asked for, or what it sends is refused."""

import ssl
import threading
from contextlib import closing
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from proper_client.ledger import Door, Ledger
from proper_client.ledger_entry import Purpose, read_ledger
from proper_client.releases import source
from proper_client.releases.refusal import Refused
from proper_client.releases.source import Folder, Https, MissingError, paced
from proper_client.vault import Vault
from proper_coordinator.authority import new_papers
from proper_shared.errors import ConfigError, DataError

DATA = bytes(range(256)) * 1024


class Handler(BaseHTTPRequestHandler):
    """Serves DATA in the ways of good and bad servers, by the name of the file."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        name = self.path.rpartition("/")[2]
        start = int((self.headers.get("range") or "bytes=0-")[6:-1])
        if name == "moved":
            self.answer(302, b"", location="https://elsewhere.example/")
        elif name == "packed":
            self.answer(200, DATA, **{"content-encoding": "gzip"})
        elif name == "broken":
            self.answer(500, b"")
        elif name == "plain":  # takes no notice of ranges
            self.answer(200, DATA)
        elif name == "other":
            self.answer(206, DATA, **{"content-range": "bytes 7-9/10"})
        elif name == "good" and start >= len(DATA):
            self.answer(416, b"")
        elif name == "good" and start:
            span = {"content-range": f"bytes {start}-{len(DATA) - 1}/{len(DATA)}"}
            self.answer(206, DATA[start:], **span)
        else:
            self.answer(200 if name == "good" else 404, DATA)

    def answer(self, status, data, **headers):
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    papers = new_papers(["localhost"], datetime.now(UTC))
    (folder / "key").write_bytes(papers.server_key)
    (folder / "chain").write_bytes(papers.server_certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "chain", folder / "key")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        httpd.ca = papers.ca_certificate.decode()
        yield httpd
        httpd.shutdown()
        thread.join()


@pytest.fixture
def vault(tmp_path):
    return Vault(tmp_path)


@pytest.fixture
def web(server, vault):
    context = ssl.create_default_context(cadata=server.ca)
    url = f"https://localhost:{server.server_address[1]}/release/"
    with (
        Ledger(vault) as ledger,
        Door(ledger, "localhost") as door,
        closing(Https(url, door, context)) as made,
    ):
        yield made


def test_a_file_comes_whole_and_from_any_byte_on(web):
    for name in ("good", "plain"):
        assert b"".join(web.chunks(name)) == DATA
        for start in (1, 70_000, len(DATA) - 1, len(DATA)):
            assert b"".join(web.chunks(name, start)) == DATA[start:]


def test_every_request_stands_in_the_ledger(web, vault):
    list(web.chunks("good", 5))
    (line,) = read_ledger(vault)
    assert line.purpose is Purpose.PULL
    assert line.nbytes > len("GET https://localhost")


REFUSED = {
    "moved": "odd-answer",
    "packed": "compressed",
    "broken": "odd-answer",
}


@pytest.mark.parametrize(("name", "why"), REFUSED.items())
def test_an_odd_answer_is_refused(web, name, why):
    with pytest.raises(Refused) as caught:
        list(web.chunks(name))
    assert caught.value.name == why


def test_another_part_than_was_asked_is_refused(web):
    with pytest.raises(Refused) as caught:
        list(web.chunks("other", 5))
    assert caught.value.name == "other-range"


def test_a_file_that_is_not_there_is_missing(web):
    with pytest.raises(MissingError):
        list(web.chunks("nothing"))


def test_an_authority_that_nobody_knows_is_not_trusted(server, vault):
    url = f"https://localhost:{server.server_address[1]}"
    with (
        Ledger(vault) as ledger,
        Door(ledger, "localhost") as door,
        closing(Https(url, door)) as web,
        pytest.raises(DataError, match="cannot be reached") as caught,
    ):
        list(web.chunks("good"))
    assert "still in use" in caught.value.hint


@pytest.mark.parametrize(
    "url", ["http://a.example/", "ftp://a", "nowhere", "https://", "https://me@a/"]
)
def test_only_https_is_an_address(vault, url):
    with (
        Ledger(vault) as ledger,
        Door(ledger, "x") as door,
        pytest.raises(ConfigError, match="expected a folder or https") as caught,
    ):
        Https(url, door)
    assert caught.value.hint


def test_a_pipe_or_a_folder_is_no_file(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("folder", "nothing"):
        with pytest.raises(MissingError):
            list(Folder(tmp_path).chunks(name))


def test_a_fast_source_is_never_slow_and_a_slow_one_gets_its_grace(monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(source, "seconds", lambda: float(next(clock)))
    chunks = [b"x" * 2048] * 100
    assert list(paced(iter(chunks))) == chunks
    taken = []
    with pytest.raises(Refused, match="slow"):
        taken.extend(paced(iter([b"x"] * 100)))
    assert len(taken) == source.GRACE_S
