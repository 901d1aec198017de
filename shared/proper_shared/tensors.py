"""Named float32 arrays as safetensors bytes, and back with nothing taken on trust.

Reading is our own few lines instead of a loader's, because the loader parses the whole
header before anybody can refuse it: a header of 93 MB costs it seconds and a gigabyte.

Covered: header length, strict JSON, printable names, exactly the expected names, dtype
and shapes, bytes that add up to the file with no hole and no overlap, finite values.
Not covered: where the bytes come from (compare a hash or a signature first), and finite
numbers that were chosen to do harm.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from proper_shared.errors import FormatError
from proper_shared.strict_json import parse_object

Array = NDArray[np.float32]
Arrays = dict[str, Array]
Shapes = Mapping[str, tuple[int, ...]]  # tensor name -> shape

MAX_HEADER_BYTES = 1 << 20  # a 7B backbone's whole header has 40 kB
MAX_NAME_CHARACTERS = 256
_LENGTH_BYTES = 8
_ITEM_BYTES = 4  # of a float32
_METADATA = "__metadata__"


class Slot(NamedTuple):
    """Where one tensor lies: `begin` and `end` are bytes after the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Header(NamedTuple):
    """A checked header: tensors in the order of the file, free text, its length."""

    slots: dict[str, Slot]
    metadata: dict[str, str]
    nbytes: int  # with the eight bytes that give its length


def pack(arrays: Mapping[str, Array], metadata: dict[str, str] | None = None) -> bytes:
    """Return `arrays` as the bytes of a safetensors file.

    Raises:
        ValueError: an array is not float32 or not finite. It would be refused by
            whoever reads it, so it must not be written.
    """
    for name, array in arrays.items():
        if array.dtype != np.float32 or not np.isfinite(array).all():
            raise ValueError(f"{name} is not an array of finite float32 numbers")
    # The writer stores memory as it lies: a transposed view would come back wrong.
    plain = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    return safetensors.numpy.save(plain, metadata)


def unpack(data: bytes, what: str, expected: Shapes | None = None) -> Arrays:
    """Return the arrays in `data`, refusing all that `expected` does not name.

    Args:
        data: A whole safetensors file.
        what: Name of the source, for errors.
        expected: Exactly these names and shapes; None where the caller knows none.

    Raises:
        FormatError: `data` is malformed, or holds other tensors than expected.
    """
    header = read_header(data, what)
    if expected is not None:
        check_names(header, what, expected)
        check_shapes(header, what, expected)
    check_dtypes(header, what)
    check_layout(header, what, len(data))
    arrays = arrays_of(data, header)
    check_finite(arrays, what)
    return arrays


def arrays_of(data: bytes, header: Header) -> Arrays:
    """Return the arrays in `data` as copies, once dtypes and layout were checked."""
    return {
        name: np.frombuffer(
            data, "<f4", math.prod(slot.shape), header.nbytes + slot.begin
        )
        .reshape(slot.shape)
        .astype(np.float32)
        for name, slot in header.slots.items()
    }


def read_header(data: bytes, what: str) -> Header:
    """Return the header of a safetensors file; `data` may end after the header.

    Raises:
        FormatError: the header is too long, cut off, no strict JSON, or odd.
    """
    end = check_header_length(data, what)
    entries = parse_object(data[_LENGTH_BYTES:end], f"the header of {what}")
    metadata = _metadata(entries.pop(_METADATA, {}), what)
    slots = {name: _slot(name, entry, what) for name, entry in entries.items()}
    return Header(slots, metadata, end)


def check_header_length(data: bytes, what: str) -> int:
    """Return where the header ends, before a byte of it is parsed.

    Raises:
        FormatError: the header is too long or cut off.
    """
    if len(data) < _LENGTH_BYTES:
        raise FormatError(f"{what} has {len(data)} bytes, expected a header")
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise FormatError(
            f"{what} announces a header of {length} bytes, "
            f"expected at most {MAX_HEADER_BYTES}",
        )
    end = _LENGTH_BYTES + length
    if len(data) < end:
        raise FormatError(f"{what} has {len(data)} bytes, its header needs {end}")
    return end


def _metadata(value: object, what: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(
        isinstance(text, str) for text in value.values()
    ):
        raise FormatError(f"{what}: the header's metadata are not texts by name")
    return value


def _slot(name: str, entry: object, what: str) -> Slot:
    """Check one tensor's entry in the header."""
    if not (0 < len(name) <= MAX_NAME_CHARACTERS and name.isascii()):
        raise FormatError(f"{what}: a tensor's name is empty, too long or not ASCII")
    if not name.isprintable():
        raise FormatError(f"{what}: a tensor's name has unprintable characters")
    if not isinstance(entry, dict) or entry.keys() != {
        "dtype",
        "shape",
        "data_offsets",
    }:
        raise FormatError(f"{what}: {name} has no proper entry in the header")
    shape, offsets, dtype = entry["shape"], entry["data_offsets"], entry["dtype"]
    if not (_is_counts(shape) and _is_counts(offsets) and len(offsets) == 2):
        raise FormatError(f"{what}: {name} has a malformed shape or position")
    if not isinstance(dtype, str):
        raise FormatError(f"{what}: {name} has a malformed dtype")
    return Slot(dtype, tuple(shape), offsets[0], offsets[1])


def _is_counts(value: object) -> bool:
    """Tell whether `value` is a list of whole numbers of at least 0 (True is none)."""
    return isinstance(value, list) and all(
        type(item) is int and item >= 0 for item in value
    )


def check_names(header: Header, what: str, expected: Shapes) -> None:
    """Refuse a file that holds not exactly the expected tensors.

    Raises:
        FormatError: one is missing, or one too many.
    """
    names = header.slots.keys()
    if missing := sorted(expected.keys() - names):
        raise FormatError(f"{what} lacks {len(missing)} tensors, first {missing[0]}")
    if surplus := sorted(names - expected.keys()):
        raise FormatError(f"{what} has {len(surplus)} tensors too many: {surplus[0]}")


def check_shapes(header: Header, what: str, expected: Shapes) -> None:
    """Refuse a tensor of another shape.

    Raises:
        FormatError: there is one.
    """
    for name, slot in header.slots.items():
        if slot.shape != tuple(expected[name]):
            got, wanted = list(slot.shape), list(expected[name])
            raise FormatError(f"{what}: {name} has shape {got}, expected {wanted}")


def check_dtypes(header: Header, what: str) -> None:
    """Refuse what is not float32.

    Raises:
        FormatError: a tensor is of another dtype.
    """
    for name, slot in header.slots.items():
        if slot.dtype != "F32":
            raise FormatError(f"{what}: {name} is {slot.dtype}, expected F32")


def check_layout(header: Header, what: str, nbytes: int) -> None:
    """Refuse tensors that do not fill a file of `nbytes`, one after the other.

    Raises:
        FormatError: there is a hole, an overlap, or something behind the last.
    """
    position = 0
    for name, slot in sorted(header.slots.items(), key=lambda item: item[1].begin):
        size = math.prod(slot.shape) * _ITEM_BYTES
        if slot.begin != position or slot.end != position + size:
            raise FormatError(
                f"{what}: {name} lies at {slot.begin} to {slot.end}, "
                f"expected {position} to {position + size}",
            )
        position += size
    held = nbytes - header.nbytes
    if position != held:
        raise FormatError(f"{what} holds {held} bytes of data, expected {position}")


def check_finite(arrays: Mapping[str, Array], what: str) -> None:
    """Refuse NaN and infinity.

    Raises:
        FormatError: a tensor holds one.
    """
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise FormatError(f"{what}: {name} holds NaN or infinity")
