"""A server behind real TLS that gives the answer a test wants, and keeps what came."""

import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

from proper_coordinator.authority import new_papers

PAPERS = new_papers(["localhost"], datetime.now(UTC))


class _Answers(BaseHTTPRequestHandler):
    """Gives one answer to whatever it is asked: status, headers (or none) and body."""

    def do_POST(self):
        self.server.came.append(self.rfile.read(int(self.headers["content-length"])))
        status, *headers, body = self.server.answer
        self.send_response(status)
        lines = headers[0] if headers else {"content-length": str(len(body))}
        for name, value in lines.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def answering(folder):
    """Yield a server; its papers lie in `folder`."""
    (folder / "key").write_bytes(PAPERS.server_key)
    (folder / "crt").write_bytes(PAPERS.server_certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "crt", folder / "key")
    made = HTTPServer(("127.0.0.1", 0), _Answers)
    made.socket = context.wrap_socket(made.socket, server_side=True)
    made.came, made.answer = [], (200, b"ok")
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()
