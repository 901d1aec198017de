"""The loop of a device, against a coordinator that is away, lies, or has gone."""

import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from proper_client import participation
from proper_client.flower import PARTITION, REFUSED
from proper_client.ledger import Door, Ledger
from proper_client.ledger_entry import Purpose, read_ledger
from proper_client.participation import Participation
from proper_client.resident import AwayError, GoneError, Letter, UnknownHereError
from proper_client.vault import Vault
from proper_shared.errors import ConfigError
from proper_shared.secagg.checks import Refusal

SEAT = 7


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(participation, "PAUSES_S", (0.0,))
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1


def letter(kind="train"):
    header = Message(RecordDict(), 1, kind)
    header.metadata.__dict__["_message_id"] = "m"
    return Letter(header, None)


class Fleet:
    """Plays what is in its script; an exception is raised, the end stops the loop."""

    def __init__(self, **script):
        self.script = {name: list(events) for name, events in script.items()}
        self.replies, self.calls = [], []
        self.loop = None

    def _play(self, name, default=None):
        self.calls.append(name)
        events = self.script.get(name, [])
        event = events.pop(0) if events else default
        if isinstance(event, Exception):
            raise event
        return event

    def arrive(self):
        return self._play("arrive", 1)

    def beat(self):
        return True

    def look(self):
        if not self.script.get("look"):
            self.loop.stop.set()
        return self._play("look")

    def check_run(self, _):
        self._play("check_run")

    def open(self, letter):
        return self._play("open", letter.header)

    def confirm(self, _):
        self._play("confirm")

    def reply(self, message, purpose, _):
        self._play("reply")
        self.replies.append((message, purpose))

    def leave(self):
        self.calls.append("leave")


def play(tmp_path, fleet, answer=None):
    """Run the loop to the end of the script; return answered messages and refusals."""
    seen = []

    def echo(pairs):
        seen.extend(context.node_config[PARTITION] for _, context in pairs)
        return [Message(RecordDict(), reply_to=message) for message, _ in pairs]

    vault = Vault(tmp_path)
    with Ledger(vault) as ledger, Door(ledger, "here") as door:
        fleet.loop = Participation(fleet, door, answer or echo, SEAT)
        count = fleet.loop.run()
    said = [e for e in read_ledger(vault) if e.purpose == Purpose.REFUSAL]
    assert set(seen) <= {SEAT}
    return count, [entry.name for entry in said]


def test_what_is_asked_is_answered_once(tmp_path):
    fleet = Fleet(look=[letter("query"), None, letter()])
    assert play(tmp_path, fleet) == (2, [])
    assert [purpose for _, purpose in fleet.replies] == [Purpose.QUERY, Purpose.UPDATE]
    assert fleet.calls[-1] == "leave"


@pytest.mark.parametrize("step", ["arrive", "look", "open", "confirm", "reply"])
@pytest.mark.parametrize("error", [AwayError("away"), UnknownHereError("who?")])
def test_a_coordinator_that_is_away_is_waited_for(tmp_path, step, error):
    script = {step: [error, error]}
    script["look"] = [*script.get("look", []), letter()]
    fleet = Fleet(**script)
    assert play(tmp_path, fleet) == (1, [])
    assert len(fleet.replies) == 1


@pytest.mark.parametrize("step", ["check_run", "open", "confirm", "reply"])
def test_a_run_that_has_ended_is_let_go(tmp_path, step):
    fleet = Fleet(look=[letter(), letter()], **{step: [GoneError("gone")]})
    assert play(tmp_path, fleet) == (1, [])
    assert len(fleet.replies) == 1


@pytest.mark.parametrize("kind", ["system", "evaluate", "train.more"])
def test_an_unknown_message_is_refused_before_it_is_fetched(tmp_path, kind):
    fleet = Fleet(look=[letter(kind)])
    assert play(tmp_path, fleet) == (0, ["unknown-message"])
    assert "open" not in fleet.calls
    ((reply, purpose),) = fleet.replies
    assert reply.error.code == REFUSED
    assert purpose == Purpose.ERROR


