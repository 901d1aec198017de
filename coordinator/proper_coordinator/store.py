"""The coordinator's disk: where a federation stands after its last complete round.

    run.json                       whose run it is, the log of each part's rounds, and
                                   under noise what was spent
    <stage>-<rounds>.safetensors   all arrays of a part after so many rounds

Arrays are written first, under a name of their own; then `run.json`, which names them,
replaces its old self in one step: that is the moment at which a round counts. A kill at
any other moment leaves the round before.

Covered: a crash or a full disk at any step, a run that is not the one that was started,
files that were cut off or changed.
Not covered: two coordinators that write into one folder at the same time.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from proper_coordinator.ledger import Ledger
from proper_shared.durable import sweep, write_file
from proper_shared.errors import ConfigError, FormatError
from proper_shared.tensors import Arrays, pack, unpack
from proper_shared.terms import Bounds

FORMAT = 3
INDEX = "run.json"


class Dropout(BaseModel):
    """A node that was asked and is not in the sum of the round."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seat: int
    node_id: int
    reason: str


class Round(BaseModel):
    """What happened in one complete round.

    Attributes:
        loss: Mean over the nodes in the sum, nats for each target token; None where
            it was not finite.
        count: How many nodes are in the sum; 0 where there was none.
        failed: Why the round moved nothing; None where it did.
        public_best: The least that public texts cost the stage so far, nats a token;
            None where they are not looked at.
        public: What they cost after this round, likewise.
        bytes_down: Content of all messages to the nodes.
        bytes_up: Content of all messages from the nodes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    loss: float | None
    count: int
    failed: str | None = None
    public_best: float | None = None
    public: float | None = None
    dropped: tuple[Dropout, ...]
    seconds: float
    bytes_down: int
    bytes_up: int


class _Record(BaseModel):
    """What the index says of one part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: str
    sha256: str
    rounds: tuple[Round, ...]
    bounds: Bounds


class _Index(BaseModel):
    """The whole of `run.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    identity: str
    settings: dict[str, str] = {}
    serial: int
    blocks: tuple[tuple[int, ...], ...] | None = None
    ledger: Ledger | None = None
    parts: dict[str, _Record]
    probed: dict[str, Bounds] = {}


@dataclass(frozen=True)
class Checkpoint:
    """A part as it was after its last complete round.

    Attributes:
        state: Arrays by name, as the part gave them.
        rounds: The log of its rounds so far.
        bounds: Of the vectors of its next rounds.
    """

    state: Arrays
    rounds: tuple[Round, ...]
    bounds: Bounds = field(default_factory=dict)


class Store:
    """The checkpoints of one run.

    Args:
        folder: Theirs alone; it is made if it is not there.
        identity: All that the result depends on, in short (a hash). A folder with
            another identity is refused, since going on would mix two runs.
        settings: Those in the identity, as text, to name what was changed.

    Raises:
        ConfigError: the folder belongs to another run.
        FormatError: the index is malformed.
    """

    def __init__(
        self, folder: Path, identity: str, settings: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        sweep(folder)
        self._index = _Index(
            format=FORMAT,
            identity=identity,
            settings=dict(settings or {}),
            serial=0,
            parts={},
        )
        if not (folder / INDEX).exists():
            self._update()
            return
        found = _read_index(folder / INDEX)
        if found.identity != identity:
            changed = _changed(found.settings, settings or {})
            what = f": {changed}" if changed else " or other data"
            raise ConfigError(
                f"{folder} holds a run with other settings{what}",
                hint="set it back, or move this folder away to start afresh",
            )
        self._index = found
        if settings and not found.settings:  # from before they were kept
            self._update(settings=dict(settings))

    def load(self, stage: str) -> Checkpoint | None:
        """Return where a part stands, or None if it has no complete round.

        Raises:
            FormatError: the arrays are missing or not those that were written.
        """
        record = self._index.parts.get(stage)
        if record is None:
            return None
        path = self.folder / record.file
        if not path.is_file():
            raise FormatError(f"{path} is missing, {INDEX} names it")
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != record.sha256:
            raise FormatError(
                f"{path} is not the file that was written",
                hint="remove the folder to start afresh",
            )
        return Checkpoint(unpack(data, record.file), record.rounds, record.bounds)

    def save(self, stage: str, checkpoint: Checkpoint) -> None:
        """Make this the part's last complete round.

        Raises:
            OSError: the disk is full; the round before it still counts.
            ValueError: an array holds NaN or infinity.
        """
        old = self._index.parts.get(stage)
        data = pack(checkpoint.state)
        record = _Record(
            file=f"{stage}-{len(checkpoint.rounds)}.safetensors",
            sha256=hashlib.sha256(data).hexdigest(),
            rounds=checkpoint.rounds,
            bounds=checkpoint.bounds,
        )
        write_file(self.folder / record.file, data)
        probed = {s: b for s, b in self._index.probed.items() if s != stage}
        self._update(parts={**self._index.parts, stage: record}, probed=probed)
        if old is not None and old.file != record.file:
            (self.folder / old.file).unlink(missing_ok=True)

    def bounds(self, stage: str) -> Bounds:
        """Return the bounds for a part's next round, also those of a probe alone."""
        record = self._index.parts.get(stage)
        saved = {} if record is None else record.bounds
        return {**saved, **self._index.probed.get(stage, {})}

    def keep_bounds(self, stage: str, bounds: Bounds) -> None:
        """Put what a probe found on disk, before its round is complete.

        Members tell the norms of one order once: a coordinator that is started again
        could not ask for them among others.
        """
        self._update(probed={**self._index.probed, stage: dict(bounds)})

    @property
    def identity(self) -> str:
        """All that the result depends on, in short."""
        return self._index.identity

    def next_serial(self) -> int:
        """Return a number that was never returned before, and put that on disk.

        Members answer no serial twice, so a coordinator that is started again must not
        ask for one twice.
        """
        serial = self._index.serial
        self._update(serial=serial + 1)
        return serial

    def blocks(
        self, divide: Callable[[], tuple[tuple[int, ...], ...]]
    ) -> tuple[tuple[int, ...], ...]:
        """Return the blocks of the run; the first time, divide and put them on disk.

        Members add only to the block that they saw first.
        """
        if self._index.blocks is None:
            self._update(blocks=divide())
        return self._index.blocks or ()

    def ledger(self, begin: Callable[[], Ledger] | None = None) -> Ledger | None:
        """Return what the run has spent; None where it is without noise.

        Args:
            begin: gives the ledger of a run that has none yet; it is put on disk.
        """
        if self._index.ledger is None and begin is not None:
            self.keep_ledger(begin())
        return self._index.ledger

    def keep_ledger(self, ledger: Ledger) -> None:
        """Replace the ledger; it is on the disk before this returns.

        Raises:
            OSError: the disk is full; nothing may be offered then.
        """
        self._update(ledger=ledger)

    def rounds(self) -> dict[str, tuple[Round, ...]]:
        """Return the log of each part, in the order in which they were begun."""
        return {stage: record.rounds for stage, record in self._index.parts.items()}

    def _update(self, **changes: object) -> None:
        """Change the index: on the disk first, so that memory is never ahead."""
        index = self._index.model_copy(update=changes)
        write_file(self.folder / INDEX, index.model_dump_json(indent=1).encode())
        self._index = index


