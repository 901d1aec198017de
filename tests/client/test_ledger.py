"""The ledger against kills, edits, full disks and threads."""

import errno
import hashlib
import json
import os
import threading
from datetime import UTC, datetime

import pytest

from proper_client.ledger import RESERVED_NBYTES, Door, Ledger
from proper_client.ledger_amounts import NothingLeftError
from proper_client.ledger_entry import (
    Damage,
    Entry,
    Place,
    Purpose,
    read_ledger,
)
from proper_client.vault import Vault
from proper_shared.errors import ConfigError
from proper_shared.secagg.checks import Refusal

NOW = datetime(2026, 11, 21, 14, 0, 0, 123456, tzinfo=UTC)
PLACE = Place("ab" * 16, 7, 1, "population")
WHERE = "there.example:9092"


@pytest.fixture
def vault(tmp_path):
    return Vault(tmp_path / "home")


@pytest.fixture
def ledger(vault):
    with Ledger(vault, lambda: NOW) as ledger:
        yield ledger


def file_of(vault):
    return vault.home / "federation" / "ledger.jsonl"


def entries(vault):
    return list(read_ledger(vault))


def bytes_in(vault):
    return sum(e.nbytes for e in entries(vault) if isinstance(e, Entry))


class Wire:
    """Remembers what it was handed, and what the ledger said at that moment."""

    def __init__(self, vault):
        self.vault, self.sent, self.known = vault, [], []

    def __call__(self, data):
        self.sent.append(data)
        self.known.append(bytes_in(self.vault))
        return len(self.sent)


def test_a_line_says_when_why_how_much_which_to_whom_and_where(vault, ledger):
    Door(ledger, WHERE).send(b"vector", Purpose.MASKED_UPDATE, bytes, PLACE)
    assert entries(vault) == [
        Entry(
            time="2026-11-21T14:00:00.123Z",
            purpose=Purpose.MASKED_UPDATE,
            nbytes=6,
            coordinator=WHERE,
            sha256=hashlib.sha256(b"vector").hexdigest(),
            run="ab" * 16,
            serial=7,
            attempt=1,
            stage="population",
            prev="0" * 64,
        )
    ]
    assert file_of(vault).stat().st_mode & 0o777 == 0o600


def test_bytes_are_written_down_before_the_wire_has_them(vault, ledger):
    wire, door = Wire(vault), Door(ledger, WHERE)
    for number in range(5):
        door.send(bytes(number + 1), Purpose.SHARE, wire)
        assert wire.known[-1] == sum(map(len, wire.sent))


def test_a_line_is_on_the_disk_before_the_wire_is_called(vault, ledger, monkeypatch):
    steps, sync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append("sync"), sync(fd)))
    Door(ledger, WHERE).send(b"x", Purpose.JOIN, lambda _: steps.append("wire"))
    assert steps == ["sync", "wire"]
    assert len(entries(vault)) == 1


def test_what_the_wire_returns_and_raises_comes_through(vault, ledger):
    door = Door(ledger, WHERE)
    assert door.send(b"x", Purpose.QUERY, lambda data: data * 2) == b"xx"

    def broken(_):
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        door.send(b"xyz", Purpose.QUERY, broken)
    assert bytes_in(vault) == 4  # it may have left


