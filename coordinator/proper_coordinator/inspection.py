"""Look into a release: what it holds, and whether it is whole.

Covered: all files there, with the lengths and hashes of its own manifest; tensor files
in strict form, float32 and finite.
Not covered: whether the tensors fit a backbone; that shows when a client opens it. Nor
who made the release: it is not signed.
"""

from pathlib import Path

from proper_shared.friendly import one_line
from proper_shared.release import PARTS, Manifest, read_manifest, verify_files
from proper_shared.tensors import unpack


def describe(folder: Path) -> list[str]:
    """Return lines about the release in `folder`, after all checks have passed.

    Raises:
        ConfigError: there is no release.
        FormatError: it is damaged.
    """
    manifest = read_manifest(folder)
    data = verify_files(folder, manifest)
    lines = _head(manifest)
    for part in PARTS:
        arrays = unpack(data[part], f"{part}.safetensors")
        numbers = sum(array.size for array in arrays.values())
        lines.append(f"{part:<11} {len(arrays):>5} tensors {numbers:>13,} numbers")
    nbytes = sum(record.nbytes for record in manifest.files.values())
    lines.append(f"verified    {len(manifest.files):>5} files   {nbytes:>13,} bytes")
    return lines


def _head(manifest: Manifest) -> list[str]:
    method, backbone = manifest.method, manifest.backbone
    routing = f"routed by {method.user_router}, then {method.lora_router}"
    embedding = f"embedding of {method.embedding_size} numbers"
    return [
        f"task        {one_line(manifest.task)}",
        f"backbone    {one_line(backbone.name)} ({backbone.fingerprint[:12]})",
        f"experts     {method.experts} of rank {method.group.rank} a layer, {routing}",
        f"user        LoRA of rank {method.user.rank}, {embedding}",
        f"seed        {manifest.seed}",
        f"privacy     {manifest.protection}",
    ]
