"""The two engines under `federation.run_federation`."""

import functools
import itertools
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from flwr.supercore.task_identity import TaskIdentity

from proper_client.flower import PARTITION, Pair, Participant, client_app
from proper_client.site import Site
from proper_coordinator.checks import Gauge
from proper_coordinator.flower import Coordinator, Progress, StoppedError, server_app
from proper_coordinator.store import Store
from proper_shared.errors import ConfigError
from proper_shared.rounds import FederatedPart
from proper_simulations.crowd import suite_for
from proper_simulations.federation import ENVIRONMENT, Job, Outcome
from proper_simulations.members import FolderKeeper

if TYPE_CHECKING:
    from ray import ObjectRef

MEMBERS = "members"  # folder of the devices' states, beside the checkpoints
LAST_WORDS_S = 60.0  # for a round's checkpoint to be written after Ctrl-C

Watch = Callable[[Progress], None]
NodeContext = Context  # Flower's, for modules that do not import Flower
NodeGrid = Grid
NodeMessage = Message


class MemoryGrid(Grid):
    """Nodes in this process, answered all at once when somebody looks for replies.

    Args:
        answer: Answers the messages of a cohort together.
        nodes: How many there are; node ids count from 1, seats from 0.
    """

    def __init__(
        self, answer: Callable[[Sequence[Pair]], list[Message]], nodes: int
    ) -> None:
        self._answer = answer
        self._run = Run.create_empty(run_id=1)
        self._contexts = {
            seat + 1: Context(
                run_id=1,
                node_id=seat + 1,
                node_config={PARTITION: seat, "num-partitions": nodes},
                state=RecordDict(),
                run_config={},
            )
            for seat in range(nodes)
        }
        self._numbers = itertools.count(1)
        self._sent: list[Message] = []
        self._replies: dict[str, Message] = {}
        # Flower's messages read their sender from here; its runtimes set it too.
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1

    def set_run(self, run: Run) -> None:
        """Set the run."""
        self._run = run

    @property
    def run(self) -> Run:
        """The run."""
        return self._run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Return a new message; `Message` itself does the same."""
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        """Return the numbers of all nodes."""
        return list(self._contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Take messages; nobody works on them yet."""
        numbers = []
        for message in messages:
            if message.metadata.dst_node_id not in self._contexts:
                continue
            number = str(next(self._numbers))
            message.metadata.__dict__["_message_id"] = number  # as Flower's grids do
            self._sent.append(message)
            numbers.append(number)
        return numbers

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Let all nodes work on what was pushed, and return the replies asked for."""
        sent, self._sent = self._sent, []
        pairs = [(m, self._contexts[m.metadata.dst_node_id]) for m in sent]
        for reply in self._answer(pairs) if pairs else []:
            self._replies[reply.metadata.reply_to_message_id] = reply
        wanted = [number for number in message_ids if number in self._replies]
        return [self._replies.pop(number) for number in wanted]

    def send_and_receive(
        self,
        messages: Iterable[Message],
        *,
        timeout: float | None = None,  # noqa: ARG002  nobody is late in one process
    ) -> Iterable[Message]:
        """Push messages and return all replies."""
        return self.pull_messages(self.push_messages(messages))


def run_memory(
    parts: Iterable[FederatedPart], site: Site, job: Job, watch: Watch
) -> Outcome:
    """Run the federation in this process; see `federation.run_federation`."""
    coordinator = _coordinator(site, job, watch)
    participant = Participant(site, FolderKeeper(job.folder / MEMBERS))
    finished: list[FederatedPart] = []
    coordinator.run(MemoryGrid(participant.answer, job.nodes), _note(parts, finished))
    return _outcome(job, coordinator, finished)


def run_ray(
    parts: Iterable[FederatedPart], site: Site, job: Job, watch: Watch
) -> Outcome:
    """Run the federation on Flower's simulation; see `federation.run_federation`.

    The ServerApp runs in a thread of this process, so that parts and `watch` need not
    travel; the site travels once, into Ray's object store.

    Raises:
        ConfigError: Ray is not installed.
    """
    _require_ray()
    import ray  # noqa: PLC0415  seconds, and only this engine needs it
    from flwr.simulation import run_simulation  # noqa: PLC0415

    coordinator = _coordinator(site, job, watch)
    finished: list[FederatedPart] = []
    failures: list[BaseException] = []
    done = threading.Event()

    def lead(grid: Grid, _: Context) -> None:
        try:
            coordinator.run(grid, _note(parts, finished))
        except BaseException as error:  # noqa: BLE001  raised again in the main thread
            failures.append(error)
        finally:
            done.set()

    with _ray(job.actors), _interruptible(coordinator.stop):
        reference = ray.put(site)
        opened = functools.partial(_open, reference, job.folder.resolve() / MEMBERS)
        try:
            run_simulation(
                server_app=server_app(lead),
                client_app=client_app(opened),
                num_supernodes=job.nodes,
                backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0}},
            )
        finally:
            coordinator.stop.set()
            done.wait(LAST_WORDS_S)
    if failures and isinstance(failures[0], StoppedError):
        raise KeyboardInterrupt
    if failures:
        raise failures[0]
    return _outcome(job, coordinator, finished)


def _require_ray() -> None:
    if find_spec("ray") is None:
        raise ConfigError(
            "the engine ray needs Ray, which is not installed",
            hint="pip install 'proper[simulation]', or take the engine memory",
        )


def _coordinator(site: Site, job: Job, watch: Watch) -> Coordinator:
    plan = job.plan.model_copy(update={"min_nodes": job.nodes})
    store = Store(job.folder, job.identity)
    gauge = None if job.canary is None else Gauge(job.canary)
    base = site.trainer().base
    return Coordinator(
        plan,
        store,
        watch,
        gauge,
        base=base,
        suite_for=suite_for,
        outline=job.outline,
        say=job.say,
    )


def _note(
    parts: Iterable[FederatedPart], finished: list[FederatedPart]
) -> Iterator[FederatedPart]:
    """Pass the parts on, and write down each that is finished."""
    for part in parts:
        yield part
        finished.append(part)


def _outcome(
    job: Job, coordinator: Coordinator, finished: Sequence[FederatedPart]
) -> Outcome:
    keeper = FolderKeeper(job.folder / MEMBERS)
    saved = {seat: keeper.load(seat) for seat in range(job.nodes)}
    members = {seat: memory.after for seat, memory in saved.items() if memory}
    rounds = coordinator.store.rounds()
    return Outcome(tuple(finished), rounds, members, coordinator.budget)


@functools.lru_cache(maxsize=1)
def _participant(reference: "ObjectRef[Site]", members: Path) -> Participant:
    """Return the one participant of a Ray process; its backbone is loaded once."""
    import ray  # noqa: PLC0415

    return Participant(ray.get(reference), FolderKeeper(members), portable=True)


def _open(reference: "ObjectRef[Site]", members: Path, _: Context) -> Participant:
    return _participant(reference, members)


@contextmanager
def _ray(actors: int) -> Iterator[None]:
    """Start Ray with a core for each actor, quietly, and shut it down at the end."""
    import ray  # noqa: PLC0415

    logger = logging.getLogger("flwr")
    level = logger.level
    logger.setLevel(logging.ERROR)
    # This process found our modules; a worker looks in the same places.
    variables = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        ray.init(
            num_cpus=actors,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": {**variables, "OMP_NUM_THREADS": "1"}},
        )
        yield
    finally:
        ray.shutdown()
        logger.setLevel(level)


@contextmanager
def _interruptible(stop: threading.Event) -> Iterator[None]:
    """Let the first Ctrl-C end the run in good order, and the second at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    previous = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
