"""A federation's own certificate authority, and the keys that a coordinator holds.

The authority signs one certificate, the server's, and clients trust it for this
federation alone: its certificate travels in each invitation. Nothing here depends on a
public authority or on the clock of a client beyond the dates of a certificate.

Covered: a server that does not hold the key of a certificate of this authority.
Not covered: who can read the folder has all keys; there is no revocation, a folder that
was read by others is made anew and everybody enrols again.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from proper_shared.errors import ConfigError

LIFE = timedelta(days=3650)
EARLIER = timedelta(days=1)  # clocks of clients may be slow
LOOPBACK = ("localhost", "127.0.0.1", "::1")  # the coordinator's own processes
SERVER = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


@dataclass(frozen=True)
class Papers:
    """Keys and certificates, PEM; the keys are secret.

    Attributes:
        ca_key: of the authority; needed again only for another server certificate.
        ca_certificate: what clients trust.
        server_key: of the server.
        server_certificate: for all hosts and for this machine itself.
    """

    ca_key: bytes
    ca_certificate: bytes
    server_key: bytes
    server_certificate: bytes


def new_papers(hosts: Sequence[str], now: datetime) -> Papers:
    """Make an authority and a server certificate for `hosts`.

    Keys are P-256, from the system's randomness; certificates follow RFC 5280.

    Args:
        hosts: names or IP addresses by which clients reach the server.
        now: with a time zone; certificates hold from a day before for ten years.

    Raises:
        ConfigError: one of the hosts is neither a name nor an address.
    """
    names = [_alternative(host) for host in dict.fromkeys((*hosts, *LOOPBACK))]
    ca_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = _name("PROPER federation")
    ca = (
        _builder(issuer, issuer, ca_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    server = (
        _builder(_name("PROPER coordinator"), issuer, server_key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(SERVER, critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(authority, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    return Papers(
        _pem(ca_key), ca.public_bytes(pem), _pem(server_key), server.public_bytes(pem)
    )


def fingerprint(certificate: bytes) -> str:
    """Return the SHA-256 of a PEM certificate as people compare it, AB:CD:..."""
    found = x509.load_pem_x509_certificate(certificate)
    return found.fingerprint(hashes.SHA256()).hex(":").upper()


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(now + LIFE)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    """Return what a key is for: to sign certificates, or to open connections."""
    return x509.KeyUsage(
        digital_signature=not signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass  # no address, so it should be a name
    plain = host.replace("-", "a").replace(".", "a")
    if not plain.isascii() or not plain.isalnum() or not 0 < len(host) < 254:
        raise ConfigError(
            f"got the host {host[:60]!r}, expected a name or an IP address",
            hint="write it as in coordinator.example.org or 192.0.2.7, without a port",
        )
    return x509.DNSName(host)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
