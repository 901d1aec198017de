"""Texts that anybody may see, by which a device judges a release.

They are of people of the synthetic worlds; `proper_simulations.starter` wrote them.
"""

import json
from pathlib import Path

from proper_shared.history import Entry, User

FILE = Path(__file__).with_name("public_texts.json")


def public_people(task: str) -> list[User]:
    """Return the people whose texts are for a task; none where there are no texts."""
    held = json.loads(FILE.read_text(encoding="utf-8"))
    return [
        User(
            f"public-{number}",
            tuple(
                Entry(str(place), entry["text"], entry["output"])
                for place, entry in enumerate(entries)
            ),
        )
        for number, entries in enumerate(held.get(task, []))
    ]
