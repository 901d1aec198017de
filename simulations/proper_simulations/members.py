"""The disks of simulated devices: one file for each seat, in the run's folder.

A device keeps its state between rounds; in a simulation the devices vanish with the
process, so what they would have kept is written beside the coordinator's checkpoint.
Nothing here is read by the coordinator.
"""

from pathlib import Path

from proper_client.memory import from_bytes, to_bytes
from proper_client.node_state import Memory
from proper_shared.durable import write_file


class FolderKeeper:
    """Members' states in a folder that several processes may use at once.

    Args:
        folder: Made at the first save. Each seat has one writer at a time, because a
            node answers one order after the other.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, seat: int) -> Memory | None:
        """Return what was saved last for this seat, if anything was.

        Raises:
            FormatError: the file is not one that was written here.
        """
        path = self._path(seat)
        if not path.is_file():
            return None
        return from_bytes(path.read_bytes(), path.name)

    def save(self, seat: int, memory: Memory) -> None:
        """Replace what is saved for this seat, unless there is nothing to say.

        Raises:
            ValueError: an array holds NaN or infinity.
        """
        if not memory.before and not memory.after:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        # Flushing a file for each member takes longer than all the rest of a round.
        write_file(self._path(seat), to_bytes(memory), 0o600, flush=False)

    def _path(self, seat: int) -> Path:
        return self.folder / f"{seat:06d}.safetensors"
