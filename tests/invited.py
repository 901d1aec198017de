"""Who leads a federation, its office, and an invitation into it."""

from datetime import date

from proper_shared.invitations import Invitation
from proper_shared.method.config import Method
from proper_shared.secagg.keys import HeldSigner
from proper_shared.secagg.membership import Log

COORDINATOR, OFFICE = HeldSigner(bytes([1]) * 32), HeldSigner(bytes([2]) * 32)
DAY = date(2026, 11, 1)
FOUNDED = Log.found(COORDINATOR, OFFICE.identity, DAY)
INVITATION = Invitation(
    founding=FOUNDED.entries[0].dump().decode(),
    number=3,
    name="ann",
    address="localhost:9443",
    ca_certificate="-----",
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
