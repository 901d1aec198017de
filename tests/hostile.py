"""Releases that do harm, each wrong in one way and signed all the same."""

import hashlib
import json
import struct

import numpy as np
import safetensors.numpy
from published import starter

from proper_shared.release import HEADER, FileRecord

POPULATION, EXPERTS = "population.safetensors", "experts.safetensors"
ROUTERS, EMBEDDING = "routers.safetensors", "embedding.safetensors"


class Draft:
    """A release that can still be changed; `sealed` writes its records anew."""

    def __init__(self, files=None):
        files = dict(files or starter())
        self.manifest = json.loads(files.pop(HEADER))
        self.files, self.listed, self.raw = files, {}, None

    def sealed(self):
        """All files, the manifest with the lengths and hashes of the others."""
        records = {name: _record(data) for name, data in self.files.items()}
        records |= self.manifest.pop("forged", {})
        text = self.raw or json.dumps({**self.manifest, "files": records}).encode()
        return {**self.files, HEADER: text}

    def header(self, name, change):
        """Change the JSON at the head of a tensor file."""
        data = self.files[name]
        length = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8 : 8 + length])
        change(header)
        self.frame(name, json.dumps(header).encode(), data[8 + length :])

    def frame(self, name, header, data=b""):
        self.files[name] = struct.pack("<Q", len(header)) + header + data

    def tensors(self, name, change):
        """Change the arrays of a tensor file."""
        arrays = safetensors.numpy.load(self.files[name])
        change(arrays)
        plain = {n: np.ascontiguousarray(a) for n, a in arrays.items()}
        self.files[name] = safetensors.numpy.save(plain)


def _record(data):
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def lists(name, nbytes=3):
    """The signed list has a file more, or one of another length."""
    odd = FileRecord(bytes=nbytes, sha256="ab" * 32)
    return lambda draft: draft.listed.update({name: odd})


def lacks(name):
    return lambda draft: draft.files.pop(name)


def says(**fields):
    return lambda draft: draft.manifest.update(fields)


def method(**fields):
    return lambda draft: draft.manifest["method"].update(fields)


def steps(count):
    return lambda draft: draft.manifest["personal"]["user"].update(steps=count)


def is_text(text):
    return lambda draft: setattr(draft, "raw", text)


def is_framed(header, name=EXPERTS):
    return lambda draft: draft.frame(name, header)


def is_bytes(data, name=EXPERTS):
    return lambda draft: draft.files.update({name: data})


def first(header):
    return next(name for name in header if name != "__metadata__")


def renames(new):
    def change(header):
        header[new] = header.pop(first(header))

    return lambda draft: draft.header(EXPERTS, change)


def entry(**fields):
    """The entry of a first tensor says something else."""
    return lambda draft: draft.header(EXPERTS, lambda h: h[first(h)].update(fields))


def drops(part):
    return lambda draft: draft.tensors(part, lambda arrays: arrays.pop(first(arrays)))


def adds(name):
    def change(arrays):
        arrays[name] = np.ones(3, np.float32)

    return lambda draft: draft.tensors(EXPERTS, change)


def makes(part, suffix, change):
    """Each tensor of a part whose name ends so becomes another."""

    def all_of(arrays):
        for name in [name for name in arrays if name.endswith(suffix)]:
            arrays[name] = change(arrays[name])

    return lambda draft: draft.tensors(part, all_of)


def holds(value):
    def change(array):
        array = array.copy()
        array.flat[-1] = value
        return array

    return makes(ROUTERS, ".w_x", change)


def grown(factor):
    return lambda array: array * np.float32(factor)


def shifted(draft):
    """All tensors four bytes later, and a hole before them."""

    def change(header):
        for name, one in header.items():
            if name != "__metadata__":
                one["data_offsets"] = [at + 4 for at in one["data_offsets"]]

    draft.header(EXPERTS, change)
    draft.files[EXPERTS] += b"hole"


def overlapping(draft):
    def change(header):
        names = [name for name in header if name != "__metadata__"]
        by_shape = {}
        for name in names:
            same = by_shape.setdefault(tuple(header[name]["shape"]), name)
            if same != name:
                header[name]["data_offsets"] = header[same]["data_offsets"]
                return

    draft.header(EXPERTS, change)


def trailing(draft):
    draft.files[EXPERTS] += b"MZ\x90\x00"


def forged(name, **fields):
    """The manifest says something else of a file than the signed list."""

    def change(draft):
        record = {**_record(draft.files.get(name, b"")), **fields}
        draft.manifest["forged"] = {name: record}

    return change


def unlisted(draft):
    """A file that the manifest does not know is signed for."""
    draft.files["merged/config.json"] = b"{}"
    sealed = Draft.sealed(draft)
    text = json.loads(sealed[HEADER])
    text["files"].pop("merged/config.json")
    draft.raw = json.dumps(text).encode()


def backbone(**fields):
    return lambda draft: draft.manifest["backbone"].update(fields)


def backwards(array):
    return -3 * array


def noise(array):
    rng = np.random.default_rng(0)
    size = np.float32(10 * array.std())
    return size * rng.normal(size=array.shape).astype(np.float32)


def spoken_for(draft):
    """Both factors are within bounds, their product is not."""
    for suffix in (".a", ".b"):
        makes(POPULATION, suffix, grown(60))(draft)
