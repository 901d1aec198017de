"""How much memory a personal model takes, from shapes alone: before the work.

Counted are the tensors that a step holds at its fullest: weights, the population's part
in them, adapters, what the optimiser keeps of them, what each block keeps for the way
back, the widest of what comes and goes, logits, and keys and values while a text is
written. `proper-sim bench memory` compares the sum with what a process took.

Not covered: backbones that are not of Llama's kind (a mixture of experts is larger);
what the system caches of the files, which it gives back when somebody needs it.

Letters: h hidden size, f width of the feed-forward part, a width of the queries, k of
the keys, L blocks, V vocabulary, B rows at once, T tokens in a row, K of an answer.
"""

from dataclasses import dataclass, replace
from typing import Literal, Protocol

from proper_shared.method.config import ATTENTION, Lora, Method

Bits = Literal[4, 16, 32]
FLOAT = 4  # bytes; adapters are kept in full precision whatever the weights are
WEIGHT_NBYTES = {32: 4.0, 16: 2.0, 4: 0.5 + 4 / 64}  # NF4: a scale for 64 weights
PROGRAM = {"cpu": 430 << 20, "cuda": 420 << 20}  # libraries; the context of a GPU
HEAP = {"cpu": 1.4, "cuda": 1.15}  # of what comes and goes: gaps between blocks
FEW = 16  # rows; more are hardly faster
DOUBLES = 3  # of one weight, while a population is merged


