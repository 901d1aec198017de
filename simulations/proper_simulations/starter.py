"""What ships with the package: a release to start from, and texts to judge others by.

The release is that of an ordinary run on the tagging world, without the merged model:
population LoRA and nano give that again, and the wheel stays small. The texts are of
people of the worlds who take part in no run that is reported.
"""

import json
from pathlib import Path

from proper_client.releases.texts import FILE
from proper_shared.durable import write_file
from proper_shared.release import (
    PARTS,
    STARTER,
    Header,
    Release,
    read_manifest,
    verify_files,
    write_release,
)
from proper_shared.tensors import unpack
from proper_simulations.worlds import make_world

WORLDS = ("tagging", "rating", "rewriting")
SEED, PEOPLE, ENTRIES = 7, 6, 4  # no run with this seed is reported


def keep_as_starter(release: Path, place: Path = STARTER) -> None:
    """Copy the release of a finished run to `place`, without its merged model.

    Args:
        release: A release folder.
        place: Where to; the starter release there is replaced.

    Raises:
        ConfigError: there is no release.
        FormatError: it is damaged.
    """
    manifest = read_manifest(release)
    data = verify_files(release, manifest)
    arrays = {part: unpack(data[part], f"{part}.safetensors") for part in PARTS}
    header = Header(**{name: getattr(manifest, name) for name in Header.model_fields})
    write_release(place, Release(header, **arrays))


def keep_public_texts(place: Path = FILE) -> None:
    """Write the texts by which a device judges releases for the worlds' tasks."""
    held = {
        world: [
            [{"text": e.text, "output": e.output} for e in person.profile[:ENTRIES]]
            for person in make_world(world, SEED, others=PEOPLE, users=0).others
        ]
        for world in WORLDS
    }
    text = json.dumps(held, indent=1, ensure_ascii=False)
    write_file(place, (text + "\n").encode())
