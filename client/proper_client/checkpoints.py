"""Keep in the vault where a training stands, so that a kill costs seconds of it.

A checkpoint holds the person's tensors, those of the optimiser, the generators and the
order of entries: all that the steps to come depend on. What it was made from (entries,
release, seed, recipe) is in its name for itself; one of anything else is not used. On
the CPU, with as many threads, a training that goes on ends with the very same bytes.

Covered: a kill at any moment; the file is sealed and replaced as all others are.
Not covered: another version of torch, another number of threads, a GPU: there the
result is as good, and not the same to the last bit.
"""

import json
import time
from collections.abc import Callable

import safetensors.torch
from safetensors import SafetensorError

from proper_client.person import Checkpoint
from proper_client.vault import Vault
from proper_shared.errors import FormatError
from proper_shared.tensors import read_header

EVERY_S = 5.0
_WORTH = (
    20  # as many times as long as writing one takes, training goes on before the next
)
_OWN, _RUN = "own/", "run/"
_ANEW = "start the training from its beginning: proper-client train --anew"


class VaultKeeper:
    """Keeps the training of one task.

    Args:
        vault: where.
        task: its name.
        identity: of the training: all that it is made from, as a hash.
        every_s: seconds between checkpoints, at least.
        clock: seconds, monotonic.

    Attributes:
        found: what an earlier, same training left.
    """

    def __init__(
        self,
        vault: Vault,
        task: str,
        identity: str,
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._vault, self._task, self._identity = vault, task, identity
        self._every_s, self._clock, self._due = every_s, clock, clock() + every_s
        data = vault.read_checkpoint(task)
        self.found = None if data is None else _read(data, task, identity)

    def offer(self, look: Callable[[], Checkpoint]) -> None:
        """Keep where the training stands, if enough time has gone by."""
        start = self._clock()
        if start < self._due:
            return
        self._vault.write_checkpoint(self._task, _bytes(look(), self._identity))
        end = self._clock()
        self._due = end + max(self._every_s, _WORTH * (end - start))


def _bytes(point: Checkpoint, identity: str) -> bytes:
    tensors = {_OWN + name: t.contiguous() for name, t in point.tensors.items()}
    tensors |= {_RUN + name: t.contiguous() for name, t in point.training.items()}
    said = {"leg": point.leg, "asked": point.asked}
    header = {"identity": identity, "said": json.dumps(said)}
    return safetensors.torch.save(tensors, header)


def _read(data: bytes, task: str, identity: str) -> Checkpoint | None:
    """Return a checkpoint, or None if it is of another training.

    Raises:
        FormatError: it is damaged.
    """
    what = f"the checkpoint for {task}"
    try:
        header = read_header(data, what).metadata
        if header.get("identity") != identity:
            return None
        tensors = safetensors.torch.load(data)
        said = json.loads(header["said"])
        leg, asked = int(said["leg"]), [tuple(map(float, row)) for row in said["asked"]]
    except (FormatError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{what} is damaged", hint=_ANEW) from error
    own, run = (
        {n.removeprefix(start): t for n, t in tensors.items() if n.startswith(start)}
        for start in (_OWN, _RUN)
    )
    return Checkpoint(leg, own, run, asked)
