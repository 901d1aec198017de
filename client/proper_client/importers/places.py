"""Where a history comes from: a file, a folder or a zip, read but never unpacked.

Covered: names in a zip that climb out of it, links in folders and zips, encrypted and
damaged zips, bombs (what one file or all together unpack to, and their ratio), pipes
and devices, text that is neither UTF-8 nor marked UTF-16.
Not covered: a zip whose list of names alone is larger than the memory.
"""

import io
import lzma
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from proper_shared.errors import DataError

MAX_UNPACKED = 8 * 2**30  # bytes of all files of a zip together
MAX_RATIO = 200  # text packs 3 to 20 times, the worst of chats 60
SMALL = 2**20  # bytes; below, a ratio means nothing
MAX_FILES = 100_000

_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # a method of packing that nobody uses
)
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_AGAIN = "ask for the export again, and let the download end"


@dataclass(frozen=True)
class Place:
    """An open source.

    Attributes:
        path: As the person named it.
        names: Of all regular files, relative, with "/", sorted; of a file its own.
        links: How many links were passed over.
        archive: The open zip, if it is one.
    """

    path: Path
    names: tuple[str, ...]
    links: int = 0
    archive: zipfile.ZipFile | None = None

    @property
    def is_file(self) -> bool:
        """Tell whether it is one file, no folder and no zip."""
        return self.archive is None and not self.path.is_dir()

    @contextmanager
    def data(self, name: str) -> Iterator[IO[bytes]]:
        """Open one of the files.

        Raises:
            DataError: It cannot be read, or a zip turns out to be damaged.
        """
        try:
            with self._open(name) as file:
                yield file
        except _DAMAGED as error:
            raise DataError(
                f"{name} in {self.path.name} is damaged: {error}", hint=_AGAIN
            ) from None
        except OSError as error:
            raise DataError(
                f"{name} cannot be read: {error.strerror or error}",
                hint="check its permissions, and that the disk is well",
            ) from None

    @contextmanager
    def text(self, name: str) -> Iterator[io.TextIOWrapper]:
        """Open one of the files as text: UTF-8, or UTF-16 with a mark.

        Raises:
            DataError: It is neither, or cannot be read.
        """
        with self.data(name) as file:
            encoding = encoding_of(file.read(3))
            file.seek(0)
            stream = io.TextIOWrapper(file, encoding, newline="")
            try:
                yield stream
            except UnicodeError:
                raise DataError(
                    f"{name} is not {encoding.upper().removesuffix('-SIG')} throughout",
                    hint="save it again with the encoding UTF-8",
                ) from None
            finally:
                stream.detach()

    def _open(self, name: str) -> IO[bytes]:
        if self.archive is not None:
            return self.archive.open(name)
        return (self.path / name if self.path.is_dir() else self.path).open("rb")


@contextmanager
def opened(path: Path) -> Iterator[Place]:
    """Open a source for reading.

    Raises:
        DataError: There is none, it is a pipe or a device, or a zip that is damaged,
            encrypted, a bomb, or has names that lead out of it.
    """
    if not path.exists():
        raise DataError(f"there is no file {path}", hint="check the path")
    if path.is_dir():
        yield _folder(path)
    elif not path.is_file():
        raise DataError(
            f"{path} is not a file", hint="give the path of a file, a folder or a zip"
        )
    elif _is_zip(path):
        try:
            archive = zipfile.ZipFile(path)
        except (*_DAMAGED, ValueError):
            raise DataError(
                f"{path.name} is a damaged or truncated zip", hint=_AGAIN
            ) from None
        with archive:
            yield Place(path, _members(path.name, archive), archive=archive)
    else:
        yield Place(path, (path.name,))


def encoding_of(head: bytes) -> str:
    """Return the encoding that a byte order mark names, else UTF-8."""
    found = (name for mark, name in _MARKS.items() if head.startswith(mark))
    return next(found, "utf-8")


def _is_zip(path: Path) -> bool:
    with Place(path, (path.name,)).data(path.name) as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def _folder(root: Path) -> Place:
    """List the files of a folder; links are never followed, hidden files left alone."""
    names: list[str] = []
    links = 0
    for folder, below, files in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in (name for name in files if not name.startswith(".")):
            path = Path(folder) / name
            links += path.is_symlink()
            if stat.S_ISREG(path.lstat().st_mode):
                names.append(path.relative_to(root).as_posix())
        _check_count(len(names), root.name)
        links += sum((Path(folder) / name).is_symlink() for name in below)
    return Place(root, tuple(sorted(names)), links)


def _members(zip_name: str, archive: zipfile.ZipFile) -> tuple[str, ...]:
    """List the files of a zip, all of which must be harmless."""
    members = archive.infolist()
    _check_count(len(members), zip_name)
    total = sum(member.file_size for member in members)
    if total > MAX_UNPACKED:
        raise _bomb(f"{zip_name} unpacks to {total:,} bytes", f"{MAX_UNPACKED:,}")
    for member in members:
        _check_member(zip_name, member)
    files = [member.filename for member in members if not member.is_dir()]
    if len(set(files)) < len(files):
        raise DataError(f"{zip_name} holds two files of one name", hint=_AGAIN)
    return tuple(sorted(name for name in files if not _is_hidden(name)))


def _check_member(zip_name: str, member: zipfile.ZipInfo) -> None:
    parts = PurePosixPath(member.filename.replace("\\", "/")).parts
    if ".." in parts or "/" in parts or any(":" in part[:2] for part in parts[:1]):
        raise DataError(
            f"{zip_name} holds {member.filename[:80]!r}, a name that leads out of it",
            hint="no honest export has such names: take it from where it was made",
        )
    if stat.S_ISLNK(member.external_attr >> 16):
        raise DataError(
            f"{zip_name} holds the link {member.filename[:80]!r}, expected files",
            hint="no honest export has links: take it from where it was made",
        )
    if member.flag_bits & 0x1:
        raise DataError(
            f"{zip_name} is encrypted", hint="unpack it first, and import the folder"
        )
    ratio = member.file_size / max(member.compress_size, 1)
    if member.file_size > SMALL and ratio > MAX_RATIO:
        what = f"{member.filename[:80]!r} in {zip_name} unpacks to {ratio:,.0f} times"
        raise _bomb(f"{what} its size", f"{MAX_RATIO} times")


def _check_count(count: int, name: str) -> None:
    if count > MAX_FILES:
        raise DataError(
            f"{name} holds more than {MAX_FILES:,} files",
            hint="import a smaller folder, one after the other",
        )


def _bomb(got: str, most: str) -> DataError:
    return DataError(
        f"{got}, expected at most {most}",
        hint="this looks like a zip bomb; if it is yours, import the unpacked folder",
    )


def _is_hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)
