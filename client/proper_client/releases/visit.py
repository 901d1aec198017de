"""Who asks where: the home, the invitation and the source of one `pull`."""

from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from proper_client.enrolment import RECORD, membership_in
from proper_client.ledger import Door, Ledger
from proper_client.releases.pull import Order, pull
from proper_client.releases.shelf import Shelf
from proper_client.releases.source import Folder, Https
from proper_client.vault import Vault
from proper_shared.progress import Progress


def visit(source: str, vault: Vault, order: Order, show: Progress) -> list[str]:
    """Pull from a folder or an address; return lines to show.

    Args:
        source: folder, or `https://...`.
        vault: of the person; knows the invitation, and keeps the ledger.
        order: what the person chose.
        show: a line about the download.

    Raises:
        ConfigError: the source is none, no root is trusted, the home is not writable.
        DataError: the source cannot be reached.
        Refused: what came is not taken.
    """
    shelf = Shelf(vault.home)
    known = vault.read_record(RECORD) is not None
    invitation = membership_in(vault).invitation if known else None
    if Path(source).is_dir():
        return pull(Folder(Path(source)), shelf, order, invitation, show)
    with (
        Ledger(vault) as ledger,
        Door(ledger, urlsplit(source).netloc) as door,
        closing(Https(source, door)) as web,
    ):
        return pull(web, shelf, order, invitation, show)
