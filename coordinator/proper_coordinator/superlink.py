"""The coordinator at its own SuperLink: admit devices, and lead a run.

A run in Flower is led by a process to which a SuperExec gives the run's token, and
which unpacks and imports the run's bundle. Here the process that leads fetches the
token itself, with a secret that only it and the SuperLink have, and imports nothing:
the bundle is empty (see `bundle`). Besides `inbox` this is the one module of the
coordinator that uses names which Flower keeps to itself (1.41.0); a test holds them
against a real SuperLink.

Covered: a SuperLink that is away for a while or starts anew; a leader that was killed
before (its run is stopped); runs that somebody else started on this machine.
Not covered: two leaders at the same time (see `Deployment.alone`).
"""

import contextlib
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import httpx
from flwr.common.constant import SubStatus
from flwr.common.serde import run_from_proto
from flwr.proto.control_pb2 import (
    ListNodesRequest,
    ListRunsRequest,
    RegisterNodeRequest,
    StartRunRequest,
    StopRunRequest,
    UnregisterNodeRequest,
)
from flwr.proto.fab_pb2 import Fab
from flwr.proto.runtime_pb2 import (
    AcquireTaskRequest,
    PullTaskInputRequest,
    PushTaskOutputRequest,
    SendTaskHeartbeatRequest,
)
from flwr.serverapp import Grid
from flwr.supercore.control.control_http_client import ControlHttpClient
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.retry import RetryInvoker
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supercore.task_identity import TaskIdentity

from proper_coordinator.inbox import Inbox
from proper_shared.bundle import EMPTY_BUNDLE
from proper_shared.errors import ProperError, ProtocolError

APP = "flwr-serverapp"
ACQUIRE = "/flwr.proto.Runtime/AcquireTask"
UNREGISTERED = "unregistered"
IN_USE = 412  # the key is registered already
BEAT_S = 15.0  # a task is given up after 60
PATIENCE_S = 120.0  # for a SuperLink that starts anew
PAUSE_S = 0.5

T = TypeVar("T")
_log = logging.getLogger(__name__)
_NOT_UP = "start it: proper-coordinator up"


class AwayError(ProperError):
    """The SuperLink does not answer."""


class LostRunError(ProtocolError):
    """The SuperLink took the run away; another one can go on from the checkpoint."""


class _Patient(RetryInvoker):
    """Calls again while the SuperLink is away, and never ends the process."""

    def __init__(self, patience_s: float, say: Callable[[str], None]) -> None:
        self._patience_s, self._say = patience_s, say

    def invoke(self, target: Callable[..., T], *given: object, **named: object) -> T:
        """Call until there is an answer that is not `try later`."""
        end, said = time.monotonic() + self._patience_s, False
        while True:
            try:
                return target(*given, **named)
            except (httpx.TransportError, httpx.HTTPStatusError) as error:
                if time.monotonic() > end or not _passes(error):
                    raise
            if not said:
                seconds = f"{self._patience_s:.0f} s"
                self._say(f"no SuperLink answers, waiting {seconds}; is `up` running?")
            said = True
            time.sleep(PAUSE_S)


