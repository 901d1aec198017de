"""What stands between one client and the door, and counts what the client says.

Two servers in this process, one behind the other:

    client ---TLS---> Meter ---TLS---> Listener ---TLS---> door

The meter sees what anybody on the network sees, and counts bytes as they come out of
the socket. The listener has the server's key, as the coordinator has, and reads the
requests inside: how many bytes their contents have. Neither knows of the ledger.
"""

import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

CHUNK = 2**16


class Meter:
    """Passes bytes on from a port to another one, and counts those going up.

    Args:
        port: to listen at.
        beyond: to pass on to.

    Attributes:
        nbytes: that clients sent, TLS and all.
        connections: that they opened.
    """

    def __init__(self, port, beyond):
        self.nbytes, self.connections = 0, 0
        self._beyond, self._guard = beyond, threading.Lock()
        self._server = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:  # closed
                return
            self.connections += 1
            server = socket.create_connection(("127.0.0.1", self._beyond))
            for ends in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass, args=ends, daemon=True).start()

    def _pass(self, source, target, up):
        try:
            while data := source.recv(CHUNK):
                if up:
                    with self._guard:
                        self.nbytes += len(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:  # one of the two has hung up
            source.close()
            target.close()

    def close(self):
        self._server.close()


class Listener(BaseHTTPRequestHandler):
    """Reads a request, counts its content, and hands it on to the door."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.contents.append((self.path, len(body)))
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in {"host", "connection", "content-length"}
        }
        try:
            answer = self.server.door.post(self.path, content=body, headers=headers)
            status, said = answer.status_code, answer.content
        except httpx.TransportError:
            status, said = 503, b"the door is not there yet"
        self.send_response(status)
        self.send_header("content-type", "application/octet-stream")
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_):
        pass


class Tap:
    """A meter and a listener before the door of a deployment.

    Args:
        deployment: whose door it is.
        port: where the client calls.
    """

    def __init__(self, deployment, port):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        papers = deployment.path("server.pem"), deployment.path("server-key.pem")
        context.load_cert_chain(*papers)
        self._listener = ThreadingHTTPServer(("127.0.0.1", 0), Listener)
        self._listener.daemon_threads = True
        inner = self._listener.socket
        # The handshake is the thread's affair that serves the connection.
        self._listener.socket = context.wrap_socket(
            inner, server_side=True, do_handshake_on_connect=False
        )
        self._listener.contents = []
        trusted = ssl.create_default_context(cadata=deployment.ca_certificate.decode())
        self._listener.door = httpx.Client(
            base_url=f"https://{deployment.settings.address}",
            verify=trusted,
            trust_env=False,
            timeout=60.0,
        )
        self.meter = Meter(port, self._listener.server_port)
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    @property
    def contents(self):
        """Path and length of each request that came, in their order."""
        return list(self._listener.contents)

    def close(self):
        self.meter.close()
        self._listener.shutdown()
        self._thread.join()
        self._listener.server_close()
        self._listener.door.close()
