"""A device at a SuperLink: it speaks the Fleet API itself, and runs installed code.

No SuperNode runs here, so nobody else's code can: the call that would fetch a bundle is
not among those that `gate` lets out, and no process is started. This is the one module
of the client that uses names which Flower keeps to itself (1.41.0); a test holds them
against a real SuperLink.

Covered: a run with a bundle or for an agent app, unknown, too many or too large
objects, a content that is not what its name says: each is refused by name. A SuperLink
that is away, slow, or does not know this device.
Not covered: what an order asks for (see `policy`), and what connecting tells about a
device: its address, and when it is there.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import httpx
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import Message
from flwr.app.message import remove_content_from_message
from flwr.common.serde import message_from_proto, message_to_proto
from flwr.proto.fleet_pb2 import (
    ActivateNodeRequest,
    DeactivateNodeRequest,
    PullMessagesRequest,
    PushMessagesRequest,
)
from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
from flwr.proto.message_pb2 import (
    ConfirmMessageReceivedRequest,
    ObjectTree,
    PullObjectRequest,
    PushObjectRequest,
)
from flwr.proto.node_pb2 import Node
from flwr.proto.run_pb2 import GetRunRequest
from flwr.supercore.inflatable.inflatable_object import (
    get_all_nested_objects,
    get_object_id,
    get_object_tree,
    no_object_id_recompute,
)
from flwr.supercore.interceptors.http.utils import add_headers
from flwr.supercore.protobuf.client import ProtobufCall, ProtobufRequestContext
from flwr.supercore.runtime_version_compatibility import RuntimeVersionMetadata
from flwr.supernode.fleet_http_client import FleetHttpClient
from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

from proper_client.gate import Gate
from proper_client.inflating import inflate, kind_of
from proper_client.ledger import Door
from proper_client.ledger_entry import NOWHERE, Place, Purpose
from proper_shared.bundle import EMPTY_BUNDLE_SHA256
from proper_shared.errors import ProtocolError
from proper_shared.invitations import public_pem
from proper_shared.secagg.checks import Refusal

HEARTBEAT_S = 10.0  # the shortest that a SuperLink takes; two missed, and we are away
MIB = 2**20
MAX_OBJECTS = 4096  # of one message
APP = "flwr-serverapp"  # the kind of task that leads us
NOT_ADMITTED = (
    "send the coordinator your enrolment.json, and see whether the clock here is "
    "right; or your seat was taken back: ask the coordinator"
)


@dataclass(frozen=True)
class Seat:
    """Where to connect, and as whom.

    Attributes:
        address: host and port of the coordinator.
        ca_certificate: PEM, the only authority that is trusted.
        node_key: of this device, as the coordinator admitted it.
        max_object_nbytes: most that is fetched of one message, and that its arrays
            may have.
    """

    address: str
    ca_certificate: str
    node_key: ec.EllipticCurvePrivateKey
    max_object_nbytes: int = 64 * MIB


@dataclass(frozen=True)
class Letter:
    """A message of which only the envelope was read.

    Attributes:
        header: a message without content.
        tree: which objects its content is made of.
    """

    header: Message
    tree: ObjectTree

    @property
    def kind(self) -> str:
        """What the message asks for."""
        return str(self.header.metadata.message_type)

    @property
    def run_id(self) -> int:
        """Flower's number of the run."""
        return int(self.header.metadata.run_id)


class AwayError(ProtocolError):
    """The coordinator cannot be reached for now; nothing is lost by waiting."""


class NotYetError(AwayError):
    """A message is announced, and its content is still on its way to the SuperLink."""


class UnknownHereError(ProtocolError):
    """The coordinator does not know this device, or no longer."""


class GoneError(ProtocolError):
    """The run that a message belongs to has ended; there is nobody to answer."""


class _Version:
    """Says which Flower this is, as a SuperLink wants to know.

    Flower's own does that too, and ends the program where an answer asks it to.
    """

    def __init__(self) -> None:
        found = RuntimeVersionMetadata.from_local_component("SuperNode")
        self._headers = dict(found.as_metadata())

    def intercept(
        self, context: ProtobufRequestContext, call_next: ProtobufCall
    ) -> httpx.Response:
        """Pass a request on, with the version in its headers."""
        add_headers(context.request, self._headers)
        return call_next(context)