def test_where_the_ledger_cannot_be_written_nothing_leaves(vault, ledger, monkeypatch):
    wire, door = Wire(vault), Door(ledger, WHERE)
    door.send(b"one", Purpose.JOIN, wire)
    write = os.write

    def full(descriptor, data):
        write(descriptor, data[: len(data) // 2])  # a part of the line gets there
        raise OSError(errno.ENOSPC, "No space left on device")

    for purpose in (Purpose.SHARE, Purpose.POLL):
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            for _ in range(2):  # opened again, the disk is still full
                with pytest.raises(ConfigError, match=r"cannot be written|is full"):
                    door.send(b"two", purpose, wire)
        assert wire.sent == [b"one"]
    door.send(b"three", Purpose.SHARE, wire)
    assert wire.sent == [b"one", b"three"]
    assert bytes_in(vault) == 8
    (damage,) = [e for e in entries(vault) if isinstance(e, Damage)]
    assert damage.line == 2
    names = [entry.name for entry in entries(vault) if isinstance(entry, Entry)]
    assert names == [None, "torn-line", None]


def test_a_kill_at_any_byte_of_a_line_loses_no_line_before_it(vault, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)  # 1,500 of them take long
    with Ledger(vault, lambda: NOW) as ledger:
        for data in (b"first", b"second!"):
            Door(ledger, WHERE).send(data, Purpose.SHARE, len, PLACE)
    whole = file_of(vault).read_bytes()
    start = whole.index(b"\n") + 1
    for length in range(start, len(whole) + 1):
        file_of(vault).write_bytes(whole[:length])
        with Ledger(vault, lambda: NOW) as ledger:
            Door(ledger, WHERE).send(b"after", Purpose.AGREE, len)
        kept = entries(vault)
        sound = [e for e in kept if isinstance(e, Entry)]
        damaged = [e for e in kept if isinstance(e, Damage)]
        complete = length >= len(whole) - 1
        assert sum(e.nbytes for e in sound) == 5 + 5 + (7 if complete else 0)
        assert file_of(vault).read_bytes().startswith(whole[:length])
        cut = start < length < len(whole) - 1
        assert len(damaged) == cut
        notes = [e for e in sound if e.purpose == Purpose.NOTE]
        assert len(notes) == (start < length < len(whole))


def test_a_line_that_was_changed_or_taken_out_is_noticed(vault):
    with Ledger(vault, lambda: NOW) as ledger:
        for size in (1, 2, 3):
            Door(ledger, WHERE).send(bytes(size), Purpose.SHARE, len)
    lines = file_of(vault).read_bytes().splitlines(keepends=True)
    assert not [e for e in entries(vault) if isinstance(e, Damage)]
    for changed in (
        [lines[0].replace(b"T14:", b"T13:"), *lines[1:]],
        [lines[0], lines[2]],
        lines[1:],
        [lines[1], lines[0], lines[2]],
    ):
        file_of(vault).write_bytes(b"".join(changed))
        found = [e for e in entries(vault) if isinstance(e, Damage)]
        assert found
        assert "changed or is missing" in found[0].words


@pytest.mark.parametrize(
    "line",
    [b"", b"{}", b"\xff\xfe", b"[1]", b'{"a":1,"a":2}', b"x" * 200_000, b"null"],
)
def test_a_line_that_is_none_is_shown_and_ends_nothing(vault, line):
    with Ledger(vault, lambda: NOW) as ledger:
        Door(ledger, WHERE).send(b"one", Purpose.SHARE, len)
    with file_of(vault).open("ab") as file:
        file.write(line + b"\n")
    with Ledger(vault, lambda: NOW) as ledger:
        Door(ledger, WHERE).send(b"two", Purpose.SHARE, len)
    kept = entries(vault)
    assert isinstance(kept[1], Damage)
    assert bytes_in(vault) == 6


def test_a_refusal_has_its_name_its_words_and_no_bytes(vault, ledger):
    Door(ledger, WHERE).refuse(Refusal("small-cohort", "got 3, expected 10"), PLACE)
    (entry,) = entries(vault)
    assert (entry.purpose, entry.nbytes, entry.messages) == ("refusal", 0, 0)
    assert (entry.name, entry.words) == ("small-cohort", "got 3, expected 10")
    assert (entry.run, entry.serial, entry.attempt) == ("ab" * 16, 7, 1)


def test_a_refusal_that_is_passed_on_is_written_down_once(vault, ledger):
    door, refusal = Door(ledger, WHERE), Refusal("small-cohort", "got 3")
    for one in (refusal, refusal, Refusal("small-cohort", "got 3")):
        door.refuse(one, PLACE)
    assert [entry.name for entry in entries(vault)] == ["small-cohort"] * 2


def test_words_from_elsewhere_stay_in_one_line(vault, ledger):
    words = "a\nb\u2028c\x1b[31m" + "\ud800" + "x" * 5000
    Door(ledger, "evil\nhost").refuse(Refusal("malformed", words))
    assert file_of(vault).read_bytes().count(b"\n") == 1
    (entry,) = entries(vault)
    assert entry.words.startswith("a\nb\u2028c")
    assert len(file_of(vault).read_bytes()) < 4000


def test_routine_is_counted_to_the_byte_in_few_lines(vault, ledger):
    wire = Wire(vault)
    with Door(ledger, WHERE) as door:
        for number in range(400):
            door.send(bytes(300 + number % 7), Purpose.POLL, wire)
            door.send(bytes(10), Purpose.HEARTBEAT, wire)
            assert wire.known[-1] >= sum(map(len, wire.sent))  # a kill over-counts
    total = sum(map(len, wire.sent))
    assert bytes_in(vault) == total
    assert len(entries(vault)) <= 2 * (total // RESERVED_NBYTES + 2)
    assert sum(e.messages for e in entries(vault)) == len(wire.sent)
    beats = hashlib.sha256(bytes(10 * 400)).hexdigest()
    assert beats in {e.sha256 for e in entries(vault)}


def test_after_a_crash_routine_is_over_counted_by_one_reserve_at_most(vault, ledger):
    wire, door = Wire(vault), Door(ledger, WHERE)
    for _ in range(500):
        door.send(bytes(200), Purpose.POLL, wire)
    over = bytes_in(vault) - sum(map(len, wire.sent))
    assert 0 <= over <= RESERVED_NBYTES


def test_a_long_message_never_passes_as_routine(vault, ledger):
    with Door(ledger, WHERE) as door:
        door.send(bytes(5000), Purpose.POLL, len)
    (entry,) = entries(vault)
    assert (entry.nbytes, entry.name) == (5000, None)


def test_a_second_process_cannot_write(vault, ledger):
    assert ledger
    with pytest.raises(ConfigError, match="another process") as caught:
        Ledger(vault)
    assert "--home" in caught.value.hint
    assert not entries(vault)


def test_threads_write_whole_lines(vault, ledger):
    door = Door(ledger, WHERE)

    def send():
        for _ in range(25):
            door.send(b"12345", Purpose.SHARE, len)
            door.send(b"1", Purpose.HEARTBEAT, len)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    door.settle()
    assert bytes_in(vault) == 4 * 25 * 6
    assert not [e for e in entries(vault) if isinstance(e, Damage)]


def test_a_link_in_the_place_of_the_ledger_is_not_followed(vault, tmp_path):
    (vault.home / "federation").mkdir(parents=True)
    (tmp_path / "outside").write_text("mine")
    file_of(vault).symlink_to(tmp_path / "outside")
    with pytest.raises(ConfigError):
        Ledger(vault)
    assert (tmp_path / "outside").read_text() == "mine"


def test_reading_makes_nothing(vault):
    assert entries(vault) == []
    assert not vault.home.exists()


def test_each_line_is_one_json_object(vault, ledger):
    Door(ledger, WHERE).send(b"x", Purpose.JOIN, len)
    for line in file_of(vault).read_text().splitlines():
        assert json.loads(line)["purpose"] == "join"


# What could not leave, what comes again, what is interrupted


class UnreachableError(Exception):
    pass


def nobody(_):
    raise NothingLeftError(UnreachableError("nobody is there"))


def test_what_could_not_leave_is_given_back_however_often_it_was_tried(vault, ledger):
    wire = Wire(vault)
    with Door(ledger, WHERE) as door:
        for _ in range(50):
            for data, purpose in ((b"vector", Purpose.SHARE), (b"?", Purpose.POLL)):
                with pytest.raises(UnreachableError, match="nobody is there"):
                    door.send(data, purpose, nobody, PLACE)
        door.send(b"vector", Purpose.SHARE, wire, PLACE)  # at last, under its line
        door.send(b"?", Purpose.POLL, wire)
        assert wire.known[-1] >= sum(map(len, wire.sent))
        assert len(entries(vault)) == 2
        with pytest.raises(UnreachableError):
            door.send(b"other", Purpose.AGREE, nobody)
    assert bytes_in(vault) == sum(map(len, wire.sent)) == 7
    assert sum(e.messages for e in entries(vault)) == 2
    assert [e.name for e in entries(vault)].count("unsent") == 1
    assert hashlib.sha256(b"?").hexdigest() in {e.sha256 for e in entries(vault)}


def test_another_message_does_not_leave_under_the_line_of_one_that_could_not(
    vault, ledger
):
    wire, door = Wire(vault), Door(ledger, WHERE)
    for data, purpose, place in (
        (b"vector", Purpose.SHARE, PLACE),
        (b"vectox", Purpose.SHARE, PLACE),
        (b"vector", Purpose.AGREE, PLACE),
        (b"vector", Purpose.SHARE, Place("ab" * 16, 8, 0, "population")),
    ):
        with pytest.raises(UnreachableError):
            door.send(b"vector", Purpose.SHARE, nobody, PLACE)
        door.send(data, purpose, wire, place)
        last = [e for e in entries(vault) if e.name is None][-1]
        assert last.sha256 == hashlib.sha256(data).hexdigest()
        assert (last.purpose, last.serial) == (purpose, place.serial)
        assert bytes_in(vault) == sum(map(len, wire.sent))


def test_a_reserve_is_settled_when_the_last_of_its_messages_has_landed(vault, ledger):
    data, late = bytes(1000), []
    with Door(ledger, WHERE) as door:

        def slow(_):  # meanwhile others use the reserve up
            late.extend(door.send(data, Purpose.POLL, bytes) for _ in range(8))

        door.send(data, Purpose.POLL, slow)
    assert bytes_in(vault) == 9000
    assert sum(e.messages for e in entries(vault)) == 9


def test_ctrl_c_while_a_line_is_written_is_no_other_error(vault, monkeypatch):
    wire, sync = Wire(vault), os.fsync

    def interrupted(_):
        monkeypatch.setattr(os, "fsync", sync)
        raise KeyboardInterrupt

    def run():
        with Ledger(vault) as ledger, Door(ledger, WHERE) as door:
            door.send(bytes(50), Purpose.POLL, wire)
            monkeypatch.setattr(os, "fsync", interrupted)
            door.send(bytes(500), Purpose.JOIN, wire)

    with pytest.raises(KeyboardInterrupt):
        run()
    assert [len(data) for data in wire.sent] == [50]
    assert bytes_in(vault) == 50 + 500  # the reserve is settled; that line may say more
    assert not [e for e in entries(vault) if isinstance(e, Damage)]


def test_a_refusal_on_each_poll_has_a_line_an_hour_and_each_is_counted(vault, ledger):
    moment = 0.0
    with Door(ledger, WHERE, lambda: moment) as door:
        for number in range(10_000):
            moment = number * 0.5
            door.refuse_again(Refusal("redirection", f"got answer {number}"))
            if number % 1000 == 0:
                door.refuse_again(Refusal("compressed", "got a compressed one"))
    found = entries(vault)
    assert len(found) == 2 * 3  # the first, after an hour, at the end
    for name, count in (("redirection", 10_000), ("compressed", 10)):
        own = [e for e in found if e.name == name]
        assert sum(e.refusals for e in own) == count
        assert own[0].count is None
    assert bytes_in(vault) == sum(e.messages for e in found) == 0


def test_why_something_is_refused_is_said_once_for_each_reason(ledger, caplog):
    door = Door(ledger, WHERE)
    for number in range(3):
        door.refuse(Refusal("small-cohort", f"got {number}\x1b[2J, expected 10"))
        door.refuse_again(Refusal("redirection", "got an answer that leads elsewhere"))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[0].startswith("refused: got 0\\x1b[2J, expected 10 (small-cohort; ")
    assert "ledger --refusals" in said[0]