def read_rounds(folder: Path) -> dict[str, tuple[Round, ...]]:
    """Return the logs in a folder of checkpoints without touching it.

    Raises:
        FormatError: the index is malformed.
    """
    if not (folder / INDEX).is_file():
        return {}
    parts = _read_index(folder / INDEX).parts
    return {stage: record.rounds for stage, record in parts.items()}


def has_blocks(folder: Path) -> bool:
    """Tell whether the run in a folder of checkpoints divided its members, likewise.

    Raises:
        FormatError: the index is malformed.
    """
    return (folder / INDEX).is_file() and bool(_read_index(folder / INDEX).blocks)


def read_ledger(folder: Path) -> Ledger | None:
    """Return what the run in a folder of checkpoints has spent, likewise.

    Raises:
        FormatError: the index is malformed.
    """
    if not (folder / INDEX).is_file():
        return None
    return _read_index(folder / INDEX).ledger


def expect_settings(folder: Path, settings: Mapping[str, str]) -> None:
    """Refuse settings that are not those of the run in a folder, likewise.

    Raises:
        ConfigError: naming what was changed.
        FormatError: the index is malformed.
    """
    if not (folder / INDEX).is_file():
        return
    if changed := _changed(_read_index(folder / INDEX).settings, settings):
        raise ConfigError(
            f"{folder} holds a run with other settings: {changed}",
            hint="set it back, or move this folder away to start afresh",
        )


def _changed(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Name the settings that differ; nothing where the old ones were not kept."""
    if not old or not new:
        return ""
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    words = [
        f"{name} is {new.get(name, 'none')}, was {old.get(name, 'none')}"
        for name in names
    ]
    return "; ".join(words)


def _read_index(path: Path) -> _Index:
    try:
        index = _Index.model_validate_json(path.read_bytes())
    except ValidationError as error:
        place = error.errors()[0]["loc"]
        raise FormatError(f"{path} is malformed at {place}") from None
    if index.format != FORMAT:
        raise FormatError(f"{path} has format {index.format}, expected {FORMAT}")
    return index
