"""Who leads a federation, its office, and an invitation into it."""

from datetime import UTC, date, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from proper_shared.invitations import Invitation
from proper_shared.method.config import Method
from proper_shared.secagg.keys import HeldSigner
from proper_shared.secagg.membership import Log

COORDINATOR, OFFICE = HeldSigner(bytes([1]) * 32), HeldSigner(bytes([2]) * 32)
DAY = date(2026, 11, 1)
FOUNDED = Log.found(COORDINATOR, OFFICE.identity, DAY)


def certificate():
    """Return a certificate, PEM, that is sound and that nobody has the key of."""
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    made = made.serial_number(1).public_key(key.public_key())
    made = made.not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
    made = made.not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
    return made.sign(key, None).public_bytes(Encoding.PEM).decode()


INVITATION = Invitation(
    founding=FOUNDED.entries[0].dump().decode(),
    number=3,
    name="ann",
    address="localhost:9443",
    ca_certificate=certificate(),
    secret="ef" * 32,
    backbone="nano",
    task="tagging",
    method=Method(),
    seed=0,
)


def written(folder):
    """Return the file of the invitation in a folder."""
    path = folder / "invitation.json"
    path.write_text(INVITATION.model_dump_json())
    return path
