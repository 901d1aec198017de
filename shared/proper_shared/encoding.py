"""Entries as token ids, and token ids as batches of many users.

Rows are padded on the left, so that all targets end in the last column: a model then
needs to compute logits for a few columns only, whatever its architecture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import overload

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from proper_shared.errors import DataError, ModelError
from proper_shared.history import Entry
from proper_shared.tasks import Task

IGNORED = -100  # the label that cross entropy leaves out


@dataclass(frozen=True)
class Example:
    """One entry as token ids."""

    prompt: tuple[int, ...]
    target: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """Rows of U users, b for each, one user after the other.

    Attributes:
        ids: (U*b, T) token ids.
        mask: (U*b, T) one where a token is real.
        targets: (U*b, K) ids of the last K columns, IGNORED outside of a target.
        extents: for each user (rows, tokens): the user's own part of the batch.
    """

    ids: Tensor
    mask: Tensor
    targets: Tensor
    extents: tuple[tuple[int, int], ...]

    @property
    def positions(self) -> Tensor:
        """(U*b, T) position of each token in its row, counted from the first real."""
        return (self.mask.cumsum(-1) - 1).clamp(min=0)


class Encoder:
    """Turns the entries of one task into examples.

    Args:
        tokenizer: of the backbone.
        task: says how a prompt is worded and how long its parts may be.

    Raises:
        ModelError: the tokenizer cannot tell the labels of the task apart.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, task: Task) -> None:
        self.tokenizer, self.task = tokenizer, task
        self.end: tuple[int, ...] = ()
        if task.kind == "text" and tokenizer.eos_token_id is not None:
            self.end = (int(tokenizer.eos_token_id),)
        start = tokenizer.bos_token_id
        self.start: tuple[int, ...] = () if start is None else (int(start),)
        self._check_labels()

    def _check_labels(self) -> None:
        """Refuse a tokenizer to which two labels are one, or one is nothing."""
        known: dict[tuple[int, ...], str] = {(): "nothing"}
        for label in self.task.labels:
            target = self.target(label)
            if target in known:
                raise ModelError(
                    f"to this tokenizer the label {label!r} is the same as "
                    f"{known[target]!r}",
                    hint="take a backbone whose tokenizer knows the letters of the "
                    f"labels of {self.task.name}",
                )
            known[target] = label

    def ids(self, text: str) -> list[int]:
        """Return the token ids of a text, without special tokens.

        Raises:
            DataError: it holds half a character, which no tokenizer can read.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(
                "got half a character (a lone surrogate), expected a whole one as "
                f"character {error.start + 1}",
                hint="something cut the text in the middle of it: type it again",
            ) from None
        encoded: list[int] = self.tokenizer(
            text, add_special_tokens=False, verbose=False
        )["input_ids"]
        return encoded

    def prompt(self, text: str) -> tuple[int, ...]:
        """Return the ids of a prompt whose text is cut to the task's length."""
        longest = self.task.max_text_tokens
        ids = self.ids(text[self._kept(32 * longest)])  # no need to encode a book
        if len(ids) > longest:
            text = str(self.tokenizer.decode(ids[self._kept(longest)]))
        return self.start + tuple(self.ids(self.task.prompt(text)))

    def _kept(self, length: int) -> slice:
        """Return which part of a longer text is read."""
        return slice(length) if self.task.reads == "start" else slice(-length, None)

    def target(self, output: str) -> tuple[int, ...]:
        """Return the ids of an answer, ended by the end of sequence for free text."""
        ids = self.ids(self.task.target(output))[: self.task.max_output_tokens]
        return tuple(ids) + self.end

    def example(self, entry: Entry) -> Example:
        """Return an entry as an example to learn from."""
        return Example(self.prompt(entry.text), self.target(entry.output))

    @property
    def padding(self) -> int:
        """The id that fills rows; it is masked wherever it stands."""
        pad = self.tokenizer.pad_token_id
        return int(pad if pad is not None else self.tokenizer.eos_token_id)


class Encoded(Sequence[Example]):
    """Examples of entries, each made when it is first asked for.

    A training draws a few hundred: of a long history most are never encoded.

    Args:
        encoder: of the task.
        entries: in time order.
    """

    def __init__(self, encoder: Encoder, entries: Sequence[Entry]) -> None:
        self._encoder, self._entries = encoder, entries
        self._made: dict[int, Example] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._entries)

    @overload
    def __getitem__(self, at: int) -> Example: ...
    @overload
    def __getitem__(self, at: slice) -> list[Example]: ...
    def __getitem__(self, at: int | slice) -> Example | list[Example]:
        """Return one example, or those of a slice."""
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        place = range(len(self))[at]
        if place not in self._made:
            self._made[place] = self._encoder.example(self._entries[place])
        return self._made[place]


def collate(rows: Sequence[Sequence[Example]], padding: int) -> Batch:
    """Lay the examples of several users side by side.

    Args:
        rows: for each user the examples of this batch; the numbers may differ, but
            each user has one at least.
        padding: id that fills rows.
    """
    height = max(len(own) for own in rows)
    lengths = [[len(x.prompt) + len(x.target) for x in own] for own in rows]
    width = max(max(own) for own in lengths)
    keep = max(max(len(x.target) for x in own) for own in rows)
    ids = torch.full((len(rows) * height, width), padding)
    mask = torch.zeros_like(ids)
    targets = torch.full((len(rows) * height, keep), IGNORED)
    mask[:, -1] = 1  # a row that fills up a user's share still needs one token
    for seat, own in enumerate(rows):
        for row, example in enumerate(own, start=seat * height):
            line = torch.tensor(example.prompt + example.target)
            ids[row, width - len(line) :] = line
            mask[row, width - len(line) :] = 1
            if example.target:
                targets[row, keep - len(example.target) :] = line[len(example.prompt) :]
    extents = tuple((len(own), max(n)) for own, n in zip(rows, lengths, strict=True))
    return Batch(ids, mask, targets, extents)
