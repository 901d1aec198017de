"""A sealed file opens whole, in its place, under its key, or not at all."""

import hmac
from hashlib import sha512

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from proper_client.at_rest.sealing import MAGIC, seal, unseal
from proper_shared.errors import FormatError

KEY, PLACE = bytes(range(32)), "personal/tagging.safetensors"
CHUNK = 16 * 1024
SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK]


def sealed(data, place=PLACE, key=KEY):
    return b"".join(seal(key, place, [data]))


def opened(file, place=PLACE, key=KEY):
    assert file.startswith(MAGIC)
    return b"".join(unseal(key, place, [file[len(MAGIC) :]]))


def read_apart(file, place, key):
    """Read c2sp.org/chunked-encryption from the words of its specification."""
    salt, commitment, body = file[8:32], file[32:64], file[64:]
    context = b"proper-file-1\0" + place.encode()
    name = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"
    first = hmac.digest(key, name + salt + context + b"\1", sha512)
    second = hmac.digest(key, first + name + salt + context + b"\2", sha512)
    derived = first + second
    assert derived[44:76] == commitment
    base, plain = int.from_bytes(derived[32:44], "big"), b""
    for number in range(len(body) // (CHUNK + 16) + 1):
        chunk = body[number * (CHUNK + 16) :][: CHUNK + 16]
        nonce = (base ^ number).to_bytes(12, "big")
        plain += AESGCM(derived[:32]).decrypt(nonce, chunk, None)
    return plain


@pytest.mark.parametrize("size", SIZES)
def test_what_is_sealed_opens_here_and_by_the_specification_alone(size):
    data = bytes(n % 251 for n in range(size))
    file = sealed(data)
    assert opened(file) == data
    assert read_apart(file, PLACE, KEY) == data
    assert len(file) == len(data) + 8 + 56 + 16 * (size // CHUNK + 1)


@given(st.lists(st.binary(max_size=50), max_size=8), st.integers(1, 70))
def test_it_does_not_matter_where_a_file_is_cut_into_pieces(pieces, size):
    file = b"".join(seal(KEY, PLACE, pieces))
    rest = file[len(MAGIC) :]
    cut = [rest[n : n + size] for n in range(0, len(rest), size)]
    assert b"".join(unseal(KEY, PLACE, cut)) == b"".join(pieces)


def test_every_flipped_bit_is_refused():
    file = sealed(b"what nobody may change")
    for bit in range(8 * len(MAGIC), 8 * len(file)):
        changed = bytearray(file)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FormatError, match="was changed, cut or moved"):
            opened(bytes(changed))


@pytest.mark.parametrize("size", SIZES)
def test_what_was_cut_or_is_too_long_is_refused(size):
    file = sealed(bytes(size))
    whole = [8, 20, 64, 64 + CHUNK + 16, len(file) - 1]  # ends of chunks too
    for bad in [file + b"\0", *(file[:n] for n in whole if n < len(file))]:
        with pytest.raises(FormatError, match="was changed, cut or moved"):
            opened(bad)


@pytest.mark.parametrize(
    ("place", "key"),
    [
        ("personal/rating.safetensors", KEY),
        ("federation/x.json", KEY),
        (PLACE, b"k" * 32),
    ],
)
def test_another_place_or_key_does_not_open_it(place, key):
    with pytest.raises(FormatError, match="was changed, cut or moved"):
        opened(sealed(b"data"), place, key)


def test_the_same_file_never_looks_the_same():
    assert sealed(b"data") != sealed(b"data")
