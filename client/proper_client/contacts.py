"""Members whom the person of this device knows, and verified themselves.

A contact is an identity, or its fingerprint, that somebody gave to this person by a way
that does not lead through the coordinator: face to face, on the telephone. The device
vouches for it from the first day on, whatever the membership log says of its age.

Covered: a contact under two names, or one's own device, coordinator or office as one;
two members with one fingerprint (neither counts); contacts of another federation.
Not covered: whether the person looked well. A fingerprint has 80 bits: enough against
an identity that is made to look like another, and the identity itself has them all. A
contact who cheats together with the coordinator; two `contact` commands at once.
"""

import re
from collections.abc import Collection, Sequence
from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from proper_client.enrolment import membership_in
from proper_client.vault import Vault
from proper_shared.errors import ConfigError, FormatError
from proper_shared.friendly import one_line
from proper_shared.invitations import short
from proper_shared.offers import Hex32

NAME = "contacts"
_FORM = r"[0-9a-f]{64}|[0-9a-f]{4}(-[0-9a-f]{4}){4}"
_OF = {
    "coordinator": "the coordinator",
    "office": "the office",
    "this device": "this device",
    "its node key": "this device's connection",
}
_SHOWN = 24  # characters of a fingerprint
_HINT = "restore it from a copy, or remove it and add your contacts again"


class Contact(BaseModel):
    """Somebody whom the person verified.

    Attributes:
        key: identity, 64 hex digits; or its fingerprint, if only that was compared.
        name: what the person calls them.
        since: when it was added, by the clock of this device.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: Annotated[str, Field(pattern=f"^({_FORM})$")]
    name: Annotated[str, Field(min_length=1, max_length=100)]
    since: date

    @property
    def fingerprint(self) -> str:
        """What two people compare."""
        return _fingerprint(self.key)


class _Book(BaseModel):
    """The whole of `contacts.json`; the names are told apart, and so are the keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    federation: Hex32
    contacts: tuple[Contact, ...] = ()


def own(vault: Vault) -> list[str]:
    """Return lines by which others can take this device as a contact.

    Raises:
        DataError: it is in no federation.
    """
    name = membership_in(vault).name
    return [f"identity      {name}", f"fingerprint   {short(name)}"]


def contacts_in(vault: Vault) -> tuple[Contact, ...]:
    """Return all contacts in the federation of this device, the oldest first.

    Raises:
        DataError: it is in no federation.
        ConfigError, FormatError: the contacts cannot be read, or are of another one.
    """
    return _load(vault, membership_in(vault).invitation.federation).contacts


def add_contact(vault: Vault, key: str, name: str, day: date) -> Contact:
    """Keep somebody whom the person verified; return the contact.

    Args:
        vault: keeps it.
        key: identity or fingerprint, as the other one's device shows it.
        name: for the person alone.
        day: of today.

    Raises:
        ConfigError: the key is none, is the person's own, the coordinator's or the
            office's; or the key or the name is a contact's already.
        DataError: this device is in no federation.
    """
    membership = membership_in(vault)
    book = _load(vault, membership.invitation.federation)
    contact = _made(key, name, day)
    for what, fingerprint in membership.fingerprints.items():
        if contact.fingerprint == fingerprint:
            raise ConfigError(
                f"got the key of {_OF[what]}, expected another member's identity",
                hint="let the other one run: proper-client contact me",
            )
    for other in book.contacts:
        if contact.fingerprint == other.fingerprint or contact.name == other.name:
            raise ConfigError(
                f"{other.name!r} with {other.fingerprint} is a contact already",
                hint="remove it first, or choose another name",
            )
    _write(vault, book, (*book.contacts, contact))
    return contact


def remove_contact(vault: Vault, which: str) -> Contact:
    """Vouch no more for a contact because it is one; return what it was.

    Args:
        vault: keeps them.
        which: its name, identity or fingerprint.

    Raises:
        ConfigError: there is no such contact.
        DataError: this device is in no federation.
    """
    book = _load(vault, membership_in(vault).invitation.federation)
    key = _fingerprint(which.strip().lower())
    # Names first: somebody may be called like a fingerprint, but only once.
    for contact in sorted(book.contacts, key=lambda one: one.name != which):
        if which == contact.name or key == contact.fingerprint:
            rest = tuple(one for one in book.contacts if one != contact)
            _write(vault, book, rest)
            return contact
    raise ConfigError(
        f"there is no contact {which[:100]!r}",
        hint="see all with: proper-client contact list",
    )


def verified(
    vault: Vault, federation: bytes, members: Collection[bytes]
) -> frozenset[bytes]:
    """Return those members, 32 bytes each, whom the person verified.

    Raises:
        ConfigError, FormatError: the contacts cannot be read, or are of another
            federation.
    """
    found: dict[str, list[bytes]] = {}
    for member in members:
        found.setdefault(short(member.hex()), []).append(member)
    known: set[bytes] = set()
    for contact in _load(vault, federation.hex()).contacts:
        same = found.get(contact.fingerprint, [])
        if contact.key == contact.fingerprint:  # two with one: no telling who is meant
            known.update(same if len(same) == 1 else ())
        else:
            known.update(one for one in same if one.hex() == contact.key)
    return frozenset(known)


def describe(contacts: Sequence[Contact]) -> list[str]:
    """Return a line for each contact, or how to get one."""
    if not contacts:
        return ["no contacts yet; let somebody run: proper-client contact me"]
    return [
        f"{c.fingerprint:<{_SHOWN}}  {c.since}  {one_line(c.name)}" for c in contacts
    ]


def _made(key: str, name: str, day: date) -> Contact:
    key = key.strip().lower()
    if not re.fullmatch(_FORM, key):
        raise ConfigError(
            f"got the key {key[:70]!r}, expected 64 hex digits or a fingerprint",
            hint="it is what the other one's `proper-client contact me` shows",
        )
    try:
        return Contact(key=key, name=name.strip(), since=day)
    except ValidationError:
        raise ConfigError(
            f"got a name of {len(name.strip())} characters, expected 1 to 100",
            hint="give one with --name",
        ) from None


def _fingerprint(key: str) -> str:
    return key if "-" in key else short(key)


def _load(vault: Vault, federation: str) -> _Book:
    try:
        plain = vault.read_record(NAME)
        book = (
            _Book(federation=federation)
            if plain is None
            else _Book.model_validate(plain)
        )
    except ValidationError:
        raise FormatError(f"{NAME}.json is damaged", hint=_HINT) from None
    except FormatError as error:
        raise FormatError(str(error), hint=_HINT) from None
    if book.federation != federation:
        raise FormatError(
            f"{NAME}.json is of the federation {book.federation[:8]}, "
            f"expected {federation[:8]}",
            hint="use a home of its own for each federation: --home",
        )
    return book


def _write(vault: Vault, book: _Book, contacts: tuple[Contact, ...]) -> None:
    new = book.model_copy(update={"contacts": contacts})
    vault.write_record(NAME, new.model_dump(mode="json"))
