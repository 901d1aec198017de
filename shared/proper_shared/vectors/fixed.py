"""Bounds for rounds under noise, which hang on the order alone and never on data.

Bounds that followed what was seen would be told by it (see `bounds`), and no mean of
norms is sent where noise is. So a bound is a constant for each number of a block, times
sqrt(m) for its m numbers. AdamW moves each number by about the rate in a step, and what
is sent is bounded by rate * steps * sqrt(m); a use is a share, a direction a unit
vector, one of each for each layer. The other constants are geometric means of norms of
100 invented people (tagging, seed 7, which no result is reported on; docs/log.md), on
`nano`: another backbone has other activations, and the operator may choose bounds.

A bound at the typical norm shortens some vectors and adds less noise to all.

Covered: every block that a part of ours sends; both sides come to the same numbers.
Not covered: whether a bound is wise for other people, tasks and backbones.
"""

import math

from proper_shared.errors import FormatError
from proper_shared.method.config import Recipe
from proper_shared.packing import Layout
from proper_shared.vectors.clip import blocks_of

# Norm over rate * steps * sqrt(m). Experts come weighted by their user's use of them.
MOVED = {"update": 0.7, "experts": 0.3, "routers": 0.7}
# Norm over sqrt(m).
PLAIN = {
    "loss": 2.5,  # nats
    "first_x": 0.5,
    "first_d": 0.026,
    "second_x": 0.26,
    "second_d": 0.0025,
    "inner": 1.8,
    "cross": 1.3,
    "gain": 15.0,
}
BY_LAYER = ("use", "direction")  # (L, E): one vector of norm 1 at most for each layer
LEAST = 1e-6  # where a schedule's last rates are next to nothing


def fixed_bounds(recipe: Recipe, layout: Layout) -> dict[str, float]:
    """Return the bound of each block of a client's vector.

    Args:
        recipe: of the order, with the rates of its round.
        layout: of the vector.

    Raises:
        FormatError: the layout has a block of which nothing is known.
    """
    found = {}
    for block, names in blocks_of(layout).items():
        size = sum(math.prod(layout.shapes[name]) for name in names)
        if block in BY_LAYER:
            bound = math.sqrt(layout.shapes[block][0])
        elif block in MOVED:
            moved = MOVED[block] * recipe.learning_rate * recipe.steps
            bound = moved * math.sqrt(size)
        elif block in PLAIN:
            bound = PLAIN[block] * math.sqrt(size)
        else:
            raise FormatError(
                f"got the block {block[:40]!r}, of which no norm is known"
            )
        found[block] = max(bound, LEAST)
    return found
