"""A personaliser over a tiny release, and people who have learnt from it."""

import numpy as np
import pytest
import tiny
import torch

from proper_client.later import Pupil
from proper_client.person import parts_of
from proper_client.personal import Ground, Personaliser, PersonalRecipe
from proper_shared.encoding import Encoder
from proper_shared.grouping import Sizes
from proper_shared.history import User
from proper_shared.method.stages import AdaptedModel
from proper_shared.parts import widths_of

FIRST = 10  # entries that the model of a pupil knows
STEP = {"learning_rate": 5e-3, "steps": 3, "batch": 4}
# Adam turns a gradient of almost nothing, as the router's first one is, into a step of
# the rate: at 5e-4 its rounding stays under the tolerance.
RECIPE = PersonalRecipe(
    embedding={**STEP, "embedding_rate": 0.1},
    user=STEP,
    lora_router={**STEP, "learning_rate": 5e-4},
)


def personaliser(recipe=RECIPE, **options):
    own = tiny.backbone()
    made = AdaptedModel(own.model, tiny.method(embedding_size=8))
    made.add("group")
    tiny.stir(made, "group")
    ground = Ground(made, Encoder(own.tokenizer, tiny.TAGGING), reading(made))
    return Personaliser(ground, recipe, **options)


def reading(made):
    """What tells where a user lies, as if it had been found."""
    rng = np.random.default_rng(6)
    shapes = Sizes(*widths_of(made.model), made.method.experts).reading()
    return {
        name: rng.normal(size=shape, scale=0.1).astype(np.float32)
        for name, shape in shapes.items()
    }


def assert_same(found, expected, tolerance=1e-5):
    assert found.level == expected.level
    assert found.costs == pytest.approx(expected.costs, abs=tolerance)
    assert found.tensors.keys() == expected.tensors.keys()
    for name, tensor in expected.tensors.items():
        torch.testing.assert_close(found.tensors[name], tensor, rtol=0, atol=tolerance)


def identical(found, expected):
    return all(torch.equal(found.tensors[n], t) for n, t in expected.tensors.items())


def pupil(made, name="ann", count=12, first=FIRST):
    user = tiny.user(name, count)
    began = User(name, user.profile[:first])
    person = made.fit([began])[0]
    aside = parts_of(began)[1] if person.asked else ()
    asked = dict(zip((entry.id for entry in aside), person.asked, strict=True))
    new = frozenset(entry.id for entry in user.profile[first:])
    return Pupil(user, person, asked, new)
