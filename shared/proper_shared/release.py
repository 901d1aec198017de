"""A release: what a federation learnt together, as one folder that anybody may have.

    release.json             header below, and length and SHA-256 of every other file
    population.safetensors   the population LoRA
    experts.safetensors      the experts of all layers
    routers.safetensors      W_x, W_u, W_l
    embedding.safetensors    the mean embedding, where a new user starts
    merged/                  optional: the backbone with the population LoRA merged

Covered: a file that is missing, cut short or altered; tensors that are not exactly the
expected ones; a release that was made for another backbone.
Not covered: who made the release. The hashes lie in the same folder, so they find
accidents and not forgers; that takes a signature. `merged/` is compared with its hashes
and nothing more: whoever loads it has to look inside.
"""

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from proper_shared.durable import write_folder
from proper_shared.errors import ConfigError, FormatError
from proper_shared.method.config import Method
from proper_shared.privacy.budget import Budget
from proper_shared.strict_json import parse_object
from proper_shared.tensors import Arrays, Shapes, pack, unpack

FORMAT = 1  # raise it, and the literal in Manifest, when a reader would go wrong
HEADER = "release.json"
PARTS = ("population", "experts", "routers", "embedding")
MERGED = "merged"
STARTER = Path(__file__).parent / "starter"  # a release that comes with the package
MAX_HEADER_BYTES = 1 << 20
MAX_PART_BYTES = 4 << 30  # it is read at once; a 70B backbone's experts have 0.7 GB
_KINDS = "json|safetensors|model|txt|jinja"  # of a stock model; none of them is code
_FILE = re.compile(
    rf"({'|'.join(PARTS)})\.safetensors"
    rf"|{MERGED}/[A-Za-z0-9][\w.-]{{0,99}}\.({_KINDS})"
)


class BackboneId(BaseModel):
    """Which backbone a release was made for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        min_length=1, description="nano, or a folder or hub id; only a hint"
    )
    fingerprint: str = Field(
        pattern="^[0-9a-f]{64}$", description="SHA-256 over configuration and weights"
    )


class FileRecord(BaseModel):
    """What a file of a release must be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nbytes: int = Field(ge=0, alias="bytes", description="length")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256, hex")