def _passes(error: httpx.HTTPError) -> bool:
    """Tell whether an error may be gone in a moment."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code in {429, 502, 503, 504}
    return True


@dataclass(frozen=True)
class SuperLink:
    """A SuperLink on this machine.

    Attributes:
        address: host and port.
        ca_certificate: PEM.
        secret: for the right to lead.
        max_reply_nbytes: of one node's reply.
        say: told once that there is no answer, while it is waited for.
    """

    address: str
    ca_certificate: bytes
    secret: bytes
    max_reply_nbytes: int = 64 * 2**20
    say: Callable[[str], None] = _log.info

    def admit(self, node_keys: Sequence[str], patience_s: float = 0.0) -> int:
        """Register public keys of devices; return how many were new.

        Args:
            node_keys: PEM.
            patience_s: how long to wait for a SuperLink that starts.

        Raises:
            AwayError: the SuperLink does not answer.
        """
        new = 0
        with self._control(patience_s) as control, _explained():
            for key in node_keys:
                try:
                    control.RegisterNode(RegisterNodeRequest(public_key=key.encode()))
                    new += 1
                except httpx.HTTPStatusError as error:
                    if error.response.status_code != IN_USE:
                        raise
        return new

    def expel(self, node_keys: Collection[str]) -> None:
        """Take the registrations of devices back; those that have none stay so.

        Args:
            node_keys: PEM.

        Raises:
            AwayError: the SuperLink does not answer.
        """
        leaving = {key.encode() for key in node_keys}
        with self._control(0.0) as control, _explained():
            for node in control.ListNodes(ListNodesRequest()).nodes_info:
                if node.public_key in leaving and node.status != UNREGISTERED:
                    control.UnregisterNode(UnregisterNodeRequest(node_id=node.node_id))

    @contextlib.contextmanager
    def lead(self) -> Iterator[Grid]:
        """Lead a run of one's own; it ends with the block.

        Raises:
            AwayError: the SuperLink does not answer.
            LostRunError: the run was taken away, inside the block too.
        """
        with _explained(), self._control(PATIENCE_S) as control:
            self._stop_others(control)
            bundle = hashlib.sha256(EMPTY_BUNDLE).hexdigest()
            fab = Fab(hash_str=bundle, content=EMPTY_BUNDLE)
            run_id = control.StartRun(StartRunRequest(fab=fab)).run_id
            grid = Inbox(
                self.address,
                self.ca_certificate,
                self._token_of(run_id),
                self.max_reply_nbytes,
            )
            grid._client = client = self._runtime(grid._token)  # noqa: SLF001
            stop = threading.Event()
            heart = threading.Thread(target=_beat, args=(client, stop), daemon=True)
            status = SubStatus.FAILED
            try:
                begun = client.PullTaskInput(PullTaskInputRequest())
                TaskIdentity.task_id = begun.task_id
                TaskIdentity.run_id = begun.run.run_id
                TaskIdentity.node_id = begun.context.node_id
                grid.set_run(run_from_proto(begun.run))
                heart.start()
                yield grid
                status = SubStatus.COMPLETED
            finally:
                stop.set()
                with contextlib.suppress(httpx.HTTPError):
                    self._part(grid._token, status)  # noqa: SLF001
                grid.close()

    def _part(self, token: str, status: str) -> None:
        """Say that the run ended; not for long, the next leader stops it anyway."""
        with self._runtime(token, patience_s=0.0) as client:
            client.PushTaskOutput(PushTaskOutputRequest(sub_status=status))

    def _stop_others(self, control: ControlHttpClient) -> None:
        """Stop runs that were not finished: their leader is gone, or never was one."""
        for run_id, run in control.ListRuns(ListRunsRequest()).run_dict.items():
            if run.status.status != "finished":
                control.StopRun(StopRunRequest(run_id=run_id))

    def _token_of(self, run_id: int) -> str:
        """Fetch the right to lead a run.

        Raises:
            LostRunError: nobody offers it.
        """
        asked = AcquireTaskRequest(supported_task_types=[APP])
        with self._runtime(None) as client:
            for _ in range(100):  # runs of strangers may stand before ours
                found = client.AcquireTask(asked)
                if found.token and found.task.run_id == run_id:
                    return str(found.token)
        raise LostRunError("the run was given to another process")

    def _control(self, patience_s: float) -> ControlHttpClient:
        return ControlHttpClient.from_server_address(
            self.address,
            insecure=False,
            root_certificates=self.ca_certificate,
            interceptors=[RuntimeVersionHttpInterceptor(component_name="flwr-cli")],
            retry_invoker=_Patient(patience_s, self.say),
        )

    def _runtime(
        self, token: str | None, patience_s: float = PATIENCE_S
    ) -> RuntimeHttpClient:
        """Return a client that may lead, or with None one that may ask for it."""
        signer = (
            RuntimeTokenHttpInterceptor(token=token)
            if token
            else SuperExecAuthHttpInterceptor(
                master_secret=self.secret, protected_methods=frozenset({ACQUIRE})
            )
        )
        return RuntimeHttpClient.from_server_address(
            self.address,
            insecure=False,
            root_certificates=self.ca_certificate,
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name="flwr-serverapp"),
                signer,
            ],
            retry_invoker=_Patient(patience_s, self.say),
        )


def _beat(client: RuntimeHttpClient, stop: threading.Event) -> None:
    """Say that the run is led, until `stop`; other calls tell when it is not."""
    while not stop.wait(BEAT_S):
        with contextlib.suppress(httpx.HTTPError):
            client.SendTaskHeartbeat(SendTaskHeartbeatRequest())


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Say what an error of the wire means for an operator."""
    try:
        yield
    except httpx.TransportError as error:
        raise AwayError(f"no SuperLink answers: {error}"[:300], hint=_NOT_UP) from error
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        words = f"the SuperLink answered {status}: {error.response.text}"[:300]
        raise LostRunError(words, hint="go on: proper-coordinator resume") from error
