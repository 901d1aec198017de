"""The membership log: who belongs to a federation, since when, and who says so.

One line of JSON for each entry. The first founds the federation: it names the
coordinator's key and, if there is one, the key of an enrolment office; its hash is the
name of the federation. Each further entry adds or removes an identity, or names a
release. An entry holds the hash of the one before it, and the coordinator signs it. A
device pins the head that it saw last, and takes only logs that extend it: members can
be added, and releases made, for all to see, not for one.

Covered: an entry changed, left out, put in or reordered; a log that forks from what was
seen; a countersignature from elsewhere; a release whose version was there before.
Not covered: whether an identity is a person. The coordinator adds whom it likes; only
a countersignature, or having been there for long, says more. An entry's date is the
coordinator's word: for how long somebody has been *seen*, ask for the members `at` a
head that was pinned back then. Whose hand holds the enrolment key has to be compared
with what that office published.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from proper_shared.errors import FormatError, ProtocolError
from proper_shared.secagg.keys import Signer, verify
from proper_shared.strict_json import parse_object

Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]

ENTRY = b"proper/membership/1/entry/"
ENROLMENT = b"proper/membership/1/enrolment/"
HASH = b"proper/membership/1/hash/"
NOTHING = bytes(32).hex()  # before the first entry


class Entry(BaseModel):
    """One line of the log.

    Attributes:
        previous: hash of the entry before, zeros for the first.
        kind: "found", "add", "remove" or "release".
        identity: who is added or removed; else the coordinator's.
        date: day of the entry, as the coordinator says.
        enrolment: key of the enrolment office; in the first entry only.
        countersignature: of that office on an identity that is added.
        release: SHA-256 of a release's manifest; in an entry that names one only.
        version: of the signed list that it came out with.
        signature: of the coordinator on all that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    previous: Hex32
    kind: Literal["found", "add", "remove", "release"]
    identity: Hex32
    date: date
    enrolment: Hex32 | None = None
    countersignature: Hex64 | None = None
    release: Hex32 | None = None
    version: Annotated[int, Field(ge=1, strict=True)] | None = None
    signature: Hex64 = bytes(64).hex()

    def signed(self) -> bytes:
        """Return the bytes that the coordinator signs."""
        return ENTRY + _line(self, leaving="signature")

    def dump(self) -> bytes:
        """Return the one form of this entry: a line of JSON, keys sorted."""
        return _line(self)

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """Return the entry that `line` spells.

        Raises:
            FormatError: it is malformed, or not in the one form that `dump` writes.
        """
        try:
            parse_object(line, "entry")
            entry = cls.model_validate_json(line)
        except ValidationError as error:
            place = error.errors()[0]["loc"]
            raise FormatError(f"got an entry that is wrong in {place}") from None
        if entry.dump() != line:
            raise FormatError("got an entry in another form than ours")
        return entry

    @property
    def hash(self) -> bytes:
        """What the next entry holds of this one, 32 bytes."""
        return hashlib.sha256(HASH + self.dump()).digest()


def _line(entry: Entry, leaving: str | None = None) -> bytes:
    # What only an entry of a release has is left out of others: logs are older than it.
    odd = {name for name in ("release", "version") if getattr(entry, name) is None}
    plain = entry.model_dump(mode="json", exclude=odd | {leaving or ""})
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Standing:
    """What the log says of one member.

    Attributes:
        since: the day on which it was added, as the coordinator says.
        countersigned: whether the enrolment office vouches for it.
    """

    since: date
    countersigned: bool


def countersign(office: Signer, federation: bytes, identity: bytes) -> bytes:
    """Return what an enrolment office says of an identity, 64 bytes.

    It holds for one federation and for good: the office needs not be online.
    """
    return office.sign(ENROLMENT + federation + identity)


