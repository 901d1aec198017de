"""Turn a conversation into entries: what stood before, and what the person wrote.

A private assistant writes as its owner does, so the *output* of an entry is a message
of the person's own, and its *text* is what they answered: the message before it. In a
chat with an assistant the person is `user`; the assistant's words are never learnt as
an output, and the instructions of the system are nobody's writing. Messages that follow
each other from one side are one turn. An opening has nothing before it: there the title
stands in as the text, if the conversation has one, and else it is dropped.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from proper_client.importers.formats import Dropped, Found, Item, Role

SIDES = ("user", "assistant")


@dataclass(frozen=True, slots=True)
class Message:
    """What one side says.

    Attributes:
        role: "user" or "assistant".
        text: Of the message.
        date: As the source has it.
    """

    role: str
    text: str
    date: object = None


def entries_of(
    messages: Iterable[Message], person: Role, title: str = ""
) -> Iterator[Item]:
    """Yield an entry for each turn of the person.

    Args:
        messages: In their order.
        person: The role of the person.
        title: What the conversation is about.
    """
    before = title
    for turn in _turns(messages):
        if turn.role != person:
            before = turn.text
        elif before.strip():
            yield Found(before, turn.text, turn.date)
        else:
            yield Dropped("openings with nothing before them")


def _turns(messages: Iterable[Message]) -> Iterator[Message]:
    """Join messages of one side that follow each other."""
    turn: Message | None = None
    for message in messages:
        if turn is not None and turn.role == message.role:
            turn = Message(turn.role, f"{turn.text}\n{message.text}", turn.date)
            continue
        if turn is not None:
            yield turn
        turn = message
    if turn is not None:
        yield turn
