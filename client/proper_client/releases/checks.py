"""What is looked at before any received tensor is used, in this order.

Each check is a function of its own that returns nothing and raises; `CHECKS` is the
order. A check uses only what those before it have let pass, so nothing is parsed before
its length is known, and no more memory is taken than the own backbone's tensors need.

Covered: everything below, each refused by name.
Not covered: a well-formed release with a back door that no public text shows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from proper_client.releases.download import Download
from proper_client.releases.norms import check_norms
from proper_client.releases.refusal import KEPT, Refused
from proper_client.releases.source import Source
from proper_client.releases.trust import Listing, Trust
from proper_shared import tensors
from proper_shared.errors import FormatError
from proper_shared.invitations import Invitation
from proper_shared.packing import Shapes
from proper_shared.release import (
    HEADER,
    MAX_HEADER_BYTES,
    MAX_PART_BYTES,
    PARTS,
    Header,
    Manifest,
    is_file_name,
    parse_manifest,
)
from proper_shared.roles import check_roles
from proper_shared.secagg.membership import Log
from proper_shared.strict_json import parse_object
from proper_shared.tasks import TASKS
from proper_shared.tensors import Arrays

# Nats a token: how much worse than the backbone alone a release may be. Texts are of
# other people than those who trained it: the starter costs them 0.2 more, a population
# turned round 7.7, experts of noise 4.2.
BAND = 2.0
MAX_FILES = 64
MAX_BYTES = 1 << 40  # of all files together
FILES = tuple(f"{part}.safetensors" for part in PARTS)
UNNAMED = "log           the membership log that was seen names no such version yet"
NO_BETTER = (
    "canary        public texts cost {loss:.3f} nats a token, {bare:.3f} over the bare "
    "backbone: it was made for other people, or is of little use"
)
NO_TEXTS = "canary: there are no public texts for {task}; --texts FILE names some"


class Own(Protocol):
    """The device's own backbone; see `Ground`."""

    fingerprint: str

    @property
    def expected(self) -> Mapping[str, Shapes]:
        """Exactly the tensors that each part holds."""
        ...

    @property
    def sizes(self) -> Mapping[str, float]:
        """The Frobenius norm of each layer's own weights."""
        ...

    def canary(self, values: Arrays) -> tuple[float, float] | None:
        """Return what public texts cost under a release and without."""
        ...


@dataclass
class Candidate:
    """A release on its way in, and what the checks so far know of it.

    Attributes:
        source: where it comes from.
        trust: who may sign.
        incoming: private folder for its files.
        own: gives the own backbone, as a release with this manifest needs it.
        invitation: to the federation that the device is in, if any.
        log: of that federation, if the device saw it.
        progress: told how far a download is.
        notes: what the person should know.
    """

    source: Source
    trust: Trust
    incoming: Path
    own: Callable[[Manifest], Own]
    invitation: Invitation | None = None
    log: Log | None = None
    progress: Callable[[str, int, int], None] = lambda *_: None
    notes: list[str] = field(default_factory=list)
    listing: Listing = field(init=False)
    manifest: Manifest = field(init=False)
    ground: Own = field(init=False)
    headers: dict[str, tensors.Header] = field(default_factory=dict)
    arrays: dict[str, Arrays] = field(default_factory=dict)

    def path(self, name: str) -> Path:
        """Return where the private copy of a file lies."""
        return self.incoming / self.listing.files[name].sha256

    def start(self, name: str) -> bytes:
        """Return enough of a private copy to hold any header that may be."""
        with self.path(name).open("rb") as file:
            return file.read(tensors.MAX_HEADER_BYTES + 8)


def signature(it: Candidate) -> None:
    """The list of files is the newest, signed by both kinds of keys."""
    it.listing = it.trust.refresh(it.source)


def roles(it: Candidate) -> None:
    """No role can be signed for by less than it should."""
    check_roles(it.listing.root)


