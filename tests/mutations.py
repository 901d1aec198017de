"""Mutated releases, each signed by keys that count: `python tests/mutations.py --help`.

First each named kind of `hostile.KINDS`, which has to be refused by its own check, then
as many random changes as are asked for; SIGTERM ends them and keeps the count. Memory
and CPU time are limited by the operating system, which ends the process where a release
takes more; the dearest of all is written down. A release that is let through must be
one: a stock reader finds the expected shapes and finite numbers in it.
"""

import argparse
import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import safetensors.numpy
import torch
from hostile import KINDS, Agreed, Draft, offer
from published import Publisher, cached

from proper_client.releases.checks import Candidate, run
from proper_client.releases.refusal import Refused
from proper_client.releases.source import Folder
from proper_client.releases.texts import public_people
from proper_client.releases.trust import Trust
from proper_shared.durable import write_file
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


class Cost:
    """What pulls cost: processor time, and memory beyond what was there before."""

    def __init__(self):
        self.before, self.seconds = peak_nbytes(), []

    def report(self):
        spent = sorted(self.seconds)
        return {
            "cpu_s_mean": round(sum(spent) / len(spent), 4),
            "cpu_s_p99": round(spent[int(0.99 * (len(spent) - 1))], 4),
            "cpu_s_most": round(spent[-1], 4),
            "cpu_s_allowed": CPU_S,
            "memory_mib_most": (peak_nbytes() - self.before) >> 20,
            "memory_mib_allowed": MEMORY_NBYTES >> 20,
        }


def peak_nbytes():
    """The most memory that this process ever had, as Linux counts it."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def attempt(publisher, folder, cost, invitation=None):
    """Return how a pull of what is published ends, after everything was verified."""
    shutil.rmtree(folder / "incoming", ignore_errors=True)
    (folder / "incoming").mkdir()
    trust = Trust(folder / "seen", publisher.root)
    source, incoming = Folder(publisher.place), folder / "incoming"
    it = Candidate(source, trust, incoming, own, invitation)
    start = time.process_time()
    try:
        run(it)
    except Refused as refusal:
        return refusal.name
    finally:
        cost.seconds.append(time.process_time() - start)
        if cost.seconds[-1] > CPU_S:
            raise SystemExit(f"one release took {cost.seconds[-1]:.1f} s")
        shutil.rmtree(publisher.place / "targets", ignore_errors=True)
    files = {name: it.path(name).read_bytes() for name in it.listing.files}
    check_taken(files, it.ground.expected)
    return "taken"


def named_kinds(publisher, folder, cost):
    """Return which check refuses each named kind; another than its own ends it all."""
    refused = {}
    for kind, (change, check) in KINDS.items():
        offer(publisher, change)
        refused[kind] = attempt(publisher, folder, cost, Agreed())
        if refused[kind] != check:
            raise SystemExit(f"{kind} ended in {refused[kind]}, expected {check}")
    return refused


def random_changes(publisher, folder, cost, chosen):
    """Return how many ended in which way, until the time is up."""
    rng, tally = random.Random(chosen.seed), Counter()  # noqa: S311 - an experiment
    start, stop = time.process_time(), []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    while sum(tally.values()) < chosen.count and not stop:
        if chosen.limit_s and time.process_time() - start > chosen.limit_s:
            break
        publisher.publish(mutated(rng))
        tally[attempt(publisher, folder, cost)] += 1
    return dict(tally.most_common())


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit-s", type=float, help="processor time for changes")
    parser.add_argument("--out", type=Path, help="file for the result, JSON")
    return parser.parse_args()


def main():
    chosen = arguments()
    torch.set_num_threads(1)  # threads that wait for each other are no work
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "seen").mkdir()
        publisher = Publisher(folder / "published")
        for invitation in (None, Agreed()):  # what stays in memory counts for nobody
            publisher.publish(Draft().sealed())
            if attempt(publisher, folder, Cost(), invitation) != "taken":
                raise SystemExit("the release without a change was refused")
        limit(chosen.count + len(KINDS))
        cost = Cost()
        kinds = named_kinds(publisher, folder, cost)
        tally = random_changes(publisher, folder, cost, chosen)
    command = f"python tests/mutations.py --count {chosen.count} --seed {chosen.seed}"
    result = {
        "command": command,
        "made": sum(tally.values()),
        "ended_in": tally,
        "cost_of_one": cost.report(),
        "named_kinds": len(kinds),
        "refused_by": kinds,
    }
    if chosen.out:
        text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
        write_file(chosen.out, text.encode())
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
