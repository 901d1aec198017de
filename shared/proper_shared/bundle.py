"""The app bundle of our runs: Flower asks for one, and ours holds no code at all.

A run in Flower cannot be without a bundle. Both sides know the bytes of this one, so a
device can tell a run of ours from one that would like to bring code along.
"""

import hashlib
import io
import zipfile

_NO_CODE = b"""[project]
name = "proper"
version = "1.0.0"
description = "Holds no code: what runs is what is installed."
license = "Apache-2.0"
dependencies = []

[tool.flwr.app]
publisher = "proper"

[tool.flwr.app.components]
serverapp = "none:app"
clientapp = "none:app"
"""


def _zipped() -> bytes:
    """Return the bundle, the same bytes on every machine: stored, without a date."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        place = zipfile.ZipInfo("pyproject.toml")
        place.create_system = 3  # else it tells one operating system from another
        archive.writestr(place, _NO_CODE)
    return written.getvalue()


EMPTY_BUNDLE = _zipped()
EMPTY_BUNDLE_SHA256 = hashlib.sha256(EMPTY_BUNDLE).hexdigest()
