"""What a sealed file looks like: eight bytes that say so, then Cobblestone-256.

Cobblestone is C2SP's chunked encryption: a salt and a commitment to the key, then
chunks of 16 KiB under AES-256-GCM, so that a file of any size takes constant memory.
The file's own place is its context: one that was put in the place of another is found.

Covered: a bit that was flipped, bytes that are missing or too many, two files that were
swapped, another vault's file.
Not covered: an older copy of the same file; how long a file is, and its name. Of a
file that was cut all pieces before the cut come out first: use nothing before the end.
"""

from collections.abc import Iterable, Iterator

from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import InvalidTag

from proper_shared.errors import FormatError

MAGIC = b"PROPER\x00\x01"  # no JSON starts so, and no safetensors of sensible length
KEY_BYTES = 32


def seal(key: bytes, place: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a file that only `key` opens, and only at `place`.

    Args:
        key: 32 random bytes; any number of files may be sealed by it.
        place: folder and name, such as `personal/tagging.safetensors`.
        pieces: what it holds, cut anywhere.
    """
    encryptor = Cobblestone256Encryptor(key, _context(place))
    yield MAGIC
    for piece in pieces:
        yield encryptor.update(piece)
    yield encryptor.finalize()


def unseal(key: bytes, place: str, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what a sealed file holds.

    Args:
        key: by which it was sealed.
        place: where it was found.
        pieces: the file after `MAGIC`, cut anywhere.

    Raises:
        FormatError: the file was changed, cut or moved, or is of another key.
    """
    decryptor = Cobblestone256Decryptor(key, _context(place))
    try:
        for piece in pieces:
            yield decryptor.update(piece)
        yield decryptor.finalize()
    except InvalidTag:
        raise FormatError(
            f"{place} was changed, cut or moved, or is of another vault",
            hint="put a copy of it back that you have, or make it anew",
        ) from None


def _context(place: str) -> bytes:
    return b"proper-file-1\0" + place.encode()
