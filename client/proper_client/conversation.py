"""Talk with a model: token by token, with a cache, within what the backbone can read.

What was said stands before a question as it would have been learnt: each exchange is a
prompt of the task with its answer and an end. Where that gets longer than the backbone
can read, the oldest exchanges go first, and the reader is told. Most tasks ask about
texts that have nothing to do with each other, and there the past does harm
(docs/log.md): only `writing` reads it, unless somebody says how many turns are read.

The cache holds what was read of the conversation so far. It goes on as long as what
comes next begins with just that, and is made anew otherwise: after an answer that was
broken off, or where something was forgotten.
"""

from collections.abc import Iterator
from typing import Any

import torch

from proper_shared.encoding import Encoder
from proper_shared.method.stages import AdaptedModel
from proper_shared.tasks import Task

MANY = 1 << 16  # exchanges: more than fit anywhere
HALF = "\N{REPLACEMENT CHARACTER}"  # what a character is whose bytes are not all there


class Conversation:
    """What was said, and what the model has read of it.

    Args:
        adapted: with one user in it.
        encoder: of a task that is answered in words.
        turns: how many earlier exchanges are read, at most; None for what the task
            is used to.

    Attributes:
        cut: what of the last question and of the past is not read, in words.
    """

    def __init__(
        self, adapted: AdaptedModel, encoder: Encoder, turns: int | None = None
    ) -> None:
        self.adapted, self.encoder = adapted, encoder
        self.turns = usual_turns(encoder.task) if turns is None else turns
        self.window = _window(adapted)
        self.past: list[tuple[int, ...]] = []  # an exchange each: prompt, answer, end
        self.cut: list[str] = []
        self._read: list[int] = []
        self._cache: Any = None  # transformers' own

    def forget(self) -> None:
        """Begin anew."""
        self.past = []

    def ask(self, text: str) -> Iterator[str]:
        """Answer, piece by piece; together the pieces are the answer, stripped.

        An answer that is not read to its end leaves no trace in the conversation.

        Args:
            text: The question; whether all of it is read stands in `cut` before the
                first piece comes.
        """
        prompt = self.encoder.prompt(text)
        longest = self.encoder.task.max_output_tokens
        self._make_room(text, len(prompt) + longest)
        return self._answer(prompt, max(1, min(longest, self.window - len(prompt))))

    def _make_room(self, text: str, needed: int) -> None:
        """Forget what would not fit, and say what is not read."""
        self.cut = []
        task = self.encoder.task
        whole = len(text) <= 32 * task.max_text_tokens
        if not whole or len(self.encoder.ids(text)) > task.max_text_tokens:
            end = "first" if task.reads == "start" else "last"
            self.cut.append(f"only the {end} {task.max_text_tokens} tokens are read")
        del self.past[: max(0, len(self.past) - self.turns)]  # as was asked for
        there = len(self.past)
        while self.past and sum(map(len, self.past)) + needed > self.window:
            del self.past[0]
        if gone := there - len(self.past):
            what = "exchange is" if gone == 1 else f"{gone} exchanges are"
            self.cut.append(f"the oldest {what} forgotten: {self.window} tokens fit")

    def _answer(self, prompt: tuple[int, ...], longest: int) -> Iterator[str]:
        ids = [token for exchange in self.past for token in exchange]
        said: list[int] = []
        shown = ""
        for token in self._tokens([*ids, *prompt], longest):
            said.append(token)
            now = self._text(said)
            if now.endswith(HALF) or not now.startswith(shown):
                continue  # the rest of a character comes with the next token
            if now != shown:
                yield now[len(shown) :]
                shown = now
        rest = self._text(said)  # half a character at the end stays half
        if rest.startswith(shown) and rest != shown:
            yield rest[len(shown) :]
        self.past.append((*prompt, *said, *self.encoder.end))

    def _text(self, tokens: list[int]) -> str:
        text = self.encoder.tokenizer.decode(tokens, skip_special_tokens=True)
        return str(text).strip()

    def _tokens(self, ids: list[int], longest: int) -> Iterator[int]:
        """Yield the likeliest next token until the end of the answer."""
        if self._cache is None or ids[: len(self._read)] != self._read:
            self._read, self._cache = [], None
        new = ids[len(self._read) :]
        end = self.encoder.tokenizer.eos_token_id
        for _ in range(longest):
            token = self._next(new)
            if token == end:
                return
            yield token
            new = [token]

    @torch.no_grad()
    def _next(self, new: list[int]) -> int:
        """Read on, and return the likeliest token after it."""
        cache, self._cache = self._cache, None  # broken off amid a pass it is no good
        out = self.adapted.model(
            input_ids=torch.tensor([new], device=self.adapted.device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._cache = out.past_key_values
        self._read += new
        return int(out.logits[0, -1].argmax())


def usual_turns(task: Task) -> int:
    """Return how many earlier exchanges a task reads, if nobody says."""
    return MANY if task.name == "writing" else 0


def _window(adapted: AdaptedModel) -> int:
    """Return how many tokens the backbone can read."""
    config = adapted.model.config.get_text_config()
    return int(getattr(config, "max_position_embeddings", 2048))