class _LastStop:
    """Hands each request to the gate instead of to Flower's own connection."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def intercept(
        self,
        context: ProtobufRequestContext,
        call_next: ProtobufCall,  # noqa: ARG002  would go past the gate
    ) -> httpx.Response:
        """Send a request, if it is one that may leave."""
        call = context.rpc_method.rpartition("/")[2]
        return self._gate.send(call, context.request)


class Fleet:
    """The calls that a device makes, one at a time but for the heartbeat.

    Args:
        seat: where, and as whom.
        door: what leaves, leaves there.
        node_id: Flower's number of this device, if it was here before.
    """

    def __init__(self, seat: Seat, door: Door, node_id: int = 0) -> None:
        self._seat, self._door = seat, door
        self._gate = Gate(seat.ca_certificate, door)
        self._node = Node(node_id=node_id)
        self._known_runs: set[int] = set()
        self._fetched: dict[str, bytes] = {}  # of a message that is not whole yet
        self._calls = FleetHttpClient(
            f"https://{seat.address}",
            interceptors=[
                _Version(),
                NodeAuthHttpInterceptor(seat.node_key, seat.node_key.public_key()),
                _LastStop(self._gate),
            ],
        )

    def arrive(self) -> int:
        """Say that this device is there; return Flower's number of it.

        Raises:
            UnknownHereError: the coordinator did not admit this device.
            AwayError: it cannot be reached.
        """
        if self._node.node_id and self.beat():
            return int(self._node.node_id)
        key = public_pem(self._seat.node_key.public_key())
        request = ActivateNodeRequest(public_key=key, heartbeat_interval=HEARTBEAT_S)
        with _explained(AwayError):
            self._node = Node(node_id=self._calls.ActivateNode(request).node_id)
        return int(self._node.node_id)

    def beat(self) -> bool:
        """Say that this device is still there; False if it is not known.

        Raises:
            AwayError: the coordinator cannot be reached.
        """
        request = SendNodeHeartbeatRequest(
            node=self._node, heartbeat_interval=HEARTBEAT_S
        )
        try:
            with _explained(AwayError):
                return bool(self._calls.SendNodeHeartbeat(request).success)
        except UnknownHereError:
            return False

    def leave(self) -> None:
        """Say goodbye, if we are there, and close the connections."""
        try:
            if self._node.node_id:
                with contextlib.suppress(ProtocolError), _explained():
                    request = DeactivateNodeRequest(node_id=self._node.node_id)
                    self._calls.DeactivateNode(request)
        finally:
            self._calls.close()
            self._gate.close()

    def look(self) -> Letter | None:
        """Return the next message without its content, if there is one.

        Raises:
            Refusal: its header is none; it will not come again.
            UnknownHereError, AwayError: as they say.
        """
        with _explained(AwayError):
            found = self._calls.PullMessages(PullMessagesRequest(node=self._node))
        if not found.messages_list or not found.message_object_trees:
            return None
        try:
            header = message_from_proto(found.messages_list[0])
        except Exception:  # noqa: BLE001  Flower's own checks, or what slips them
            kind = found.messages_list[0].metadata.message_type[:40]
            raise Refusal("unknown-message", f"got an odd {kind!r} message") from None
        return Letter(header, found.message_object_trees[0])

    def check_run(self, run_id: int) -> None:
        """Refuse a run that would bring code along.

        Raises:
            Refusal: the run has a bundle that is not the empty one, or an agent app.
            GoneError, AwayError: as they say.
        """
        if run_id in self._known_runs:
            return
        with _explained():
            request = GetRunRequest(node=self._node, run_id=run_id)
            run = self._calls.GetRun(request).run
        if run.primary_task_type != APP:
            raise Refusal("agent-app", f"got a run of {run.primary_task_type[:40]!r}")
        if run.fab_hash != EMPTY_BUNDLE_SHA256:
            raise Refusal(
                "bundle-offered",
                f"got a run with the bundle {run.fab_hash[:12]!r}, expected the empty "
                f"one, {EMPTY_BUNDLE_SHA256[:12]!r}",
            )
        self._known_runs.add(run_id)

    def open(self, letter: Letter) -> Message:
        """Fetch the content of a message.

        Raises:
            Refusal: it has too many, too large or unknown objects.
            GoneError, NotYetError, AwayError: as they say; it can be called again.
        """
        names = list(dict.fromkeys(islice(_names(letter.tree), MAX_OBJECTS + 1)))
        if len(names) > MAX_OBJECTS:
            raise Refusal("too-many-objects", f"got more than {MAX_OBJECTS} objects")
        have = {name: self._fetched[name] for name in names if name in self._fetched}
        self._fetched = have
        self._gate.left = self._seat.max_object_nbytes - sum(map(len, have.values()))
        for name in names:
            if name not in have:
                have[name] = self._fetch(letter.run_id, name)
        self._fetched = {}
        message = inflate(letter.tree.object_id, have, self._seat.max_object_nbytes)
        message.metadata.__dict__["_message_id"] = letter.tree.object_id
        return message

    def confirm(self, letter: Letter) -> None:
        """Say that a message was received, so that it can be deleted there.

        Raises:
            GoneError, AwayError: as they say.
        """
        with _explained():
            self._calls.ConfirmMessageReceived(
                ConfirmMessageReceivedRequest(
                    node=self._node,
                    run_id=letter.run_id,
                    message_object_id=letter.tree.object_id,
                )
            )

    def reply(self, message: Message, purpose: Purpose, place: Place = NOWHERE) -> None:
        """Send a reply; it can be called again with the same one.

        Raises:
            GoneError, AwayError: as they say.
        """
        message.metadata.__dict__["_message_id"] = message.object_id
        run_id = message.metadata.run_id
        self._gate.contents = (purpose, place)
        with no_object_id_recompute(), _explained():
            objects = get_all_nested_objects(message)
            bare = remove_content_from_message(message)
            wanted = self._calls.PushMessages(
                PushMessagesRequest(
                    node=self._node,
                    messages_list=[message_to_proto(bare)],
                    message_object_trees=[get_object_tree(message)],
                    clientapp_runtime_list=[0.0],  # how long it took is our affair
                )
            )
            for name in wanted.objects_to_push:
                if name not in objects:
                    raise Refusal("odd-objects", "asked for an object that is not ours")
                self._calls.PushObject(
                    PushObjectRequest(
                        node=self._node,
                        run_id=run_id,
                        object_id=name,
                        object_content=objects[name].deflate(),
                        session_id=wanted.session_id,
                    )
                )

    def _fetch(self, run_id: int, name: str) -> bytes:
        """Fetch one object, unless it is another one, or of a kind we do not know."""
        request = PullObjectRequest(node=self._node, run_id=run_id, object_id=name)
        with _explained():
            found = self._calls.PullObject(request)
        if not found.object_found:
            raise GoneError(f"the object {name[:12]} is not there")
        if not found.object_available:
            raise NotYetError(f"the object {name[:12]} is not there yet")
        content = found.object_content
        if get_object_id(content) != name:
            raise Refusal("odd-objects", f"got another object than {name[:12]}")
        self._gate.left -= len(content)
        kind_of(content)  # before any more is fetched
        return bytes(content)


def _names(tree: ObjectTree) -> Iterator[str]:
    """Yield the names of all objects in a tree."""
    yield str(tree.object_id)
    for child in tree.children:
        yield from _names(child)


@contextlib.contextmanager
def _explained(gone: type[ProtocolError] = GoneError) -> Iterator[None]:
    """Say what an error of the wire means for this device.

    Args:
        gone: what it means that something is not there; of a call that belongs to no
            run it is the coordinator that is not itself.
    """
    try:
        yield
    except httpx.TransportError as error:
        raise AwayError(f"cannot reach the coordinator: {error}"[:300]) from error
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        words = f"the coordinator answered {status}: {error.response.text}"[:300]
        if status in {401, 412}:
            raise UnknownHereError(words, hint=NOT_ADMITTED) from error
        if status >= 500 or status == 429:
            raise AwayError(words) from error
        raise gone(words) from error
    except ValueError as error:  # Flower's word for an answer that is no answer
        raise Refusal(
            "odd-answer", f"got an answer that is none: {error}"[:200]
        ) from error
