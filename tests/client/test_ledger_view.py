"""The ledger on a terminal: everything is there, nothing steers it, all adds up."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

from proper_client.cli import main
from proper_client.ledger import Door, Ledger
from proper_client.ledger_entry import Place, Purpose, read_ledger
from proper_client.vault import Vault
from proper_shared.secagg.checks import Refusal

START = datetime(2026, 11, 21, 14, tzinfo=UTC)
PLACE = Place("ab" * 16, 7, 1, "population")


@pytest.fixture
def vault(tmp_path):
    return Vault(tmp_path / "home")


@pytest.fixture
def filled(vault):
    """Twenty-five shares, a masked update, routine, and two refusals."""
    moments = iter(START + timedelta(seconds=n) for n in range(1000))
    with Ledger(vault, lambda: next(moments)) as ledger:
        with Door(ledger, "one.example:9092") as door:
            for _ in range(25):
                door.send(bytes(100), Purpose.SHARE, len, PLACE)
            door.refuse(Refusal("small-cohort", "got 3, expected 10"), PLACE)
            for _ in range(7):
                door.send(bytes(11), Purpose.POLL, len)
        two = Door(ledger, "two.example:9092")
        two.send(bytes(2_400_000), Purpose.MASKED_UPDATE, len, PLACE)
        two.refuse(Refusal("unknown-message", "got \x1b[2Jevil\nlines" + "x" * 250))
    return vault


def show(vault, *options):
    done = CliRunner().invoke(main, ["ledger", "--home", str(vault.home), *options])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_an_empty_ledger_says_so_and_makes_nothing(vault):
    assert show(vault) == "nothing has left this device, and nothing was refused\n"
    assert show(vault, "--json") == ""
    assert not vault.home.exists()


def test_the_totals_are_those_of_all_lines_whatever_is_shown(filled):
    for options in ([], ["--last", "1"], ["--refusals"], ["--last", "900"]):
        lines = show(filled, *options).splitlines()
        totals = lines[lines.index("left for one.example:9092") :]
        assert [line.split() for line in totals] == [
            ["left", "for", "one.example:9092"],
            ["share", "2,500", "bytes", "in", "25", "messages"],
            ["poll", "77", "bytes", "in", "7", "messages"],
            ["left", "for", "two.example:9092"],
            ["masked", "update", "2,400,000", "bytes", "in", "1", "message"],
            ["in", "all", "2,402,577", "bytes,", "2", "refusals"],
        ]


def test_the_newest_lines_are_shown_and_how_many_are_not(filled):
    everything = len(list(read_ledger(filled)))
    lines = show(filled).splitlines()
    assert lines[0] == f"... {everything - 20} older lines, see --last"
    shown = show(filled, "--last", "900").splitlines()
    assert not shown[0].startswith("...")
    assert sum(line.startswith("2026-11-21 14:0") for line in shown) == everything
    first = " ".join(" ".join(shown[1:3]).split())
    assert first.endswith("one.example:9092, population sum 7, again")


def test_refusals_are_shown_by_name_and_in_words(filled):
    text = show(filled, "--refusals")
    assert "refusal: small-cohort, population sum 7, again, asked by one" in text
    assert "got 3, expected 10" in text
    assert "refusal: unknown-message, asked by two.example:9092" in text
    assert " share " not in text.split("left for")[0]


def test_where_nothing_was_refused_it_says_so(vault):
    with Ledger(vault) as ledger:
        Door(ledger, "one").send(b"x", Purpose.JOIN, len)
    assert show(vault, "--refusals").startswith("nothing was refused\n")


def test_lines_fit_a_terminal_and_cannot_steer_it(filled):
    with Ledger(filled) as ledger:
        Door(ledger, "w" * 250 + "\x1b[31m").send(b"x", Purpose.SHARE, len, PLACE)
    text = show(filled, "--last", "900")
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text
    assert "\\x1b[2Jevil\\nlines" in text


def test_json_has_all_lines_one_object_each(filled):
    entries = [json.loads(line) for line in show(filled, "--json").splitlines()]
    assert sum(entry["nbytes"] for entry in entries) == 2_402_577
    assert len(entries) == len(list(read_ledger(filled)))
    refused = show(filled, "--json", "--refusals", "--last", "1").splitlines()
    assert [json.loads(line)["name"] for line in refused] == ["unknown-message"]


def test_damage_is_shown_in_its_place_and_counted(filled):
    path = filled.home / "federation" / "ledger.jsonl"
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"nbytes":100', b'"nbytes":101', 1) + b"\xff\n")
    text = show(filled, "--last", "900")
    assert "! line 2 is damaged: the line before it was changed or is missing" in text
    assert "2 damaged lines: edited, or cut off by a crash?" in text
    odd = [json.loads(line) for line in show(filled, "--json").splitlines()]
    assert next(line["damaged"] for line in odd if "damaged" in line) == 2


def test_the_policy_is_shown_and_a_mistake_in_it_is_two_lines(vault):
    runner, words = CliRunner(), ["policy", "--home", str(vault.home)]
    assert "min_cohort = 10" in runner.invoke(main, words).stdout
    vault.home.mkdir()
    (vault.home / "policy.toml").write_text("min_cohrt = 3")
    done = runner.invoke(main, words)
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        "error: policy.toml has the unknown key 'min_cohrt'",
        "hint: did you mean 'min_cohort'?",
    ]


def test_what_is_reserved_stands_apart_from_what_left(vault):
    with Ledger(vault) as ledger:
        Door(ledger, "here").send(bytes(30), Purpose.POLL, len)  # as after a crash
        with Door(ledger, "here") as door:
            for _ in range(3):
                door.send(bytes(20), Purpose.POLL, len)
        Door(ledger, "here").send(bytes(9), Purpose.HEARTBEAT, len)
    assert show(vault).splitlines()[-5:] == [
        "left for here",
        f"  {'poll':<15}{'60':>18} bytes in 3 messages",
        f"  {'poll':<15}{'8,192':>18} bytes at most, reserved",
        f"  {'heartbeat':<15}{'8,192':>18} bytes at most, reserved",
        "in all 16,444 bytes, 0 refusals",
    ]


def test_refusals_that_have_one_line_count_as_many_as_they_are(vault):
    with Ledger(vault) as ledger, Door(ledger, "here") as door:
        for _ in range(1234):
            door.refuse_again(Refusal("redirection", "got an answer"))
    text = show(vault, "--refusals")
    assert "refusal: redirection, 1,233 times, asked by here" in text
    assert "in all 0 bytes, 1,234 refusals" in text
