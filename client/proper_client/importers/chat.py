"""Chats as `messages`, the shape of OpenAI's interface and of files to train from.

One conversation on a line (`{"messages": [{"role", "content"}, ...]}`), a list of
them, or one list of messages. `content` is a text or a list of parts, of which the
texts are read. The person is `user` unless the options say `assistant`, as in files
that were made from somebody's letters. A date may stand with the message or with the
conversation.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from proper_client.importers.formats import (
    Dropped,
    Format,
    Item,
    Options,
    free_text,
)
from proper_client.importers.look import Look
from proper_client.importers.places import Place
from proper_client.importers.turns import SIDES, Message, entries_of
from proper_client.importers.values import values

_DATES = ("date", "timestamp", "created_at", "create_time", "created", "time")


def _recognises(look: Look) -> bool:
    return "messages" in look.keys or {"role", "content"} <= look.keys


def _read(place: Place, options: Options) -> Iterator[Item]:
    name = place.names[0]
    with place.text(name) as stream:
        loose: list[Any] = []  # messages of a file that is one conversation
        for value in values(stream, name):
            if isinstance(value, dict) and isinstance(value.get("messages"), list):
                yield from _conversation(value["messages"], value, options)
            elif isinstance(value, dict) and "role" in value:
                loose.append(value)
            else:
                yield Dropped("values that are no conversation")
        yield from _conversation(loose, {}, options)


def _conversation(
    raw: list[Any], about: Mapping[str, Any], options: Options
) -> Iterator[Item]:
    title = about.get("title")
    messages = []
    for message in raw:
        read = _message(message, about)
        if read is None:
            yield Dropped("messages that are no text of user or assistant")
        else:
            messages.append(read)
    named = title if isinstance(title, str) else ""
    yield from entries_of(messages, options.role, named)


def _message(raw: Any, about: Mapping[str, Any]) -> Message | None:  # noqa: ANN401
    if not isinstance(raw, dict) or raw.get("role") not in SIDES:
        return None
    text = _text(raw.get("content"))
    date = _date(raw)
    return Message(raw["role"], text, _date(about) if date is None else date)


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


def _date(raw: Mapping[str, Any]) -> object:
    return next((raw[key] for key in _DATES if raw.get(key)), None)


FORMAT = Format(
    "chat",
    "chats as JSON Lines or JSON with `messages`",
    _recognises,
    free_text,
    _read,
)
