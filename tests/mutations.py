"""Mutated releases, each signed by keys that count: `python tests/mutations.py --help`.

Memory and CPU time are limited by the operating system, which ends the process where a
release takes more. A release that is let through must be one: a stock reader finds the
expected shapes and finite numbers in it.
"""

import argparse
import json
import random
import resource
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import safetensors.numpy
from hostile import Draft
from published import Publisher, cached

from proper_client.releases.checks import Candidate, run
from proper_client.releases.refusal import Refused
from proper_client.releases.source import Folder
from proper_client.releases.texts import public_people
from proper_client.releases.trust import Trust
from proper_shared.release import HEADER, PARTS

MEMORY_NBYTES = 512 << 20  # more than at the start
CPU_S = 2  # for each
VALUES = (None, True, -1, 0, 1 << 70, 1e308, "", "\0", "F16", [], {}, [0, 1 << 62])


def flip(data, rng):
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def fill(data, rng):
    data[rng.randrange(len(data))] = rng.choice((0, 0x20, 0x22, 0x7B, 0x80, 0xFF))


def cut(data, rng):
    del data[rng.randrange(len(data)) :]


def grow(data, rng):
    data += rng.randbytes(rng.randrange(1, 5000))


def remove(data, rng):
    at = rng.randrange(len(data))
    del data[at : at + rng.randrange(1, 64)]


def repeat(data, rng):
    at = rng.randrange(len(data))
    data[at:at] = data[at : at + rng.randrange(1, 64)]


def splice(data, rng):
    one, other = rng.randrange(len(data)), rng.randrange(len(data))
    data[one : one + 32] = data[other : other + 32]


def poke(data, rng):
    """Write an odd number where a float may lie."""
    at = rng.randrange(0, len(data), 4)
    odd = rng.choice((np.nan, np.inf, -np.inf, 1e30, -1e-40, 3e38))
    data[at : at + 4] = np.float32(odd).tobytes()


def header(data, rng):
    """Write within the first bytes, where lengths and names lie."""
    data[rng.randrange(min(len(data), 400))] = rng.randrange(256)


def value(data, rng):
    """Change a value in the JSON of a header or a manifest."""
    start = 8 if data[:1] != b"{" else 0
    end = start + int.from_bytes(data[:8], "little") if start else len(data)
    parsed = json.loads(data[start:end])
    place = parsed
    while True:
        key = rng.choice(list(place) if isinstance(place, dict) else range(len(place)))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.3:
            break
        place = inner
    place[key] = rng.choice(VALUES)
    text = json.dumps(parsed).encode()
    data[:end] = (len(text).to_bytes(8, "little") if start else b"") + text


CHANGES = (flip, fill, cut, grow, remove, repeat, splice, poke, header, value)


def mutated(rng):
    """A release with one to three changes in one of its files."""
    draft = Draft()
    name = rng.choice((HEADER, *draft.files))
    data = bytearray(draft.sealed()[HEADER] if name == HEADER else draft.files[name])
    for change in rng.choices(CHANGES, k=rng.randrange(1, 4)):
        if data:
            try:
                change(data, rng)
            except ValueError:  # no JSON any more, after an earlier change
                continue
    if name == HEADER:
        draft.raw = bytes(data)
    else:
        draft.files[name] = bytes(data)
    return draft.sealed()


def check_taken(files, expected):
    """Compare with a stock reader what was let through."""
    for part in PARTS:
        arrays = safetensors.numpy.load(files[f"{part}.safetensors"])
        shapes = {name: array.shape for name, array in arrays.items()}
        if shapes != {name: tuple(s) for name, s in expected[part].items()}:
            raise SystemExit(f"{part} was taken with other shapes")
        if not all(np.isfinite(array).all() for array in arrays.values()):
            raise SystemExit(f"{part} was taken with a number that is not finite")


def limit(count):
    """Let the system end this process where a release takes too much."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    size = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = size * resource.getpagesize() + MEMORY_NBYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    seconds = int(used.ru_utime + used.ru_stime) + 60 + CPU_S * count
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


def own(manifest):
    return cached("nano", manifest, public_people("tagging"))


def attempt(publisher, files, folder):
    """Return how a pull of these files ends, after everything was verified."""
    publisher.publish(files)
    shutil.rmtree(folder / "incoming", ignore_errors=True)
    (folder / "incoming").mkdir()
    trust = Trust(folder / "seen", publisher.root)
    it = Candidate(Folder(publisher.place), trust, folder / "incoming", own)
    try:
        run(it)
    except Refused as refusal:
        return refusal.name
    finally:
        shutil.rmtree(publisher.place / "targets", ignore_errors=True)
    check_taken(files, it.ground.expected)
    return "taken"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    rng, tally = random.Random(chosen.seed), Counter()  # noqa: S311 - an experiment
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "seen").mkdir()
        publisher = Publisher(folder / "published")
        if attempt(publisher, Draft().sealed(), folder) != "taken":
            raise SystemExit("the release without a change was refused")
        limit(chosen.count)
        for _ in range(chosen.count):
            tally[attempt(publisher, mutated(rng), folder)] += 1
    sys.stdout.write(json.dumps(dict(tally.most_common())) + "\n")


if __name__ == "__main__":
    main()