class Log:
    """A membership log that holds together; it is never changed, only extended.

    Args:
        entries: all of them, the first one first.
        pinned: hash of the last entry that was seen; those up to it are not verified
            again, for their hashes say that they are the same.

    Attributes:
        members: standing of each identity that belongs to the federation now.
        releases: SHA-256 (hex) of each release's manifest, by its version.

    Raises:
        ProtocolError: an entry does not follow from those before it, is not signed by
            the coordinator, or the log does not contain `pinned`.
    """

    def __init__(self, entries: tuple[Entry, ...], pinned: bytes | None = None) -> None:
        if not entries:
            raise ProtocolError("got an empty membership log")
        self.entries = entries
        self._hashes = [entry.hash for entry in entries]
        if pinned is not None and pinned not in self._hashes:
            raise ProtocolError(
                f"got a membership log without the entry {pinned.hex()[:8]} that was "
                "pinned, expected an extension",
                hint="the coordinator shows different logs to different members",
            )
        seen = -1 if pinned is None else self._hashes.index(pinned)
        members: dict[bytes, Standing] = {}
        self.releases: dict[int, str] = {}
        for place, entry in enumerate(entries):
            self._expect_next(place, entry)
            if place > seen:
                self._expect_signed(entry)
            self._follow(members, entry, verified=place <= seen)
        self.members = members

    @property
    def federation(self) -> bytes:
        """The name of the federation: hash of the first entry, 32 bytes."""
        return self._hashes[0]

    @property
    def head(self) -> bytes:
        """Hash of the last entry, to be pinned, 32 bytes."""
        return self._hashes[-1]

    @property
    def coordinator(self) -> bytes:
        """Identity that signs the entries."""
        return bytes.fromhex(self.entries[0].identity)

    @property
    def enrolment(self) -> bytes | None:
        """Identity of the enrolment office, if there is one."""
        key = self.entries[0].enrolment
        return None if key is None else bytes.fromhex(key)

    def at(self, head: bytes) -> "Log":
        """Return the log as it was when `head` was its last entry.

        Raises:
            ProtocolError: it never was.
        """
        if head not in self._hashes:
            raise ProtocolError(f"got no entry {head.hex()[:8]} in the membership log")
        return Log(self.entries[: self._hashes.index(head) + 1], pinned=head)

    def dump(self) -> bytes:
        """Return the log as lines."""
        return b"".join(entry.dump() + b"\n" for entry in self.entries)

    @classmethod
    def parse(cls, data: bytes, pinned: bytes | None = None) -> "Log":
        """Return the log in `data`, if it extends the one whose head was `pinned`.

        Raises:
            FormatError: a line is malformed.
            ProtocolError: see the class.
        """
        if not data.endswith(b"\n"):
            raise FormatError("got a membership log whose last line is cut off")
        lines = data[:-1].split(b"\n")
        return cls(tuple(Entry.parse(line) for line in lines), pinned)

    @classmethod
    def found(cls, coordinator: Signer, enrolment: bytes | None, day: date) -> "Log":
        """Return the log of a new federation.

        Raises:
            ProtocolError: the enrolment key is the coordinator's.
        """
        entry = Entry(
            previous=NOTHING,
            kind="found",
            identity=coordinator.identity.hex(),
            date=day,
            enrolment=None if enrolment is None else enrolment.hex(),
        )
        return cls((_sign(coordinator, entry),))

    def add(
        self,
        coordinator: Signer,
        identity: bytes,
        day: date,
        countersignature: bytes | None = None,
    ) -> "Log":
        """Return the log with one member more.

        Raises:
            ProtocolError: it is a member already, or the countersignature is wrong.
        """
        counter = None if countersignature is None else countersignature.hex()
        return self._extended(
            coordinator,
            Entry(
                previous=self.head.hex(),
                kind="add",
                identity=identity.hex(),
                date=day,
                countersignature=counter,
            ),
        )

    def remove(self, coordinator: Signer, identity: bytes, day: date) -> "Log":
        """Return the log with one member less.

        Raises:
            ProtocolError: it is no member.
        """
        head, name = self.head.hex(), identity.hex()
        entry = Entry(previous=head, kind="remove", identity=name, date=day)
        return self._extended(coordinator, entry)

    def name_release(
        self, coordinator: Signer, digest: bytes, version: int, day: date
    ) -> "Log":
        """Return the log with one release more.

        Args:
            coordinator: signs.
            digest: SHA-256 of the release's manifest, 32 bytes.
            version: of the signed list that it came out with; higher than all before.
            day: of the entry.

        Raises:
            ProtocolError: that version, or a later one, is named already.
        """
        entry = Entry(
            previous=self.head.hex(),
            kind="release",
            identity=coordinator.identity.hex(),
            date=day,
            release=digest.hex(),
            version=version,
        )
        return self._extended(coordinator, entry)

    def _extended(self, coordinator: Signer, entry: Entry) -> "Log":
        return Log((*self.entries, _sign(coordinator, entry)), pinned=self.head)

    def _expect_next(self, place: int, entry: Entry) -> None:
        previous = self._hashes[place - 1].hex() if place else NOTHING
        if entry.previous != previous:
            raise ProtocolError(f"entry {place} does not follow the one before it")
        if (entry.kind == "found") != (place == 0):
            raise ProtocolError(f"got {entry.kind!r} as entry {place}")
        if place and entry.date < self.entries[place - 1].date:
            raise ProtocolError(f"entry {place} is older than the one before it")
        if entry.enrolment is not None and (place or entry.enrolment == entry.identity):
            raise ProtocolError(
                "got an enrolment key that is the coordinator's, or comes too late"
            )
        if entry.countersignature is not None and entry.kind != "add":
            raise ProtocolError(f"got a countersignature to {entry.kind!r}")
        is_release = entry.kind == "release"
        told = {entry.release is None, entry.version is None}
        if told != {not is_release}:
            raise ProtocolError(f"got {entry.kind!r} with half of a release")

    def _expect_signed(self, entry: Entry) -> None:
        signature = bytes.fromhex(entry.signature)
        if not verify(self.coordinator, signature, entry.signed()):
            raise ProtocolError("got an entry that the coordinator did not sign")

    def _follow(
        self, members: dict[bytes, Standing], entry: Entry, *, verified: bool
    ) -> None:
        """Let one entry change who is a member."""
        identity = bytes.fromhex(entry.identity)
        if entry.release is not None and entry.version is not None:
            if identity != self.coordinator:
                raise ProtocolError("got a release that the coordinator does not name")
            if entry.version <= max(self.releases, default=0):
                raise ProtocolError(
                    f"got version {entry.version} of a release after version "
                    f"{max(self.releases)}"
                )
            self.releases[entry.version] = entry.release
        elif entry.kind == "add":
            if identity in members:
                raise ProtocolError(f"{entry.identity[:8]} is added twice")
            counter = entry.countersignature
            if counter is not None and not verified:
                self._expect_countersigned(identity, bytes.fromhex(counter))
            members[identity] = Standing(entry.date, counter is not None)
        elif entry.kind == "remove" and members.pop(identity, None) is None:
            raise ProtocolError(f"{entry.identity[:8]} is removed, and is no member")

    def _expect_countersigned(self, identity: bytes, signature: bytes) -> None:
        message = ENROLMENT + self.federation + identity
        if self.enrolment is None or not verify(self.enrolment, signature, message):
            raise ProtocolError("got a countersignature of another office")


def _sign(coordinator: Signer, entry: Entry) -> Entry:
    signature = coordinator.sign(entry.signed()).hex()
    return entry.model_copy(update={"signature": signature})