class Header(BaseModel):
    """What a release says about itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str = Field(description="name of the task that it was trained for")
    method: Method = Field(description="shapes of all that was trained")
    personal: dict[str, JsonValue] = Field(
        description="how a device trains on top of it; read by the client alone"
    )
    backbone: BackboneId = Field(description="the frozen model below")
    seed: int = Field(ge=0, lt=2**32, description="of the run that made it")
    privacy: Budget | Literal["no differential privacy"] = Field(
        default="no differential privacy",
        description="what protects those who took part",
    )

    four_bits: Literal["branch", "merged"] = Field(
        default="branch",
        exclude_if=lambda way: way == "branch",  # programs from before refuse it
        description="how the population meets a backbone in 4 bits: beside the "
        "weights, or merged into them in bfloat16 before they are quantised",
    )

    @property
    def protection(self) -> str:
        """What protects those who took part, in one line."""
        privacy = self.privacy
        return privacy if isinstance(privacy, str) else privacy.summary()


class Manifest(Header):
    """`release.json`: the header, the version of the format, the files."""

    format: Literal[1] = Field(default=1, description="version of this format")
    files: dict[str, FileRecord] = Field(description="every other file, by name")


@dataclass(frozen=True)
class Release:
    """A release in memory; the arrays are float32, their names those of the method."""

    header: Header
    population: Arrays
    experts: Arrays
    routers: Arrays
    embedding: Arrays


T = TypeVar("T")


def split_by_part(named: Mapping[str, T]) -> dict[str, dict[str, T]]:
    """Sort what is named like a tensor of the method into the parts of a release.

    Raises:
        ValueError: a name belongs to no part, such as one of a user's own tensors.
    """
    parts: dict[str, dict[str, T]] = {part: {} for part in PARTS}
    for name, value in named.items():
        parts[_part_of(name)][name] = value
    return parts


def _part_of(name: str) -> str:
    """Return the part that holds `<layer>.<population|group>.<tensor>`."""
    if name.startswith("grouping."):
        return "embedding"
    owner, _, tensor = name.rpartition(".")
    owner = owner.rpartition(".")[2]
    match owner, tensor:
        case "population", _:
            return "population"
        case "group", "a" | "b":
            return "experts"
        case "group", "w_x" | "w_u" | "w_l":
            return "routers"
        case "users", "embedding":
            return "embedding"
    raise ValueError(f"{name} belongs to no part of a release")


def write_release(
    folder: Path, release: Release, write_merged: Callable[[Path], None] | None = None
) -> None:
    """Write `release` as `folder`, all of it or nothing; a release there is replaced.

    Args:
        folder: Where the release is to lie.
        release: What to write.
        write_merged: Writes the frozen merged model into the folder it is given.

    Raises:
        ConfigError: something that is no release stands at `folder`.
        OSError: the disk is full or not writable; nothing has changed.
    """
    if folder.exists() and not (folder / HEADER).is_file() and _has_content(folder):
        raise ConfigError(
            f"{folder} is there and is no release",
            hint="name another folder, so that nothing of yours is replaced",
        )

    def fill(empty: Path) -> None:
        for part in PARTS:
            (empty / f"{part}.safetensors").write_bytes(pack(getattr(release, part)))
        if write_merged is not None:
            (empty / MERGED).mkdir()
            write_merged(empty / MERGED)
        manifest = Manifest(files=_records(empty), **dict(release.header))
        if odd := _odd_names(manifest):
            raise ValueError(f"a release cannot hold a file {odd[0]!r}")
        text = manifest.model_dump_json(indent=2, by_alias=True)
        (empty / HEADER).write_text(text + "\n", encoding="utf-8")

    write_folder(folder, fill)


def read_manifest(folder: Path) -> Manifest:
    """Return what the release in `folder` says about itself; no tensor is read.

    Raises:
        ConfigError: there is no release.
        FormatError: `release.json` is malformed, or of another version.
    """
    path = folder / HEADER
    if not path.is_file():
        raise ConfigError(
            f"there is no release in {folder}, expected a {HEADER}",
            hint="name the folder `release` that `proper-sim run --out` wrote",
        )
    if (nbytes := path.stat().st_size) > MAX_HEADER_BYTES:
        raise FormatError(
            f"{HEADER} has {nbytes} bytes, expected at most {MAX_HEADER_BYTES}",
            hint="get the release again",
        )
    return parse_manifest(path.read_bytes())


def read_release(
    folder: Path, fingerprint: str, expected: Mapping[str, Shapes]
) -> Release:
    """Return the release in `folder`, if it is whole and fits.

    Looked at in this order: backbone, files there, lengths (no more is read than the
    expected tensors take), hashes (of the copy in memory that is used afterwards), and
    then for each tensor file what `unpack` lists. The backbone comes first, because
    with another one the shapes differ too and the message about them would hide the
    reason.

    Args:
        folder: A release folder.
        fingerprint: Of the backbone that the tensors are to be used with.
        expected: For each of PARTS, exactly the tensors it must hold.

    Raises:
        ConfigError: there is no release.
        FormatError: the release is damaged, or made for another backbone.
    """
    manifest = read_manifest(folder)
    if manifest.backbone.fingerprint != fingerprint:
        raise FormatError(
            f"the release was made for backbone {manifest.backbone.name} "
            f"({manifest.backbone.fingerprint[:12]}), got another ({fingerprint[:12]})",
            hint="name the backbone that the release was made for, such as --backbone "
            "FOLDER, or a release for yours",
        )
    largest = {part: _largest(expected[part]) for part in PARTS}
    data = verify_files(folder, manifest, largest)
    parts = {part: _unpack(data, part, expected[part]) for part in PARTS}
    header = Header(**{name: getattr(manifest, name) for name in Header.model_fields})
    return Release(header=header, **parts)


def _largest(expected: Shapes) -> int:
    """Return how many bytes a file of these float32 tensors has at most."""
    return MAX_HEADER_BYTES + 4 * sum(math.prod(shape) for shape in expected.values())


def verify_files(
    folder: Path, manifest: Manifest, largest: Mapping[str, int] | None = None
) -> dict[str, bytes]:
    """Return the tensor files of a release, after a look at all of its files.

    Args:
        folder: A release folder.
        manifest: Of that folder.
        largest: Bytes that each of PARTS may have; None where nothing is known of them.

    Raises:
        FormatError: a file is missing, is not listed, or is not the one that the
            manifest describes.
    """
    for name in manifest.files:
        if not (folder / name).is_file():
            raise _damaged(f"{name} is missing")
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    if odd := sorted(there - manifest.files.keys() - {HEADER}):
        raise _damaged(f"{odd[0]!r} is there and is not listed")
    for name, record in manifest.files.items():
        if (nbytes := (folder / name).stat().st_size) != record.nbytes:
            raise _damaged(f"{name} has {nbytes} bytes, expected {record.nbytes}")
    # The copy that is hashed is the copy that is used: nobody can swap it in between.
    most = largest or dict.fromkeys(PARTS, MAX_PART_BYTES)
    data = {part: _read_part(folder, part, manifest, most[part]) for part in PARTS}
    for name, record in manifest.files.items():
        part = name.removesuffix(".safetensors")
        held = data.get(part)
        got = (
            hashlib.sha256(held).hexdigest()
            if held is not None
            else _hash(folder / name)
        )
        if got != record.sha256:
            raise _damaged(
                f"{name} has SHA-256 {got[:12]}, expected {record.sha256[:12]}"
            )
    return data


def _read_part(folder: Path, part: str, manifest: Manifest, most: int) -> bytes:
    """Read no more than the manifest allows, and it no more than `most`."""
    name = f"{part}.safetensors"
    if (nbytes := manifest.files[name].nbytes) > most:
        raise _damaged(f"{name} has {nbytes} bytes, expected at most {most}")
    with (folder / name).open("rb") as file:
        return file.read(nbytes)


def _unpack(data: Mapping[str, bytes], part: str, expected: Shapes) -> Arrays:
    try:
        return unpack(data[part], f"{part}.safetensors", expected)
    except FormatError as error:
        raise _damaged(str(error)) from error


def parse_manifest(data: bytes) -> Manifest:
    """Return the manifest that `data` spells.

    Looked at in this order: form, version, fields, names of files.

    Raises:
        FormatError: one of them is wrong.
    """
    value = parse_object(data, HEADER)
    if (version := value.get("format")) != FORMAT or isinstance(version, bool):
        raise FormatError(
            f"{HEADER} has format {version!r}, expected {FORMAT}",
            hint="the release may be newer than this program: update, or get another",
        )
    try:
        manifest = Manifest.model_validate_json(data, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise _damaged(f"{HEADER}: {place}: {first['msg'].lower()}") from None
    if odd := _odd_names(manifest):
        raise _damaged(f"{HEADER} names a file {odd[0]!r} that no release has")
    if missing := {f"{part}.safetensors" for part in PARTS} - manifest.files.keys():
        raise _damaged(f"{HEADER} does not list {min(missing)}")
    return manifest


def _odd_names(manifest: Manifest) -> list[str]:
    """Return the names that could lead out of the folder, or that nobody expects."""
    return [name for name in manifest.files if not is_file_name(name)]


def is_file_name(name: str) -> bool:
    """Tell whether a release may list a file of this name; no other can be written."""
    return _FILE.fullmatch(name) is not None


def digest_of(folder: Path) -> str:
    """Return the SHA-256 (hex) of the manifest, which names every file by its hash.

    Raises:
        ConfigError: there is no release.
    """
    read_manifest(folder)
    return _hash(folder / HEADER)


def _damaged(message: str) -> FormatError:
    return FormatError(message, hint="the release is damaged: get it again")


def _records(folder: Path) -> dict[str, FileRecord]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): FileRecord(
            bytes=path.stat().st_size, sha256=_hash(path)
        )
        for path in files
    }


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _has_content(folder: Path) -> bool:
    return not folder.is_dir() or any(folder.iterdir())
