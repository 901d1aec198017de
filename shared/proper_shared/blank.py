"""A release of nobody: over it a backbone answers as it is, and one person can learn.

Where no federation ever trained a task there is nothing to start from but the backbone.
A blank release has the parts of any other, all zero: population and groups add nothing,
and the arrays that tell where a user lies put everybody into one place. So all that is
made on top of a release (training, choice of level, answers, checks) works unchanged.

It follows from task, backbone and seed, so it is made when it is needed and lies on no
disk; a digest of what it follows from tells whether it is the same one again.

Covered: another task, shape, recipe, seed or backbone than the one that was trained on.
Not covered: how good the backbone is at the task; it was never trained for it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from proper_shared.method.config import Method, Recipe
from proper_shared.release import PARTS, BackboneId, Header, Release
from proper_shared.tasks import get_task
from proper_shared.tensors import Shapes

NAME = "none"  # on the command line, and where a personal model says what it stands on
_LABEL = b"proper blank release 1\n"  # raise it when the arrays are made in another way
# Embedding and LoRA-aware router choose among experts that all add nothing: one step
# each leaves them where they are. What decided on the user LoRA stands in docs/log.md.
_IDLE = Recipe(learning_rate=1e-3, steps=1)
_USER = Recipe(learning_rate=4e-3, steps=30, caution=20)


@dataclass(frozen=True)
class Blank:
    """Which blank release is meant.

    Attributes:
        task: name of the task.
        seed: of fresh adapters.
    """

    task: str
    seed: int = 0

    def header(self, backbone: BackboneId) -> Header:
        """Return what it says about itself over a backbone.

        Raises:
            ConfigError: there is no such task.
        """
        recipes = {"embedding": _IDLE, "user": _USER, "lora_router": _IDLE}
        personal = {name: recipe.model_dump() for name, recipe in recipes.items()}
        return Header(
            task=get_task(self.task).name,
            method=Method(),
            personal={**personal, "absorb": 0.25},
            backbone=backbone,
            seed=self.seed,
        )


def blank_release(header: Header, expected: Mapping[str, Shapes]) -> Release:
    """Return the blank release with that header.

    Args:
        header: of `Blank.header`.
        expected: for each of PARTS, the shapes of its tensors over the backbone.
    """
    parts = {
        part: {n: np.zeros(shape, np.float32) for n, shape in expected[part].items()}
        for part in PARTS
    }
    return Release(header=header, **parts)


def digest_of_blank(header: Header) -> str:
    """Return the SHA-256 (hex) of all that a blank release follows from.

    What its backbone is called does not count: a folder may move.
    """
    spelt = header.model_dump_json(exclude={"backbone": {"name"}})
    return hashlib.sha256(_LABEL + spelt.encode()).hexdigest()