@pytest.mark.parametrize("name", ["bundle-offered", "agent-app"])
def test_a_run_with_code_is_refused_before_anything_is_fetched(tmp_path, name):
    fleet = Fleet(look=[letter()], check_run=[Refusal(name, "no")])
    assert play(tmp_path, fleet) == (0, [name])
    assert "open" not in fleet.calls


def test_a_message_without_a_name_ends_nothing(tmp_path):
    fleet = Fleet(look=[Refusal("unknown-message", "odd"), letter()])
    assert play(tmp_path, fleet) == (1, ["unknown-message"])


def test_what_a_device_learns_stays_in_its_context(tmp_path):
    marks = []

    def answer(pairs):
        ((message, context),) = pairs
        marks.append("seen" in context.state)
        context.state = RecordDict({"seen": ConfigRecord({"a": 1})})
        return [Message(RecordDict(), reply_to=message)]

    play(tmp_path, Fleet(look=[letter(), letter()]), answer)
    assert marks == [False, True]


def test_a_refusal_on_each_poll_takes_two_lines(tmp_path):
    fleet = Fleet(look=[Refusal("redirection", "elsewhere") for _ in range(20)])
    count, names = play(tmp_path, fleet)
    assert (count, names) == (0, ["redirection"] * 2)
    found = [e for e in read_ledger(Vault(tmp_path)) if e.name == "redirection"]
    assert sum(entry.refusals for entry in found) == 20


def test_a_reply_that_is_refused_stands_in_the_ledger(tmp_path):
    fleet = Fleet(look=[letter()], reply=[Refusal("odd-objects", "not ours")])
    assert play(tmp_path, fleet) == (0, ["odd-objects"])


def test_a_refusal_when_it_arrives_again_ends_nothing(tmp_path):
    odd = Refusal("odd-answer", "none")
    fleet = Fleet(arrive=[1, odd], look=[UnknownHereError("who?"), letter()])
    assert play(tmp_path, fleet) == (1, ["odd-answer"])


class Beating(Fleet):
    """Its heart plays a script too, and the loop ends with it."""

    def beat(self):
        if not self.script.get("beat"):
            self.loop.stop.set()
        return self._play("beat", default=True)

    def look(self):
        self.calls.append("look")
        self.loop.stop.wait(60)


SOUND = (GoneError("404"), AwayError("503"), Refusal("redirection", "x"), False)


def test_a_heart_outlives_whatever_a_coordinator_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(participation, "BEAT_S", 0.0)
    fleet = Beating(beat=[*SOUND, *SOUND])
    assert play(tmp_path, fleet) == (0, ["redirection"] * 2)
    assert fleet.calls.count("beat") == 2 * len(SOUND) + 1
    assert fleet.calls[-1] == "leave"


def test_what_a_heart_cannot_live_with_ends_the_loop_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(participation, "BEAT_S", 0.0)
    fleet = Beating(beat=[True, ConfigError("the ledger cannot be written"), True])
    with pytest.raises(ConfigError, match="cannot be written"):
        play(tmp_path, fleet)
    assert fleet.calls.count("beat") == 2
    assert fleet.calls[-1] == "leave"


def test_who_is_asked_to_end_before_it_begins_does_not_begin(tmp_path):
    fleet = Fleet(look=[letter()])
    vault = Vault(tmp_path)
    with Ledger(vault) as ledger, Door(ledger, "here") as door:
        fleet.loop = Participation(fleet, door, lambda _: [], SEAT)
        fleet.loop.stop.set()
        assert fleet.loop.run() == 0
    assert fleet.calls == ["leave"]


def test_what_a_coordinator_says_cannot_steer_the_terminal(tmp_path, caplog):
    away = AwayError("the coordinator answered 503: \x1b[2J")
    play(tmp_path, Fleet(look=[away, letter()]))
    assert "\x1b" not in caplog.text
    assert "answered 503: \\x1b[2J; trying again" in caplog.text


def test_a_sentence_of_others_is_gone_on_with_as_ours(tmp_path, caplog):
    play(tmp_path, Fleet(look=[AwayError("sent no response."), letter()]))
    assert "sent no response; trying again" in caplog.text
