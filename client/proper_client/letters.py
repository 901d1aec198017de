"""What a device reads in a message of the coordinator, and how its replies look.

Covered: messages that are not exactly a letter of ours get an error that names the
fault, before anything is done for them.
Not covered: whether the device should do what the letter asks (see `flower`).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, RecordDict

from proper_shared.errors import ProtocolError
from proper_shared.offers import Offer

OPENING = frozenset({"offer", "order", "parameters"})
ALWAYS = frozenset({"round", "request"})


@dataclass(frozen=True)
class Opening:
    """What the first letter of a round brings.

    Attributes:
        offer: the round as it is offered.
        header: of the order, as plain values.
        parameters: of the order, the bytes of a `.npy` file.
    """

    offer: bytes
    header: Mapping[str, object]
    parameters: bytes

    @property
    def order_key(self) -> tuple[str, bytes]:
        """What tells the order from others; the offer beside it may differ."""
        return repr(sorted(self.header.items())), self.parameters


@dataclass(frozen=True)
class Letter:
    """One letter of a round.

    Attributes:
        session: serial and attempt of the round.
        request: what is asked.
        opening: None in all letters but the first.
    """

    session: tuple[int, int]
    request: bytes
    opening: Opening | None


def read_letter(message: Message) -> Letter:
    """Return the letter in a message.

    Raises:
        ProtocolError: the message holds anything else.
    """
    kind = message.metadata.message_type
    if kind != "train" or not message.has_content():
        raise ProtocolError(f"got a {kind[:40]!r} message, expected an order to train")
    content = message.content
    configs, arrays = content.config_records, content.array_records
    if content.keys() not in (ALWAYS, ALWAYS | OPENING) or content.metric_records:
        names = ", ".join(sorted(map(repr, content)))[:200]
        raise ProtocolError(f"got a message with {names}, expected a letter of a round")
    if configs.keys() - {"round", "offer", "order"}:
        raise ProtocolError("got a letter whose records are of the wrong kind")
    numbers = configs.get("round", ConfigRecord())
    session = numbers.get("serial"), numbers.get("attempt")
    if numbers.keys() != {"serial", "attempt"} or not all(
        type(number) is int for number in session
    ):
        raise ProtocolError("got a letter without the numbers of its round")
    request = _only(arrays.get("request"), "bytes").data
    opening = _opening(configs, arrays) if "offer" in content else None
    return Letter((int(str(session[0])), int(str(session[1]))), request, opening)


def read_log(message: Message) -> bytes:
    """Return the membership log that a question brings; empty if it brings none.

    Raises:
        ProtocolError: the message holds anything else.
    """
    content = message.content
    if not content.keys():
        return b""
    record = content.array_records.get("log")
    if content.keys() != {"log"} or record is None:
        raise ProtocolError("got a question with other records, expected a log")
    return _only(record, "bytes").data


def _opening(
    configs: Mapping[str, ConfigRecord], arrays: Mapping[str, ArrayRecord]
) -> Opening:
    if not {"offer", "order"} <= configs.keys():
        raise ProtocolError("got a letter whose records are of the wrong kind")
    offer = configs["offer"].get("json")
    if configs["offer"].keys() != {"json"} or not isinstance(offer, bytes):
        raise ProtocolError("got an offer that is not bytes")
    parameters = _only(arrays.get("parameters"), "vector").data
    return Opening(offer, {**configs["order"]}, parameters)


def _only(record: ArrayRecord | None, name: str) -> Array:
    if record is None or record.keys() != {name}:
        raise ProtocolError("got a letter whose records are of the wrong kind")
    return record[name]


def reply_of(answer: bytes) -> RecordDict:
    """Return the reply that carries an answer; all that leaves in a round."""
    array = Array("uint8", (len(answer),), "proper.bytes", answer)
    return RecordDict({"answer": ArrayRecord({"bytes": array})})


def introduction(seat: int, identity: str) -> RecordDict:
    """Say who sits here: Flower's own numbers change with each start."""
    return RecordDict({"member": ConfigRecord({"seat": seat, "identity": identity})})


def check_session(letter: Letter, offer: Offer) -> None:
    """Refuse an offer that belongs to another session than its letter.

    Raises:
        ProtocolError: they differ.
    """
    if letter.session != (offer.serial, offer.attempt):
        raise ProtocolError("got an offer of another round than its letter")