def files(it: Candidate) -> None:
    """Only files that a release has are listed, and all that it must have."""
    listed = it.listing.files
    if len(listed) > MAX_FILES:
        raise FormatError(f"got {len(listed)} files, expected {MAX_FILES} at most")
    if odd := sorted(n for n in listed if n != HEADER and not is_file_name(n)):
        raise FormatError(f"got a file {odd[0]!r} that no release has")
    if missing := sorted({HEADER, *FILES} - listed.keys()):
        raise FormatError(f"the list lacks {missing[0]}")


def same_for_all(it: Candidate) -> None:
    """It is the release that the federation's log names for everybody.

    A version that is newer than all in the log is taken, and it is said: a device sees
    the log in rounds alone. `doctor` looks again later.
    """
    if it.log is None:
        return
    got = it.listing.files[HEADER].sha256
    if not agrees(it.log, it.listing.version, got):
        it.notes.append(UNNAMED)


def agrees(log: Log, version: int, digest: str) -> bool:
    """Tell whether a log names a release; False where it does not reach so far.

    Raises:
        FormatError: it names another one, or only later ones.
    """
    named = log.releases.get(version)
    if named is not None and named != digest:
        raise FormatError(
            f"got {digest[:16]} as version {version}, the membership log names "
            f"{named[:16]}: somebody is shown another release than the others"
        )
    if named is None and version < max(log.releases, default=0):
        raise FormatError(
            f"got version {version}, which the membership log does not name, though "
            f"it names version {max(log.releases)}"
        )
    return named is not None


def sizes(it: Candidate) -> None:
    """No file is longer than any that we would use."""
    listed = it.listing.files
    most = {HEADER: MAX_HEADER_BYTES, **dict.fromkeys(FILES, MAX_PART_BYTES)}
    for name, limit in most.items():
        if (nbytes := listed[name].nbytes) > limit:
            raise FormatError(f"{name} has {nbytes} bytes, expected at most {limit}")
    if (total := sum(record.nbytes for record in listed.values())) > MAX_BYTES:
        raise FormatError(f"all files have {total} bytes, expected {MAX_BYTES} at most")


def length(it: Candidate) -> None:
    """Exactly as many bytes come as were signed."""
    for name, record in it.listing.files.items():
        Download(it.source, it.incoming, it.progress).fetch(name, record)


def sha256(it: Candidate) -> None:
    """The private copy is the file that was signed."""
    for name, record in it.listing.files.items():
        Download(it.source, it.incoming, it.progress).verify(name, record)


def header_length(it: Candidate) -> None:
    """No header takes seconds and gigabytes to parse."""
    for name in FILES:
        tensors.check_header_length(it.start(name), name)


def strict_json(it: Candidate) -> None:
    """Every reader understands the headers alike."""
    parse_object(it.path(HEADER).read_bytes(), HEADER)
    for name in FILES:
        data = it.start(name)
        end = tensors.check_header_length(data, name)
        parse_object(data[8:end], f"the header of {name}")


def manifest(it: Candidate) -> None:
    """The release says what it is in the fields that we know."""
    it.manifest = parse_manifest(it.path(HEADER).read_bytes())


def same_files(it: Candidate) -> None:
    """The release names the files that were signed, and no others."""
    listed = {n: r for n, r in it.listing.files.items() if n != HEADER}
    if listed != it.manifest.files:
        odd = {n for n, _ in listed.items() ^ it.manifest.files.items()}
        raise FormatError(f"{HEADER} and the signed list differ in {min(odd)}")


def purpose(it: Candidate) -> None:
    """It is for a task that we know, and for the own federation if there is one."""
    if it.manifest.task not in TASKS:
        raise FormatError("it is for a task that this program does not know")
    asked = it.invitation
    if asked is None:
        return
    if (it.manifest.task, it.manifest.method) != (asked.task, asked.method):
        raise FormatError(
            f"it is for {it.manifest.task} and shapes of its own, "
            f"expected {asked.task} and those of the invitation"
        )


def recipe(it: Candidate) -> None:
    """It asks a device for no more work than is reasonable."""
    from proper_client.assistant import recipe_of  # noqa: PLC0415 - torch is slow

    known = {name: getattr(it.manifest, name) for name in Header.model_fields}
    recipe_of(Header(**known))


