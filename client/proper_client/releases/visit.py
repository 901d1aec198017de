"""Who asks where: the home, the invitation and the source of one `pull`."""

from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from proper_client.enrolment import RECORD, membership_in
from proper_client.guard_members import load_log
from proper_client.ledger import Door, Ledger
from proper_client.releases.pull import Federation, Order, pull
from proper_client.releases.shelf import Shelf
from proper_client.releases.source import Folder, Https
from proper_client.vault import Vault
from proper_shared.progress import Progress

KB = 1000  # bytes


def visit(source: str, vault: Vault, order: Order, show: Progress) -> list[str]:
    """Pull from a folder or an address; return lines to show.

    Args:
        source: folder, or `https://...`.
        vault: of the person; knows the invitation, and keeps the ledger.
        order: what the person chose.
        show: a line about the download, in kB.

    Raises:
        ConfigError: the source is none, no root is trusted, the home is not writable.
        DataError: the source cannot be reached.
        Refused: what came is not taken.
    """

    def tell(name: str, here: int, nbytes: int) -> None:
        show(name, -(-here // KB), -(-nbytes // KB))

    shelf = Shelf(vault.home)
    federation = _federation(vault)
    if Path(source).is_dir():
        return pull(Folder(Path(source)), shelf, order, federation, tell)
    with (
        Ledger(vault) as ledger,
        Door(ledger, urlsplit(source).netloc) as door,
        closing(Https(source, door)) as web,
    ):
        return pull(web, shelf, order, federation, tell)


def _federation(vault: Vault) -> Federation | None:
    """Return the federation that the device is in, and the log that it saw last."""
    if vault.read_record(RECORD) is None:
        return None
    invitation = membership_in(vault).invitation
    return Federation(invitation, load_log(vault, bytes.fromhex(invitation.federation)))
