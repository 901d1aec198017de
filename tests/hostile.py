"""Releases that do harm, each wrong in one way and signed all the same."""

import hashlib
import json
import struct

import numpy as np
import safetensors.numpy
from published import record, starter

from proper_shared.method.config import Method
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


GIB = 1 << 30
EMPTY = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
TWICE = b'{"a": %b, "a": %b}' % ((json.dumps(EMPTY).encode(),) * 2)

KINDS = {  # what is wrong -> how it is made, and the check that refuses it
    "code beside the tensors": (lists("modeling.py"), "files"),
    "a file above the folder": (lists("../../.bashrc"), "files"),
    "a file at the root": (lists("/etc/cron.d/x"), "files"),
    "a hidden file": (lists("merged/.netrc"), "files"),
    "a pickle": (lists("merged/pytorch_model.bin"), "files"),
    "a folder in merged": (lists("merged/a/b.json"), "files"),
    "a name with an escape": (lists("merged/\x1b[2J.json"), "files"),
    "a library": (lists("merged/x.json.so"), "files"),
    "no experts": (lacks(EXPERTS), "files"),
    "no population": (lacks(POPULATION), "files"),
    "a part of 200 GiB": (lists(EXPERTS, 200 * GIB), "sizes"),
    "a manifest of 2 MiB": (lists(HEADER, 2 << 20), "sizes"),
    "merged of 2 TiB": (lists("merged/model.safetensors", 2048 * GIB), "sizes"),
    "a file that is not served": (lists("merged/config.json"), "missing"),
    "an empty part": (is_bytes(b""), "header-length"),
    "seven bytes": (is_bytes(b"\1" * 7), "header-length"),
    "a header of 93 MB": (is_bytes(b"\x80\x8d\x8b\5" + b"\0" * 4), "header-length"),
    "a header of 16 EiB": (is_bytes(b"\xff" * 8), "header-length"),
    "a header that is cut": (is_bytes(b"\x64" + b"\0" * 7 + b"{}"), "header-length"),
    "no JSON": (is_framed(b"{'a': 1}"), "strict-json"),
    "no UTF-8": (is_framed(b'{"\xff": 1}'), "strict-json"),
    "a name twice": (is_framed(TWICE), "strict-json"),
    "NaN in a header": (is_framed(b'{"a": NaN}'), "strict-json"),
    "a list as a header": (is_framed(b"[]"), "strict-json"),
    "100,000 brackets": (is_framed(b"[" * 100_000), "strict-json"),
    "a number of 10,000 digits": (
        is_framed(b'{"a":%b}' % (b"9" * 10_000)),
        "strict-json",
    ),
    "a manifest that is none": (is_text(b"\x80\4\x95pickle"), "strict-json"),
    "a manifest with a key twice": (is_text(b'{"a": 1, "a": 2}'), "strict-json"),
    "another format": (says(format=2), "manifest"),
    "a field more": (says(run="rm -rf /"), "manifest"),
    "a seed that is a text": (says(seed="0"), "manifest"),
    "no experts in the method": (method(experts=0), "manifest"),
    "a million experts": (method(experts=10**6), "manifest"),
    "privacy by a word": (says(privacy="perfect"), "manifest"),
    "a fingerprint that is none": (backbone(fingerprint="x"), "manifest"),
    "a backbone without name": (backbone(name=""), "manifest"),
    "another hash in the manifest": (
        forged(POPULATION, sha256="cd" * 32),
        "same-files",
    ),
    "another length in the manifest": (forged(ROUTERS, bytes=1), "same-files"),
    "a file that nobody signed": (forged("merged/config.json"), "same-files"),
    "a file that the manifest hides": (unlisted, "same-files"),
    "an unknown task": (says(task="keylogging"), "purpose"),
    "another task than was agreed": (says(task="rating"), "purpose"),
    "other shapes than were agreed": (method(embedding_size=32), "purpose"),
    "days of work": (steps(10**9), "recipe"),
    "no recipe": (says(personal={}), "recipe"),
    "a recipe with a hook": (says(personal={"callback": "os.system"}), "recipe"),
    "a name with a line break": (renames("a\nb"), "names"),
    "a name of another script": (renames("аdmin"), "names"),  # noqa: RUF001
    "a name of 300 letters": (renames("a" * 300), "names"),
    "no name": (renames(""), "names"),
    "a shape below zero": (entry(shape=[-1, 4]), "names"),
    "a shape of truth": (entry(shape=[True, 4]), "names"),
    "a position of three": (entry(data_offsets=[0, 1, 2]), "names"),
    "a dtype that is a number": (entry(dtype=7), "names"),
    "an entry with more": (entry(loader="pickle"), "names"),
    "a tensor too few": (drops(EXPERTS), "expected"),
    "a tensor too many": (adds("model.lm_head.weight"), "expected"),
    "a user's own tensor": (adds("model.layers.0.mlp.up_proj.user.a"), "expected"),
    "tensors of one part in another": (
        is_bytes(starter()[EXPERTS], ROUTERS),
        "expected",
    ),
    "a turned tensor": (makes(EXPERTS, ".a", np.transpose), "shapes"),
    "a cut tensor": (makes(EMBEDDING, "embedding", lambda a: a[:-1]), "shapes"),
    "an axis more": (makes(ROUTERS, ".w_l", lambda a: a[None]), "shapes"),
    "a huge shape": (entry(shape=[1 << 40, 1 << 40]), "shapes"),
    "half precision": (makes(EXPERTS, ".b", np.float16), "dtypes"),
    "whole numbers": (makes(EXPERTS, ".b", np.int32), "dtypes"),
    "an unheard-of dtype": (entry(dtype="F32\0"), "dtypes"),
    "a hole": (shifted, "sum-of-bytes"),
    "tensors that overlap": (overlapping, "sum-of-bytes"),
    "a program behind the last": (trailing, "sum-of-bytes"),
    "a position beyond the end": (entry(data_offsets=[0, 1 << 60]), "sum-of-bytes"),
    "a position that runs back": (entry(data_offsets=[64, 0]), "sum-of-bytes"),
    "NaN": (holds(np.nan), "finite"),
    "infinity": (holds(np.inf), "finite"),
    "infinity below": (holds(-np.inf), "finite"),
    "a population of a thousand": (makes(POPULATION, ".b", grown(1e3)), "norms"),
    "a large product": (spoken_for, "norms"),
    "experts of a thousand": (makes(EXPERTS, ".b", grown(1e3)), "norms"),
    "routers of a million": (makes(ROUTERS, ".w_u", grown(1e6)), "norms"),
    "a lone huge factor": (makes(POPULATION, ".a", grown(1e30)), "norms"),
    "an embedding far away": (makes(EMBEDDING, "embedding", grown(1e6)), "norms"),
    "a reading without end": (makes(EMBEDDING, "white_d", grown(1e9)), "norms"),
    "another backbone": (backbone(fingerprint="f1" * 32), "base-model"),
    "a population turned round": (makes(POPULATION, ".b", backwards), "canary"),
    "experts of noise": (makes(EXPERTS, ".b", noise), "canary"),
}


class Agreed:
    """What a device's invitation says of the release."""

    backbone, releases = "nano", None

    def __init__(self):
        made = Draft().manifest
        self.task, self.method = made["task"], Method.model_validate(made["method"])


def offer(publisher, change):
    """Publish the starter with one thing wrong in it."""
    draft = Draft()
    change(draft)
    files = draft.sealed()
    records = {name: record(data) for name, data in files.items()} | draft.listed
    publisher.publish(files, records)