def names(it: Candidate) -> None:
    """Tensor names are short and printable, and each entry is complete."""
    it.headers = {name: tensors.read_header(it.start(name), name) for name in FILES}


def expected(it: Candidate) -> None:
    """Exactly the tensors that our own backbone and rank need."""
    it.ground = it.own(it.manifest)
    for part, name in zip(PARTS, FILES, strict=True):
        tensors.check_names(it.headers[name], name, it.ground.expected[part])


def shapes(it: Candidate) -> None:
    """Each in its own shape."""
    for part, name in zip(PARTS, FILES, strict=True):
        tensors.check_shapes(it.headers[name], name, it.ground.expected[part])


def dtypes(it: Candidate) -> None:
    """Each in float32."""
    for name, header in it.headers.items():
        tensors.check_dtypes(header, name)


def sum_of_bytes(it: Candidate) -> None:
    """The tensors fill the file: no hole, no overlap, nothing behind."""
    for name, header in it.headers.items():
        tensors.check_layout(header, name, it.path(name).stat().st_size)


def finite(it: Candidate) -> None:
    """No NaN and no infinity; here tensors are read for the first time."""
    for part, name in zip(PARTS, FILES, strict=True):
        data = it.path(name).read_bytes()
        it.arrays[part] = tensors.arrays_of(data, it.headers[name])
        tensors.check_finite(it.arrays[part], name)


def norms(it: Candidate) -> None:
    """No tensor is so large that honest training could not have made it."""
    check_norms(it.arrays, it.manifest.method, it.ground.sizes)


def base_model(it: Candidate) -> None:
    """It was made for the backbone that we have."""
    made = it.manifest.backbone
    if made.fingerprint != it.ground.fingerprint:
        raise FormatError(
            f"it was made for the backbone {made.name} ({made.fingerprint[:12]}), "
            f"ours is {it.ground.fingerprint[:12]}"
        )


def canary(it: Candidate) -> None:
    """Public texts cost no more with it than without, but for a band."""
    values = {
        name: array
        for arrays in it.arrays.values()
        for name, array in arrays.items()
        if not name.startswith("grouping.")
    }
    measured = it.ground.canary(values)
    if measured is None:
        it.notes.append(NO_TEXTS.format(task=it.manifest.task))
        return
    loss, bare = measured
    if not loss <= bare + BAND:  # not: NaN is refused too
        raise FormatError(
            f"public texts cost {loss:.3f} nats a token, expected at most "
            f"{bare + BAND:.3f}, which is {BAND:g} over the backbone alone"
        )
    if loss >= bare:
        it.notes.append(NO_BETTER.format(loss=loss, bare=bare))


Check = Callable[[Candidate], None]
CHECKS: tuple[Check, ...] = (
    signature,
    roles,
    files,
    same_for_all,
    sizes,
    length,
    sha256,
    header_length,
    strict_json,
    manifest,
    same_files,
    purpose,
    recipe,
    names,
    expected,
    shapes,
    dtypes,
    sum_of_bytes,
    finite,
    norms,
    base_model,
    canary,
)


def run(it: Candidate) -> None:
    """Run all checks in their order.

    Raises:
        DataError: the source cannot be reached.
        Refused: one of the checks, which it names, does not pass.
    """
    for check in CHECKS:
        try:
            check(it)
        except Refused:
            raise
        except FormatError as error:
            name = check.__name__.replace("_", "-")
            raise Refused(name, str(error), hint=_hint(it)) from error


def _hint(it: Candidate) -> str:
    """Say what to do; with another backbone nothing fits, and that is the reason."""
    if hasattr(it, "ground"):
        made = it.manifest.backbone
        if made.fingerprint != it.ground.fingerprint:
            return (
                f"the release was made for the backbone {made.name}: name it with "
                f"--backbone FOLDER, or ask for a release for yours; {KEPT}"
            )
    return KEPT
