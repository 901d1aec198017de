"""Open a release on a device: backbone, population and group, checked and loaded.

A release names its backbone, but the fingerprint decides. A name that is no folder on
this machine is looked up on the hub, so opening a release can use the network; `nano`
and local folders never do. A release made over somebody's folder gives the folder's
name alone, which no hub is asked for: the person has to say where the folder lies.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from proper_client.standing import Base
from proper_shared.backbone import Backbone, load_backbone, local_folder, public_name
from proper_shared.blank import blank_release, digest_of_blank
from proper_shared.encoding import Encoder
from proper_shared.errors import ModelError
from proper_shared.grouping import READING, Sizes
from proper_shared.method.stages import EMBEDDING, AdaptedModel
from proper_shared.packing import Arrays, Shapes
from proper_shared.parts import widths_of
from proper_shared.release import (
    PARTS,
    BackboneId,
    Header,
    Release,
    digest_of,
    read_manifest,
    read_release,
    split_by_part,
)
from proper_shared.tasks import get_task

UNREAD = "0" * 64  # in the place of a fingerprint


@dataclass(frozen=True)
class Opened:
    """A release, ready to be personalised.

    Attributes:
        adapted: population merged, group loaded, the mean embedding in its seat.
        encoder: of the release's task and the backbone's tokenizer.
        reading: the arrays that tell where a user lies.
        header: what the release says about itself.
        digest: SHA-256 (hex) of its manifest, or of what a blank one follows from.
    """

    adapted: AdaptedModel
    encoder: Encoder
    reading: Arrays
    header: Header
    digest: str


def open_release(base: Base, backbone: str | None = None) -> Opened:
    """Load a release over its backbone.

    Args:
        base: A release folder, or a blank release.
        backbone: `nano`, a folder or a hub id; None for the one that the release names.

    Raises:
        ConfigError: there is no release.
        FormatError: the release is damaged, or was made for another backbone.
        ModelError: the backbone is not there or does not fit.
    """
    said = _said(base, backbone)
    loaded = _load(backbone, said.backbone.name)
    adapted = AdaptedModel(loaded.model, said.method, said.seed)
    release, digest = _read(base, loaded, expected_of(adapted))
    adapted.add("population")
    adapted.add("group")
    for part in PARTS:
        arrays = getattr(release, part)
        tensors = {n: a for n, a in arrays.items() if n not in READING}
        adapted.load({n: torch.from_numpy(a)[None] for n, a in tensors.items()})
    reading = {name: release.embedding[name] for name in READING}
    adapted.merge_population()
    encoder = Encoder(loaded.tokenizer, get_task(said.task))
    return Opened(adapted, encoder, reading, release.header, digest)


def _said(base: Base, backbone: str | None) -> Header:
    """Return what a release says about itself, before any weight is read."""
    if isinstance(base, Path):
        return read_manifest(base)
    return base.header(BackboneId(name=backbone or "nano", fingerprint=UNREAD))


def _read(
    base: Base, loaded: Backbone, expected: Mapping[str, Shapes]
) -> tuple[Release, str]:
    """Return a release that fits a backbone, and its digest."""
    if isinstance(base, Path):
        return read_release(base, loaded.fingerprint, expected), digest_of(base)
    own = BackboneId(name=public_name(loaded.name), fingerprint=loaded.fingerprint)
    header = base.header(own)
    return blank_release(header, expected), digest_of_blank(header)


def expected_of(adapted: AdaptedModel) -> dict[str, Shapes]:
    """Return what a release over this backbone holds, by part; no memory is taken."""
    method = adapted.method
    shapes = {**adapted.shapes("population"), **adapted.shapes("group")}
    shapes[EMBEDDING] = (method.embedding_size,)
    shapes |= Sizes(*widths_of(adapted.model), method.experts).reading()
    return {**split_by_part(shapes)}


def _load(chosen: str | None, named: str) -> Backbone:
    """Load the backbone that the person chose, or else the one that is named."""
    is_folder = chosen is None and named != "nano" and "/" not in named
    if is_folder and local_folder(named) is None:
        raise ModelError(
            f"the release was made over the model folder {named}, which is not here",
            hint="say where the folder lies: --backbone FOLDER",
        )
    return load_backbone(chosen or named)
