"""How a device keeps between rounds what it learnt in a federation.

Covered: a crash at any step leaves the state before the round or after it.
Not covered: see `vault`; whoever reads the disk as this user reads the state.
"""

from proper_client.node_state import Memory, When
from proper_client.vault import Vault
from proper_shared.errors import FormatError
from proper_shared.tensors import pack, read_header, unpack

BEFORE, AFTER = "before/", "after/"


def to_bytes(memory: Memory) -> bytes:
    """Return a memory as one file.

    Raises:
        ValueError: an array holds NaN or infinity.
    """
    last = memory.last
    arrays = {BEFORE + name: array for name, array in memory.before.items()}
    arrays |= {AFTER + name: array for name, array in memory.after.items()}
    names = {"run": last.run, "stage": last.stage, "round": str(last.round)}
    return pack(arrays, names)


def from_bytes(data: bytes, what: str) -> Memory:
    """Return the memory in a file.

    Raises:
        FormatError: it is not one that was written here.
    """
    arrays = unpack(data, what)
    last = read_header(data, what).metadata
    if last.keys() != {"run", "stage", "round"} or not last["round"].isdigit():
        raise FormatError(f"{what} does not say to which round it belongs")
    before, after = (
        {
            name.removeprefix(start): array
            for name, array in arrays.items()
            if name.startswith(start)
        }
        for start in (BEFORE, AFTER)
    )
    when = When(last["run"], last["stage"], int(last["round"]))
    return Memory(when, before, after)


class VaultKeeper:
    """The states of one device's seats in a federation, in the vault.

    Args:
        vault: where.
        federation: its number, hex; states of two federations stay apart.
    """

    def __init__(self, vault: Vault, federation: str) -> None:
        self._vault, self._federation = vault, federation

    def load(self, seat: int) -> Memory | None:
        """Return what was saved last for this seat, if anything was.

        Raises:
            FormatError: the file is not one that was written here.
        """
        name = self._name(seat)
        data = self._vault.read_state(name)
        return None if data is None else from_bytes(data, name)

    def save(self, seat: int, memory: Memory) -> None:
        """Replace what is saved for this seat, unless there is nothing to say.

        Raises:
            ConfigError: it cannot be written.
            ValueError: an array holds NaN or infinity.
        """
        if memory.before or memory.after:
            self._vault.write_state(self._name(seat), to_bytes(memory))

    def _name(self, seat: int) -> str:
        return f"state-{self._federation[:16]}-{seat}"
