"""Answer the questions of many users at once, at any level of the model.

A label is answered by its likelihood among the labels of the task; a score by the
median of the label probabilities, which minimises the mean absolute error; free text
greedily.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from proper_shared.encoding import Batch, Encoder, Example, collate
from proper_shared.method.objective import text_loss
from proper_shared.method.stages import AdaptedModel

Prompts = Sequence[Sequence[tuple[int, ...]]]  # for each user, their prompts
Asked = TypeVar("Asked")
Found = TypeVar("Found")


class Answerer:
    """Answers for the users who sit in the model.

    Args:
        adapted: with one bank for each user, or one for all.
        encoder: of the task.
        rows: how many prompts are computed at once, at most.
    """

    def __init__(
        self, adapted: AdaptedModel, encoder: Encoder, rows: int = 512
    ) -> None:
        self.adapted, self.encoder, self.rows = adapted, encoder, rows
        self.labels = [encoder.target(label) for label in encoder.task.labels]

    @torch.no_grad()
    def answers(self, texts: Sequence[Sequence[str]]) -> list[list[str]]:
        """Answer each user's texts.

        Args:
            texts: for each of the U users in the model, any number of texts.

        Returns:
            The answers, in the same order.
        """
        prompts = [[self.encoder.prompt(text) for text in own] for own in texts]
        if self.labels:
            return [self._pick(p) for p in self.label_log_probs(prompts)]
        return self._at_tables(prompts, self._write, [])

    def _at_tables(
        self,
        asked: Sequence[Sequence[Asked]],
        answer: Callable[[Sequence[Sequence[Asked]]], Sequence[Found]],
        nothing: Found,
    ) -> list[Found]:
        """Ask users together who are asked about equally much.

        A batch has as many rows for each as for the one who is asked most: beside
        somebody with hundreds of questions nearly all rows would be empty.

        Args:
            asked: for each of the U users.
            answer: of the users who sit in the model, in their order.
            nothing: the answer of a user who is not asked.
        """
        found = [nothing] * len(asked)
        for seats in tables([len(own) for own in asked]):
            with self.adapted.only(seats):
                answers = answer([asked[seat] for seat in seats])
            for seat, own in zip(seats, answers, strict=True):
                found[seat] = own
        return found

    def _pick(self, log_probs: Tensor) -> list[str]:
        """Choose among the labels for each row of (n, labels)."""
        labels = self.encoder.task.labels
        if self.encoder.task.kind == "score":
            reached = log_probs.softmax(-1).cumsum(-1) >= 0.5 - 1e-6
            best = reached.float().argmax(-1)
        else:
            best = log_probs.argmax(-1)
        return [labels[i] for i in best.tolist()]

    @torch.no_grad()
    def label_log_probs(self, prompts: Prompts) -> list[Tensor]:
        """Return for each user (n, labels), the log likelihood of each label."""
        none = torch.empty(0, len(self.labels))
        return self._at_tables(prompts, self._label_log_probs, none)

    def _label_log_probs(self, prompts: Prompts) -> list[Tensor]:
        if all(len(label) == 1 for label in self.labels):
            ids = torch.tensor([label[0] for label in self.labels])
            last = self._by_user(prompts, (0,))  # one column, whatever its token
            return [rows[:, 0].log_softmax(-1)[:, ids] for rows in last]
        by_label = [
            [_likelihood(logits, label) for logits in self._by_user(prompts, label)]
            for label in self.labels
        ]
        return [torch.stack(own, -1) for own in zip(*by_label, strict=True)]

    def _by_user(self, prompts: Prompts, target: tuple[int, ...]) -> list[Tensor]:
        """Return for each user (n, len(target), V), logits of the target columns."""
        kept: list[list[Tensor]] = [[] for _ in prompts]
        for chunk in self._chunks(prompts):
            batch = collate(
                [[Example(p, target) for p in own] for own in chunk],
                self.encoder.padding,
            )
            logits = self.adapted.logits(batch).float().cpu()
            height = logits.shape[0] // len(chunk)
            for seat, own in enumerate(prompts):
                done = sum(len(part) for part in kept[seat])
                count = min(height, len(own) - done)
                if count > 0:
                    start = seat * height
                    kept[seat].append(logits[start : start + count])
        return [torch.cat(parts) for parts in kept]

    def _chunks(self, prompts: Prompts) -> Iterator[list[list[tuple[int, ...]]]]:
        """Cut the prompts into batches; a user who has none left gets a filler."""
        height = max(1, self.rows // len(prompts))
        filler = [next(p for own in prompts for p in own)]
        for start in range(0, max(len(own) for own in prompts), height):
            yield [list(own[start : start + height]) or filler for own in prompts]

    def _write(self, prompts: Prompts) -> list[list[str]]:
        """Generate greedily for each prompt."""
        written: list[list[str]] = [[] for _ in prompts]
        for chunk in self._chunks(prompts):
            batch = collate(
                [[Example(p, ()) for p in own] for own in chunk], self.encoder.padding
            )
            new = self._continued(batch)
            texts = self.encoder.tokenizer.batch_decode(new, skip_special_tokens=True)
            height = len(texts) // len(chunk)
            for seat, own in enumerate(prompts):
                count = min(height, len(own) - len(written[seat]))
                start = seat * height
                written[seat] += [t.strip() for t in texts[start : start + count]]
        return written

    def _continued(self, batch: Batch) -> Tensor:
        """Return (U*b, n) the likeliest tokens behind each row, padded after an end.

        A model's own settings (beams, shortest answers, other ends) would fill in
        whatever is not chosen here, so they are put aside meanwhile.
        """
        model = self.adapted.model
        kept = model.generation_config
        model.generation_config = type(kept)()
        try:
            ids: Tensor = model.generate(  # type: ignore[operator]
                input_ids=batch.ids.to(self.adapted.device),
                attention_mask=batch.mask.to(self.adapted.device),
                generation_config=type(kept)(
                    max_new_tokens=self.encoder.task.max_output_tokens,
                    do_sample=False,
                    num_beams=1,
                    eos_token_id=self.encoder.tokenizer.eos_token_id,
                    pad_token_id=self.encoder.padding,
                ),
            )
        finally:
            model.generation_config = kept
        return ids[:, batch.ids.shape[1] :]

    @torch.no_grad()
    def losses(self, examples: Sequence[Sequence[Example]]) -> list[float]:
        """Return each user's mean loss over their examples, nats per target token.

        Args:
            examples: for each of the U users; a user without any has a loss of 0.
        """
        return self._at_tables(examples, self._losses, 0.0)

    @torch.no_grad()
    def costs(self, examples: Sequence[Sequence[Example]]) -> list[float]:
        """Return what each user's examples cost in sum: the less, the better a model.

        A label costs 1 where it is wrong and a score the points by which it is off,
        both as expected if answers were drawn. These have an upper bound, unlike a
        loss: one answer that was thought impossible does not outweigh a hundred. A
        text costs its loss, in nats.

        Args:
            examples: for each of the U users, of the encoder's task.
        """
        return [math.fsum(own) for own in self.each_cost(examples)]

    @torch.no_grad()
    def each_cost(self, examples: Sequence[Sequence[Example]]) -> list[list[float]]:
        """Return what each example costs, of which `costs` returns the sums."""
        way = self._errors if self.labels else self._nats
        return self._at_tables(examples, way, [])

    def _errors(self, examples: Sequence[Sequence[Example]]) -> list[list[float]]:
        places = torch.arange(len(self.labels))
        apart = (places[:, None] - places).abs().float()  # (labels, labels)
        if self.encoder.task.kind == "label":
            apart = apart.clamp(max=1)
        log_probs = self._label_log_probs([[x.prompt for x in own] for own in examples])
        each: list[list[float]] = []
        for own, rows in zip(examples, log_probs, strict=True):
            right = [self.labels.index(x.target) for x in own]
            each.append((rows.softmax(-1) * apart[right]).sum(-1).tolist())
        return each

    def _nats(self, examples: Sequence[Sequence[Example]]) -> list[list[float]]:
        height = max(1, self.rows // len(examples))
        filler = [Example(self.encoder.start or (self.encoder.padding,), ())]
        each: list[list[float]] = [[] for _ in examples]
        for start in range(0, max(len(own) for own in examples), height):
            chunk = [list(own[start : start + height]) for own in examples]
            batch = collate([own or filler for own in chunk], self.encoder.padding)
            logits, rows = self.adapted.logits(batch).cpu(), len(batch.targets)
            means = text_loss(logits, batch.targets, rows).tolist()
            for seat, own in enumerate(chunk):
                first = seat * (rows // len(chunk))
                each[seat] += [
                    means[first + i] * len(x.target) for i, x in enumerate(own)
                ]
        return each

    def _losses(self, examples: Sequence[Sequence[Example]]) -> list[float]:
        height = max(1, self.rows // len(examples))
        filler = [Example(self.encoder.start or (self.encoder.padding,), ())]
        sums, counts = torch.zeros(len(examples)), torch.zeros(len(examples))
        for start in range(0, max(len(own) for own in examples), height):
            chunk = [list(own[start : start + height]) for own in examples]
            tokens = torch.tensor([sum(len(x.target) for x in own) for own in chunk])
            batch = collate([own or filler for own in chunk], self.encoder.padding)
            logits = self.adapted.logits(batch).cpu()
            sums += text_loss(logits, batch.targets, len(examples)) * tokens
            counts += tokens
        values: list[float] = (sums / counts.clamp(min=1)).tolist()
        return values


def tables(counts: Sequence[int]) -> list[list[int]]:
    """Return seats whose counts are within a factor of two, for each such range.

    Seats with a count of zero are in none.
    """
    by_size: dict[int, list[int]] = {}
    for seat, count in enumerate(counts):
        if count:
            by_size.setdefault(count.bit_length(), []).append(seat)
    return [by_size[size] for size in sorted(by_size)]


def _likelihood(logits: Tensor, label: tuple[int, ...]) -> Tensor:
    """Sum the log probabilities of a label's tokens: (n, K, V) to (n,)."""
    chosen = logits.log_softmax(-1)[:, range(len(label)), list(label)]
    return chosen.sum(-1)
