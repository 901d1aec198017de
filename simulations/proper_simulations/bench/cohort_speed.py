"""How much faster the personal adapters of a cohort are made at once than one by one.

Three ways to make the user LoRAs of the same users on the same frozen blocks, with the
same texts, steps, rates and shapes of the adapter:

    ours      many users in one pass, `proper_shared.method.cohort`
    bare      stock PEFT, a bare loop, one user after the other
    trainer   stock PEFT, the Trainer of transformers, one user after the other

The slow ways are timed on a few of the users, and their time is scaled to all; the
result says on how many. `with_groups` is ours with experts and routers in the pass,
which PEFT does not have. Not covered: a GPU, or long texts, which saturate a processor
with one user.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np
import torch

from proper_shared.encoding import Example
from proper_shared.method.cohort import train_cohort
from proper_shared.method.config import Method, Recipe
from proper_shared.method.job import Job, generator_for
from proper_shared.method.stages import AdaptedModel
from proper_simulations.bench.measure import circumstances, speed, take_turns
from proper_simulations.bench.one_by_one import (
    Loop,
    personal_model,
    train_bare,
    train_with_trainer,
)
from proper_simulations.bench.scene import PADDING, random_example, random_llama

BLOCKS = 4
LENGTH, TARGET = 32, 4


@dataclass(frozen=True)
class Load:
    """What is trained.

    Attributes:
        users: how many.
        at_once: users in one pass, in ours.
        entries: of each user.
        epochs: how often each entry is seen.
        batch: entries in a step.
        bare_users: on how many users the bare loop is timed.
        trainer_users: on how many the Trainer is.
    """

    users: int = 100
    at_once: int = 50
    entries: int = 16
    epochs: int = 1
    batch: int = 1
    bare_users: int = 10
    trainer_users: int = 4

    @property
    def recipe(self) -> Recipe:
        """The steps that every user makes, in every way."""
        steps = self.epochs * -(-self.entries // self.batch)
        return Recipe(learning_rate=1e-3, steps=steps, batch=self.batch)


def cohort(
    hidden_sizes: Iterable[int] = (128, 256),
    *,
    loads: Sequence[Load] = (Load(), Load(batch=4)),
    rounds: int = 5,
    seed: int = 0,
) -> dict[str, object]:
    """Compare the ways on random blocks of several sizes.

    Args:
        hidden_sizes: d of each comparison.
        loads: what is trained; one epoch in batches of one, as published, or of four.
        rounds: how many times each way is timed.
        seed: of weights, texts, order and intervals.

    Returns:
        Circumstances, and in `rows` one entry for each size and pair of ways: how many
        times as fast ours is, with its interval.
    """
    rows: list[dict[str, object]] = []
    for hidden, load in product(hidden_sizes, loads):
        rows += _compare_at(hidden, load, rounds, seed)
    return {
        "command": f"proper-sim bench cohort --json --seed {seed}",
        **circumstances(seed),
        "rounds": rounds,
        "blocks": BLOCKS,
        "tokens": LENGTH,
        "loads": [asdict(load) for load in loads],
        "rows": rows,
    }


def _compare_at(
    hidden: int, load: Load, rounds: int, seed: int
) -> list[dict[str, object]]:
    rivals = {
        "bare": (train_bare, load.bare_users),
        "trainer": (train_with_trainer, load.trainer_users),
    }
    ways = {
        "ours": at_once(hidden, load, seed),
        "with_groups": at_once(hidden, load, seed, groups=True),
    }
    for name, (loop, users) in rivals.items():
        ways[name] = one_after_the_other(hidden, load, seed, loop, users)
    rng = np.random.default_rng(seed)
    times = take_turns(ways, rounds, rng)
    for name, (_, users) in rivals.items():
        times[name] *= load.users / users
    rows: list[dict[str, object]] = []
    for mine in ("ours", "with_groups"):
        for rival in rivals:
            found = speed(times[mine], times[rival], rng)
            where = {"hidden": hidden, "batch": load.batch}
            rows.append({**where, "way": mine, "against": rival, **found})
    return rows


def at_once(
    hidden: int, load: Load, seed: int, *, groups: bool = False
) -> Callable[[], list[float]]:
    """Return the training of all users, many in a pass; it gives their mean loss.

    Args:
        hidden: d.
        load: what is trained.
        seed: of weights, texts, order and dropout.
        groups: experts and routers take part in the pass.
    """
    texts = random_texts(load, seed)
    adapted = AdaptedModel(random_llama(hidden, BLOCKS, seed), Method(), seed)
    adapted.add("group")
    adapted.users.use(*(("group", "user") if groups else ("user",)))

    def train() -> list[float]:
        losses: list[float] = []
        for start in range(0, load.users, load.at_once):
            adapted.add("user")
            own = texts[start : start + load.at_once]
            generators = [generator_for(seed, start + i) for i in range(len(own))]
            job = Job("user", own, generators, load.recipe, PADDING)
            losses += train_cohort(adapted, job).loss.tolist()
        return losses

    return train


def one_after_the_other(
    hidden: int, load: Load, seed: int, loop: Loop, users: int
) -> Callable[[], list[float]]:
    """Return the training of the first few users by PEFT; it gives their mean loss.

    Args:
        hidden: d.
        load: what is trained.
        seed: of weights, texts and order.
        loop: of `one_by_one`.
        users: how many.
    """
    texts = random_texts(load, seed)[:users]
    model = personal_model(random_llama(hidden, BLOCKS, seed), Method().user)

    def train() -> list[float]:
        return [
            loop(model, own, load.recipe, generator_for(seed, user))
            for user, own in enumerate(texts)
        ]

    return train


def random_texts(load: Load, seed: int) -> list[list[Example]]:
    """Return the examples of each user, all of one length."""
    generator = torch.Generator().manual_seed(seed)
    return [
        [random_example(LENGTH, TARGET, generator) for _ in range(load.entries)]
        for _ in range(load.users)
    ]
