"""A ChatGPT export: the zip as it is sent, the unpacked folder, or conversations.json.

`conversations.json` (of large accounts `conversations-000.json` and so on) is a list of
conversations. Each is a tree: `mapping` has the nodes with `parent` and `message`, and
an edited question or a repeated answer is a branch. What the person saw last is the
path from `current_node` up to the root, and only that is read. The person is `user`;
who that is to be and what becomes an entry stands in `turns`.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
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

_FILE = re.compile(r"conversations(-\d+)?\.json")
_UNTITLED = {"new chat"}
_SPOKEN = {"text", "multimodal_text"}
_BEHIND_THE_SCENES = {"analysis", "commentary"}


def _recognises(look: Look) -> bool:
    if not look.is_file:
        return any(_is_conversations(name) for name in look.names)
    return "mapping" in look.keys


def _read(place: Place, _options: Options) -> Iterator[Item]:
    for name in (
        place.names if place.is_file else filter(_is_conversations, place.names)
    ):
        with place.text(name) as stream:
            for conversation in values(stream, name):
                yield from _conversation(conversation)


def _conversation(raw: Any) -> Iterator[Item]:  # noqa: ANN401
    if not isinstance(raw, dict) or not isinstance(raw.get("mapping"), dict):
        yield Dropped("conversations without messages")
        return
    path = _path(raw["mapping"], raw.get("current_node"))
    if not path:
        yield Dropped("conversations without a current message")
        return
    title = raw.get("title")
    known = isinstance(title, str) and title.strip().lower() not in _UNTITLED
    messages = _messages(path, raw.get("create_time"))
    yield from entries_of(messages, "user", str(title) if known else "")


def _path(mapping: Mapping[str, Any], node: object) -> list[Mapping[str, Any]]:
    """Return the messages from the root to `node`; a circle ends where it closes."""
    path: list[Mapping[str, Any]] = []
    passed: set[str] = set()
    while isinstance(node, str) and node in mapping and node not in passed:
        passed.add(node)
        here = mapping[node] if isinstance(mapping[node], dict) else {}
        if isinstance(here.get("message"), dict):
            path.append(here["message"])
        node = here.get("parent")
    return path[::-1]


def _messages(path: list[Mapping[str, Any]], began: object) -> Iterator[Message]:
    """Yield what was shown to the person or written by them."""
    date = began
    for raw in path:
        author, content = raw.get("author"), raw.get("content")
        role = author.get("role") if isinstance(author, dict) else None
        date = raw.get("create_time") or date
        if role in SIDES and isinstance(content, dict) and _is_shown(raw, content):
            text = _text(content.get("parts"))
            if text.strip():
                yield Message(str(role), text, date)


def _is_shown(raw: Mapping[str, Any], content: Mapping[str, Any]) -> bool:
    notes = raw.get("metadata")
    hidden = isinstance(notes, dict) and notes.get(
        "is_visually_hidden_from_conversation"
    )
    return (
        content.get("content_type") in _SPOKEN
        and raw.get("recipient", "all") in ("all", None)
        and raw.get("channel") not in _BEHIND_THE_SCENES
        and not hidden
    )


def _text(parts: object) -> str:
    """Join the words among the parts: typed, or spoken and written down."""
    found = []
    for part in parts if isinstance(parts, list) else []:
        said = part.get("text") if isinstance(part, dict) else part
        if isinstance(said, str):
            found.append(said)
    return "\n".join(found)


def _is_conversations(name: str) -> bool:
    return bool(_FILE.fullmatch(PurePosixPath(name).name))


FORMAT = Format(
    "chatgpt",
    "a ChatGPT export: zip, folder or conversations.json",
    _recognises,
    free_text,
    _read,
)
