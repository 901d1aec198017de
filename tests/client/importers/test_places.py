"""Sources that are hostile, damaged or no source: an error with a hint each."""

import io
import os
import random
import stat
import zipfile
from pathlib import Path

import pytest

from proper_client.importers import places
from proper_client.importers.formats import Options
from proper_client.importers.importing import gather, import_into
from proper_shared.errors import ConfigError, DataError

EXPORT = (
    Path(__file__).parent / "fixtures" / "chatgpt" / "conversations.json"
).read_bytes()


def zipped(*members, how=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def a_link():
    link = zipfile.ZipInfo("conversations.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return zipped((link, "/etc/passwd"))


def encrypted():
    data = bytearray(zipped(("conversations.json", EXPORT)))
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(mark) + offset] |= 1
    return bytes(data)


def another_packing():
    data = bytearray(zipped(("conversations.json", EXPORT)))
    for mark, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.index(mark) + offset] = 99
    return bytes(data)


def flipped():
    data = bytearray(zipped(("conversations.json", EXPORT), how=zipfile.ZIP_STORED))
    data[data.index(b"Garden")] ^= 1
    return bytes(data)


def garbled():
    data = bytearray(zipped(("conversations.json", EXPORT)))
    data[200:400] = bytes(200)
    return bytes(data)


GOOD = zipped(("conversations.json", EXPORT))
NOISE = random.Random(0).randbytes(5_000)  # noqa: S311 - no secret
BROKEN = {
    "truncated": (GOOD[: len(GOOD) // 2], "is a damaged or truncated zip"),
    "one byte short": (GOOD[:-1], "is a damaged or truncated zip"),
    "flipped": (flipped(), "is damaged: Bad CRC"),
    "garbled": (garbled(), "conversations.json in source is damaged"),
    "climbing": (zipped(("../conversations.json", EXPORT)), "leads out of it"),
    "climbing back": (zipped(("a\\..\\..\\b", "x")), "leads out of it"),
    "absolute": (zipped(("/etc/conversations.json", EXPORT)), "leads out of it"),
    "of a drive": (zipped(("C:/conversations.json", EXPORT)), "leads out of it"),
    "a link": (a_link(), "holds the link 'conversations.json'"),
    "encrypted": (encrypted(), "is encrypted"),
    "another packing": (another_packing(), "is damaged: That compression method"),
    "a bomb": (
        zipped(("conversations.json", b"[" + b" " * 40_000_000)),
        "unpacks to .* times its size, expected at most 200 times",
    ),
    "no members": (zipped(), "no file of a format that we read"),
    "other members": (zipped(("a.gif", b"x")), "no file of a format that we read"),
    "noise": (NOISE, "is no text"),
    "noise in a zip": (zipped(("conversations.json", NOISE)), "is not UTF-8"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(200), "is no text"),
    "empty": (b"", "is empty"),
    "white space": (b" \n", "is empty"),
    "latin-1": ("Ein Märchen\n\nnoch eins".encode("latin-1"), "is not UTF-8"),
    "cut UTF-16": (b"\xff\xfea\x00\n", "is not UTF-16"),
    "cut JSON": (EXPORT[:-20], "is not JSON from line"),
    "a deep nest": (b'[{"mapping":' + b"[" * 200_000, "beyond all measure"),
    "a deep nest alone": (b"[" * 200_000, "beyond all measure"),
    "NaN": (b'[{"mapping": {}, "create_time": NaN}]', "got the number nan"),
    "a huge number": (b'[{"mapping": ' + b"9" * 5_000 + b"}]", "exceeds the limit"),
    "a key twice": (b'[{"mapping": {}, "mapping": {}}]', "a name stands twice"),
    "no conversation": (b'[{"mapping": {}}]', "has no entry of writing: dropped 1"),
    "an open quote": (b'text,output\na,"b\nc,d\n', "is no CSV after row"),
    "a long line": (b"text,output\na,b\n" + b"x" * 2_000_000, "is no CSV after row 2"),
    "an unknown object": (b'{"entires": []}', "unknown key 'entires'"),
}


@pytest.fixture
def source(tmp_path):
    def _source(data):
        path = tmp_path / "source"
        path.write_bytes(data)
        return path

    return _source


@pytest.mark.parametrize(("data", "message"), BROKEN.values(), ids=BROKEN)
def test_what_is_broken_is_named_and_nothing_is_written(
    source, tmp_path, data, message
):
    options = Options(task="writing")
    with pytest.raises(DataError, match=message) as caught:
        import_into(source(data), tmp_path / "my.json", options)
    assert caught.value.hint
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_file_that_is_there_survives_a_broken_source(source, tmp_path):
    out = tmp_path / "my.json"
    import_into(source(EXPORT), out, Options())
    before = out.read_bytes()
    for data, _ in BROKEN.values():
        with pytest.raises(DataError):
            import_into(source(data), out, Options())
    assert out.read_bytes() == before


def test_two_members_of_one_name_are_refused(source):
    with pytest.warns(UserWarning, match="Duplicate name"):
        data = zipped(("a.md", "one"), ("a.md", "two"))
    with pytest.raises(DataError, match="two files of one name"):
        gather(source(data))


def test_all_members_together_are_bounded(source, monkeypatch):
    monkeypatch.setattr(places, "MAX_UNPACKED", 1_000)
    with pytest.raises(DataError, match=r"unpacks to .* bytes, expected at most 1,000"):
        gather(source(zipped(("a.md", "x" * 600), ("b.md", "y" * 600))))


def test_the_number_of_files_is_bounded(source, tmp_path, monkeypatch):
    monkeypatch.setattr(places, "MAX_FILES", 1)
    with pytest.raises(DataError, match="more than 1 files"):
        gather(source(zipped(("a.md", "x"), ("b.md", "y"))))
    (tmp_path / "b.md").write_text("x")
    with pytest.raises(DataError, match="more than 1 files"):
        gather(tmp_path)


def test_a_size_that_lies_unpacks_no_more_than_it_says(source):
    data = bytearray(zipped(("a.md", "word " * 100_000)))
    at = data.index(b"PK\x01\x02") + 24
    data[at : at + 4] = (50).to_bytes(4, "little")
    with pytest.raises(DataError, match=r"has no entry|cannot be read"):
        gather(source(bytes(data)))


def test_what_is_not_there_or_never_ends_is_refused(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        gather(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="is not a file"):
        gather(tmp_path / "pipe")
    with pytest.raises(DataError, match="no file of a format"):
        gather(tmp_path)


def test_a_format_that_does_not_fit_is_refused(source, tmp_path):
    with pytest.raises(ConfigError, match="got format 'cvs'") as caught:
        gather(source(EXPORT), name="cvs")
    assert caught.value.hint == "did you mean 'csv'?"
    with pytest.raises(
        DataError, match="is a folder or a zip, expected a file for csv"
    ):
        gather(tmp_path, name="csv")
    with pytest.raises(DataError):
        gather(source(EXPORT), Options(task="writing"), name="csv")


def test_fifty_languages_come_through_whole(source):
    words = [
        "नमस्ते",
        "สวัสดี",
        "გამარჯობა",
        "שלום",
        "سلام",
        "こんにちは",
        "안녕",
        "Ѐ",
        "👩‍👩‍👧",
    ]
    blocks = (range(start, start + 6) for start in range(0xA1, 0x3000, 0x110))
    words += [text for b in blocks if (text := "".join(map(chr, b))).isprintable()]
    assert len(words) >= 25
    text = "\n\n".join(words)
    assert [
        e.output for e in gather(source(text.encode())).gathering.entries()
    ] == words
