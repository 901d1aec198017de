"""Score all that a secret could be as a tree of digits: what is shared is read once."""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import DynamicCache

from proper_shared.encoding import Encoder
from proper_shared.errors import ModelError
from proper_shared.method.stages import AdaptedModel
from proper_simulations.bench.leak_curves import Floats
from proper_simulations.bench.leak_people import ASKED, DIGITS, Secrets

AT_ONCE = 4  # users; the keys and values of a thousand beginnings each


class Guesser:
    """Scores alternatives by their likelihood behind the question.

    Args:
        adapted: in whose seats the users sit, asked at the level that is in use.
        encoder: of the task.
        secrets: what a secret can be.

    Raises:
        ModelError: to this tokenizer a digit is not one token.
    """

    def __init__(
        self, adapted: AdaptedModel, encoder: Encoder, secrets: Secrets
    ) -> None:
        self.adapted, self._prompt = adapted, encoder.prompt(ASKED)
        digits = [encoder.ids(f" {digit}") for digit in range(10)]
        written = [*encoder.ids(encoder.task.target(secrets.written(0)))]
        if any(len(ids) != 1 for ids in digits) or len(written) != DIGITS:
            raise ModelError("got digits of several tokens, expected one for each")
        self._digits = torch.tensor(digits)[:, 0]
        self._levels = list(_tree(secrets.beginnings))

    @torch.no_grad()
    def __call__(self, seats: Sequence[int]) -> list[Floats]:
        """Return the log likelihood (K,) of each alternative for each user who sits."""
        found: list[Floats] = []
        for start in range(0, len(seats), AT_ONCE):
            chosen = range(len(seats))[start : start + AT_ONCE]
            with self.adapted.only(chosen):
                found += [*self._scored(len(chosen)).double().cpu().numpy()]
        return found

    def _scored(self, users: int) -> Tensor:
        """Go down the tree; return (users, K)."""
        cache = DynamicCache()
        prompt = torch.tensor([self._prompt] * users)
        step = self._next(prompt, cache, users)  # (U, 1, 10)
        total = torch.zeros(users, 1)
        for parents, digits in self._levels:
            before = step.shape[1]
            rows = torch.arange(users)[:, None] * before + parents  # (U, n)
            order = rows.flatten().to(self.adapted.device)
            cache.reorder_cache(cast("torch.LongTensor", order))
            total = total[:, parents] + step[:, parents, digits]
            tokens = self._digits[digits].repeat(users)[:, None]  # (U*n, 1)
            step = self._next(tokens, cache, users)
        return (total[:, :, None] + step).flatten(1)

    def _next(self, ids: Tensor, cache: DynamicCache, users: int) -> Tensor:
        """Read on; return the log probability of each digit, (U, n, 10)."""
        out = self.adapted.model(
            input_ids=ids.to(self.adapted.device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        chosen = out.logits[:, -1].float().log_softmax(-1)[:, self._digits]
        found: Tensor = chosen.cpu().reshape(users, -1, 10)
        return found


def _tree(beginnings: NDArray[np.int64]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield for each level of the tree, of n nodes: (n,) the parent, (n,) the digit.

    Args:
        beginnings: (B, 5) digits, different, ascending.
    """
    above = np.zeros(len(beginnings), dtype=np.int64)  # node of each beginning
    for column in beginnings.T:
        both = np.stack([above, column], axis=1)
        nodes, above = np.unique(both, axis=0, return_inverse=True)
        above = above.ravel()
        yield torch.from_numpy(nodes[:, 0].copy()), torch.from_numpy(nodes[:, 1].copy())
