"""The memory that an estimate says, against what a training took.

Each case trains the user LoRA for two steps in a process of its own, in the memory that
`proper_client.footprint` plans with: on nano, and on a random Llama of a hundred
million parameters, by batch, slices of rows, checkpointing and precision. Compared is
the largest resident memory of the process (`VmHWM` of Linux), so what Python and the
libraries take is in it.

Not covered: a GPU, whose largest allocation torch tells; reading the backbone's files,
whose pages the system takes back when somebody needs them.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from transformers import AutoConfig, LlamaConfig, LlamaForCausalLM, PretrainedConfig

from proper_client.answer import Answerer
from proper_client.footprint import Bits, Share, Where, Work, footprint, shape_of
from proper_shared.allocator import keep_freed_memory
from proper_shared.backbone import NANO, load_backbone
from proper_shared.encoding import Encoder, Example
from proper_shared.errors import ConfigError
from proper_shared.method.cohort import train_cohort
from proper_shared.method.config import Method, Recipe
from proper_shared.method.job import Job, Limits
from proper_shared.method.stages import STAGES, AdaptedModel
from proper_shared.quantised import quantise
from proper_shared.tasks import get_task
from proper_simulations.bench.measure import circumstances
from proper_simulations.report.terminal import aligned

_STATUS = Path("/proc/self/status")
_CHILD = "from proper_simulations.bench.memory import child; child()"
LARGE = LlamaConfig(
    hidden_size=768,
    intermediate_size=2048,
    num_hidden_layers=12,
    num_attention_heads=12,
    num_key_value_heads=12,
    vocab_size=32_000,
    tie_word_embeddings=True,
    pad_token_id=0,
)


@dataclass(frozen=True)
class Case:
    """One training.

    Attributes:
        model: nano, or a random Llama of 110M parameters.
        bits: of a weight.
        batch: rows in a step.
        tokens: in a row.
        rows: of a step that are computed at once.
        checkpointing: blocks are computed twice.
    """

    model: str
    bits: Bits
    batch: int
    tokens: int
    rows: int
    checkpointing: bool = False

    @property
    def config(self) -> PretrainedConfig:
        """Of the model."""
        if self.model != "nano":
            return LARGE
        found: PretrainedConfig = AutoConfig.from_pretrained(NANO)
        return found

    @property
    def estimate(self) -> int:
        """Bytes that are said to be needed."""
        work = Work(tokens=self.tokens, answer=4, batch=self.batch, asked=self.rows)
        share = Share(self.rows, self.rows, self.checkpointing)
        where = Where("cpu", self.bits)
        return footprint(shape_of(self.config), Method(), work, share, where).total


CASES = (
    Case("nano", 32, batch=8, tokens=64, rows=8),
    Case("nano", 32, batch=64, tokens=256, rows=64),
    Case("110M", 32, batch=8, tokens=128, rows=8),
    Case("110M", 32, batch=8, tokens=128, rows=2),
    Case("110M", 32, batch=8, tokens=128, rows=8, checkpointing=True),
    Case("110M", 16, batch=8, tokens=128, rows=8),
    Case("110M", 4, batch=8, tokens=128, rows=8),
)


def memory(
    cases: Sequence[Case] = CASES, *, show: Callable[[str], None] = print
) -> dict[str, object]:
    """Measure each case in a process of its own.

    Args:
        cases: what is trained.
        show: told about each case as it is done.

    Raises:
        ConfigError: this system does not tell what a process takes.
    """
    if not _STATUS.is_file():
        raise ConfigError(
            "this system has no /proc/self/status, expected Linux",
            hint="measure in a container or on another machine",
        )
    rows = []
    for case in cases:
        said = json.dumps(asdict(case))
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, "-c", _CHILD, said], check=True, capture_output=True
        )
        peak = int(done.stdout.split()[-1])
        ratio = case.estimate / peak
        rows.append(
            {**asdict(case), "estimate": case.estimate, "peak": peak, "ratio": ratio}
        )
        show(f"{case.model}: {peak / 1e9:.2f} GB, estimate {ratio:.2f} of it")
    command = "proper-sim bench memory --json"
    return {"command": command, **circumstances(0), "rows": rows}


def child() -> None:
    """Train the case in the last argument, and print the bytes that it took."""
    case = Case(**json.loads(sys.argv[-1]))
    keep_freed_memory()  # as `train` does
    adapted = _adapted(case)
    examples = _examples(case)
    adapted.users.use(*STAGES["user"].uses)
    job = Job(
        stage="user",
        examples=[examples],
        generators=[torch.Generator().manual_seed(0)],
        recipe=Recipe(learning_rate=1e-3, steps=2, batch=case.batch),
        padding=0,
        limits=Limits(case.rows, case.checkpointing),
    )
    train_cohort(adapted, job)
    encoder = Encoder(load_backbone().tokenizer, get_task("tagging"))
    Answerer(adapted, encoder, case.rows).losses([examples])
    sys.stdout.write(f"{_peak()}\n")


def _adapted(case: Case) -> AdaptedModel:
    """Return a model with a population merged, experts and a user LoRA."""
    if case.model == "nano":
        model = load_backbone(bits=case.bits).model
    else:
        torch.manual_seed(0)
        dtype = torch.float32 if case.bits == 32 else torch.bfloat16
        model = LlamaForCausalLM._from_config(  # type: ignore[no-untyped-call] # noqa: SLF001
            LARGE, dtype=dtype
        )
        if case.bits == 4:
            quantise(model, "cpu")
    adapted = AdaptedModel(model, Method())
    adapted.add("population")
    adapted.add("group")
    adapted.add("user")
    adapted.merge_population(keep=False)
    return adapted


def _examples(case: Case) -> list[Example]:
    generator = torch.Generator().manual_seed(0)
    size = (case.batch, case.tokens)
    ids = torch.randint(3, case.config.vocab_size, size, generator=generator)
    return [Example(tuple(row[:-4]), tuple(row[-4:])) for row in ids.tolist()]


def _peak() -> int:
    """Return the most bytes that this process has had in memory."""
    for line in _STATUS.read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise ConfigError("the system does not tell what this process took")


def as_lines(found: dict[str, object]) -> str:
    """Return the result as a table."""
    head = ["model", "bits", "batch", "tokens", "rows", "twice"]
    lines = [[*head, "estimate GB", "peak GB", "ratio"]]
    rows: list[dict[str, float]] = found["rows"]  # type: ignore[assignment]
    for row in rows:
        cells = [str(row[key]) for key in ("model", "bits", "batch", "tokens", "rows")]
        cells.append("yes" if row["checkpointing"] else "no")
        sizes = [f"{row[key] / 1e9:.2f}" for key in ("estimate", "peak")]
        lines.append([*cells, *sizes, f"{row['ratio']:.2f}"])
    return aligned(lines)
