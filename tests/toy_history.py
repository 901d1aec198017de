"""A history of as many entries as one likes, each at its day, and its file."""

import json

NOW = "2026-01-31T12:00:00+00:00"
WORDS = ("ship", "harbor", "chef", "letter", "garden", "storm", "robot", "queen")


def entries(count, first=0):
    return [
        {
            "text": f"the {WORDS[n % 8]} and the {WORDS[n // 8]}",
            "output": ("comedy", "drama")[n % 2],
            "date": f"2026-01-{n + 1:02}",
        }
        for n in range(first, count)
    ]


def written(path, *some):
    path.write_text(json.dumps({"task": "tagging", "entries": list(*some)}))
    return path
