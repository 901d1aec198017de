"""The authority of a federation, against OpenSSL's own reading of it."""

import ssl
import threading
from datetime import UTC, datetime, timedelta
from socket import create_connection, socket

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from proper_coordinator.authority import LIFE, LOOPBACK, fingerprint, new_papers
from proper_shared.errors import ConfigError

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def papers(*hosts, now=None):
    return new_papers(hosts, now or datetime.now(UTC))


def handshake(folder, made, trusted, name):
    """Return what OpenSSL says when it connects to a server with these papers."""
    for file, data in (("key", made.server_key), ("crt", made.server_certificate)):
        (folder / file).write_bytes(data)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "crt", folder / "key")
    with socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def answer():
            connection, _ = listening.accept()
            try:
                server.wrap_socket(connection, server_side=True).close()
            except ssl.SSLError:
                connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        client = ssl.create_default_context(cadata=trusted.decode())
        try:
            with (
                create_connection(listening.getsockname()) as plain,
                client.wrap_socket(plain, server_hostname=name),
            ):
                return "ok"
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
        finally:
            thread.join()


@pytest.mark.parametrize("name", ["proper.example", "192.0.2.7", *LOOPBACK[:2]])
def test_a_client_that_trusts_the_authority_trusts_the_server(tmp_path, name):
    made = papers("proper.example", "192.0.2.7")
    assert handshake(tmp_path, made, made.ca_certificate, name) == "ok"


def test_no_other_authority_and_no_other_host_is_trusted(tmp_path):
    made, other = papers("proper.example"), papers("proper.example")
    assert handshake(tmp_path, made, other.ca_certificate, "proper.example") != "ok"
    wrong = handshake(tmp_path, made, made.ca_certificate, "else.example")
    assert "mismatch" in wrong


def test_the_server_cannot_sign_certificates_and_all_end_after_ten_years():
    made = papers("proper.example", now=NOW)
    server, ca = map(
        x509.load_pem_x509_certificate, (made.server_certificate, made.ca_certificate)
    )
    rules = server.extensions.get_extension_for_class(x509.BasicConstraints)
    assert rules.critical
    assert not rules.value.ca
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    for found in (server, ca):
        assert found.not_valid_after_utc == NOW + LIFE
        assert found.not_valid_before_utc == NOW - timedelta(days=1)


def test_a_fingerprint_is_that_of_the_certificate():
    made = papers()
    found = x509.load_pem_x509_certificate(made.ca_certificate)
    shown = fingerprint(made.ca_certificate)
    assert bytes.fromhex(shown.replace(":", "")) == found.fingerprint(hashes.SHA256())
    assert shown == shown.upper()


@pytest.mark.parametrize("host", ["", "two words", "a/b", "ü.example", "x" * 300])
def test_a_host_that_is_none_is_refused(host):
    with pytest.raises(ConfigError, match="got the host"):
        papers(host)
