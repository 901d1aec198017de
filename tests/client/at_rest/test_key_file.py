"""A key file opens by what wraps it, and tells damage from a wrong passphrase."""

import base64
import hashlib
import json

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from proper_client.at_rest.key_file import DataKey, Hardness, KeyFile, Wrap
from proper_shared.errors import ConfigError, FormatError

KEY = DataKey("ab" * 16, bytes(range(32)))
HARDNESS = Hardness(salt="cd" * 16)
STRETCHED = Wrap(b"s" * 32, argon2id=HARDNESS)  # as if by Argon2id
HELD = Wrap(b"h" * 32, keyring="ef" * 16)
FILE = STRETCHED.close(KEY, "sealed")


def changed(**fields):
    """Return the file with other fields, its sum made as docs/formats.md says."""
    plain = {**FILE.model_dump(mode="json"), **fields}
    del plain["sha256"]
    canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    plain["sha256"] = hashlib.sha256(canonical.encode()).hexdigest()
    held = {key: value for key, value in plain.items() if value is not None}
    return json.dumps(held).encode()


def test_the_sum_in_a_file_is_the_one_that_the_page_of_formats_describes():
    assert KeyFile.parse(changed()) == FILE


@pytest.mark.parametrize("wrap", [STRETCHED, HELD], ids=["passphrase", "keyring"])
def test_what_closed_it_opens_it_again(wrap):
    file = KeyFile.parse(wrap.close(KEY, "sealed").dump())
    assert wrap.open(file) == KEY
    assert (file.state, file.way) == (
        "sealed",
        "keyring" if wrap.keyring else "passphrase",
    )


def test_a_passphrase_is_stretched_by_argon2id_as_others_do_it():
    key = Hardness(salt=b"saltsaltsaltsalt".hex()).stretch(b"password")
    phc = "$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHRzYWx0c2FsdA$"  # what others write
    phc += base64.b64encode(key).decode().rstrip("=")
    Argon2id.verify_phc_encoded(b"password", phc)


def test_another_wrap_does_not_open_it():
    with pytest.raises(ConfigError, match="not the passphrase") as caught:
        Wrap(b"x" * 32, argon2id=HARDNESS).open(FILE)
    assert "Caps Lock" in caught.value.hint
    with pytest.raises(ConfigError, match="OS keyring is not the one"):
        Wrap(b"x" * 32, keyring=HELD.keyring).open(HELD.close(KEY, "sealed"))


@pytest.mark.parametrize(
    "fields", [{"state": "sealing"}, {"id": "00" * 16}, {"argon2id": {"lanes": 5}}]
)
def test_no_field_can_be_changed_by_itself(fields):
    if "argon2id" in fields:
        fields = {"argon2id": HARDNESS.model_dump() | fields["argon2id"]}
    file = KeyFile.parse(changed(**fields))
    with pytest.raises(ConfigError, match="not the passphrase"):
        STRETCHED.open(file)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(
            ("memory_kib", n)
            for n in (0, 65535, 1024 * 1024 + 1, 2**40, "65536", 65536.0)
        ),
        *(("iterations", n) for n in (0, 2, 13, True)),
        *(("lanes", n) for n in (1, 3, 17)),
        *(("salt", text) for text in ("", "ab" * 15, "AB" * 16, "zz" * 16)),
        ("memory", 65536),
    ],
)
def test_parameters_below_the_floor_or_above_the_ceiling_are_refused(name, value):
    argon2id = HARDNESS.model_dump() | {name: value}
    with pytest.raises(FormatError, match=r"key\.json is wrong in argon2id"):
        KeyFile.parse(changed(argon2id=argon2id))


def test_damage_is_no_wrong_passphrase():
    data = FILE.dump()
    for at in range(len(data)):
        bad = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        if bad.split() == data.split():
            continue
        with pytest.raises(FormatError, match=r"key\.json") as caught:
            KeyFile.parse(bad)
        assert caught.value.hint


@pytest.mark.parametrize("length", [0, 1, 100, -2])
def test_a_file_that_was_cut_is_refused(length):
    with pytest.raises(FormatError, match=r"key\.json"):
        KeyFile.parse(FILE.dump()[:length])


def test_a_file_beyond_all_measure_is_refused():
    with pytest.raises(FormatError, match="more than 4096 bytes"):
        KeyFile.parse(b" " * 5000)


@pytest.mark.parametrize("fields", [{"keyring": "ef" * 16}, {"format": "proper-key-2"}])
def test_an_odd_file_is_refused(fields):
    with pytest.raises(FormatError, match=r"key\.json"):
        KeyFile.parse(changed(**fields))


def test_no_secret_shows_when_it_is_printed():
    shown = repr((KEY, STRETCHED))
    assert repr(KEY.secret)[2:10] not in shown
    assert "ssss" not in shown