class _Config(Protocol):
    """What a configuration of transformers says of a decoder."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    vocab_size: int


@dataclass(frozen=True)
class Shape:
    """Of a decoder: the letters above.

    Attributes:
        tied: the embedding makes the logits too.
        stored: bits of a weight in the files.
    """

    hidden: int
    wide: int
    queries: int
    keys: int
    blocks: int
    vocabulary: int
    tied: bool = True
    stored: Literal[16, 32] = 32

    @property
    def attention(self) -> int:
        """Weights of q, k, v and o in all blocks."""
        return self.blocks * 2 * self.hidden * (self.queries + self.keys)

    @property
    def linear(self) -> int:
        """Weights that 4 bits make smaller."""
        return self.attention + self.blocks * 3 * self.hidden * self.wide

    @property
    def other(self) -> int:
        """All other weights: embedding, head, norms."""
        tables = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return tables + (2 * self.blocks + 1) * self.hidden

    def sizes(self, lora: Lora) -> list[tuple[int, int]]:
        """Return (d_in, d_out) of the layers in a block that `lora` stands beside."""
        h, f = self.hidden, self.wide
        known = {
            "q_proj": (h, self.queries),
            "k_proj": (h, self.keys),
            "v_proj": (h, self.keys),
            "o_proj": (self.queries, h),
            "gate_proj": (h, f),
            "up_proj": (h, f),
            "down_proj": (f, h),
        }
        return [known[target] for target in lora.targets]


def shape_of(config: object) -> Shape:
    """Return the shape that a configuration of transformers describes."""
    text = config.get_text_config()  # type: ignore[attr-defined]
    known: _Config = text
    heads = known.num_attention_heads
    head = getattr(text, "head_dim", None) or known.hidden_size // heads
    stored = str(getattr(text, "dtype", None) or "float32").removeprefix("torch.")
    return Shape(
        known.hidden_size,
        getattr(text, "intermediate_size", None) or 4 * known.hidden_size,
        heads * head,
        (getattr(text, "num_key_value_heads", None) or heads) * head,
        known.num_hidden_layers,
        known.vocab_size,
        tied=bool(getattr(text, "tie_word_embeddings", False)),
        stored=32 if stored == "float32" else 16,
    )


@dataclass(frozen=True)
class Work:
    """What is to be computed.

    Attributes:
        tokens: of the longest row, T.
        answer: of the longest answer, K.
        batch: rows in a step of training; 0 where nothing is trained.
        written: tokens that are written behind a row, at most.
        asked: rows that are answered at once, at most.
    """

    tokens: int
    answer: int
    batch: int = 0
    written: int = 0
    asked: int = 1


@dataclass(frozen=True)
class Share:
    """How much of the work is in memory at once.

    Attributes:
        rows: of a step.
        asked: answered at once.
        checkpointing: blocks are computed again on the way back.
    """

    rows: int
    asked: int
    checkpointing: bool = False


@dataclass(frozen=True)
class Where:
    """Where the weights lie, and in how many bits."""

    device: Literal["cpu", "cuda"]
    bits: Bits


@dataclass(frozen=True)
class Footprint:
    """Bytes, by what they are for; `passing`: of training or answering, the larger."""

    program: int
    weights: int
    adapters: int
    optimiser: int
    passing: int

    @property
    def total(self) -> int:
        """All of it."""
        known = self.program + self.weights + self.adapters
        return known + self.optimiser + self.passing


def footprint(
    shape: Shape, method: Method, work: Work, share: Share, where: Where
) -> Footprint:
    """Return what the work takes at its fullest."""
    bits = where.bits
    weights = shape.linear * WEIGHT_NBYTES[bits]
    weights += shape.other * WEIGHT_NBYTES[max(bits, 16)]
    population = shape.blocks * _numbers(shape, method.population, 1)
    if bits == 4:  # stays beside the weights
        kept, merging = population * FLOAT, 0
    else:
        attended = {*ATTENTION} & {*method.population.targets}
        plain = shape.attention * len(attended) / 4 * WEIGHT_NBYTES[bits]
        kept = 0 if work.batch else int(plain)  # to go back to where nothing is learnt
        largest = max(i * o for i, o in shape.sizes(method.population))
        merging = DOUBLES * 8 * largest
    group = shape.blocks * _numbers(shape, method.group, method.experts)
    group += shape.blocks * sum(
        method.experts * (i + o + method.embedding_size)
        for i, o in shape.sizes(method.group)
    )
    user = shape.blocks * _numbers(shape, method.user, 1)
    training = _kept(shape, method, work, share, bits) if work.batch else 0
    passing = max(training, _answering(shape, work, share, bits), merging)
    return Footprint(
        PROGRAM[where.device],
        round(weights) + kept,
        (group + 2 * user) * FLOAT,  # a fresh copy of the user's own is kept
        5 * user * FLOAT if work.batch else 0,  # gradients, two moments, two in flight
        round(passing * HEAP[where.device]),
    )


def whole(work: Work) -> Share:
    """Return the share of somebody who has memory for everything."""
    return Share(max(1, work.batch), work.asked)


def smaller(share: Share) -> Share | None:
    """Return the next smaller share: fewer answers, fewer rows, computing twice."""
    if share.asked > FEW:  # asking fewer at once costs nothing
        return replace(share, asked=share.asked // 2)
    if share.rows > 1:
        return replace(share, rows=-(-share.rows // 2))
    if share.asked > 1:
        return replace(share, asked=share.asked // 2)
    return None if share.checkpointing else replace(share, checkpointing=True)


def _numbers(shape: Shape, lora: Lora, count: int) -> int:
    return count * lora.rank * sum(i + o for i, o in shape.sizes(lora))


def _block(shape: Shape, method: Method, bits: Bits) -> int:
    """Return bytes that one block keeps for one token on the way back.

    The norms keep what they read, the attention queries, keys, values and its result,
    the activation three times its width. An adapter that is trained keeps what it
    reads, before and behind the dropout; one that is frozen the mask of its dropout.
    """
    one = FLOAT if bits == 32 else 2
    plain = 4 * shape.hidden + 4 * shape.queries + 3 * shape.wide
    adapted = sum(2 * i for i, _ in shape.sizes(method.user))
    adapted += sum(i for i, _ in shape.sizes(method.group))
    return plain * one + adapted * FLOAT


def _kept(shape: Shape, method: Method, work: Work, share: Share, bits: Bits) -> int:
    """Return bytes of a step of training between its way there and back."""
    tokens = share.rows * work.tokens
    block = _block(shape, method, bits) * tokens
    one = FLOAT if bits == 32 else 2
    if share.checkpointing:
        kept = shape.blocks * shape.hidden * one * tokens + block
    else:
        kept = shape.blocks * block
    logits = 4 * share.rows * (work.answer + 1) * shape.vocabulary * FLOAT
    return kept + logits + _passing(shape, tokens, bits)


def _answering(shape: Shape, work: Work, share: Share, bits: Bits) -> int:
    """Return bytes of answers, or of entries that are read, at their fullest."""
    one = FLOAT if bits == 32 else 2
    columns = 2 if work.written else work.answer + 1
    logits = 3 * share.asked * columns * shape.vocabulary * FLOAT
    cached = 2 * shape.blocks * shape.keys * one * share.asked
    cached *= work.tokens + work.written if work.written else 0
    return _passing(shape, share.asked * work.tokens, bits) + logits + cached


def _passing(shape: Shape, tokens: int, bits: Bits) -> int:
    """Return bytes that come and go within one block; in 4 bits a weight as well."""
    one = FLOAT if bits == 32 else 2
    widest = max(shape.wide, shape.queries)
    loose = tokens * (2 * shape.hidden * one + 3 * widest * FLOAT)
    return loose + (2 * shape.hidden * shape.wide if bits == 4 else 0)
