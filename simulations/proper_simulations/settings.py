"""How a run trains, in one place: schedules, recipes and the points of the curve.

The values were chosen on the tagging world with seed 7, which is never reported, and
for real histories on entries of the tested users' own profiles; no query of a test was
read. The tries stand in `docs/log.md`.
"""

from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from proper_client.personal import PersonalRecipe
from proper_coordinator.plan import Plan, Privacy
from proper_shared.method.config import Method, Recipe
from proper_shared.rounds import Schedule
from proper_simulations.config import RunConfig
from proper_simulations.dataset import Dataset

GroupLevel = Literal["others", "all"]
FEW = 1000  # entries: below this the others alone are too few to train groups
QUICK = 0.2  # of the rounds


class Pace(NamedTuple):
    """Where made-up and real histories are trained differently.

    Attributes:
        rounds: share of all rounds; real texts are longer, and their users more.
        population: rate of stage 1; where less can be read, more is overfitted.
        group: rate of stage 2.
        user: how a user LoRA is trained.
        curve: points of the learning curve, each of which costs minutes on real texts.
    """

    rounds: float
    population: float
    group: float
    user: Recipe
    curve: tuple[int, ...]


MADE_UP = Pace(
    rounds=1,
    population=1.5e-2,
    group=8e-3,
    user=Recipe(learning_rate=4e-3, steps=30, caution=20),
    curve=(0, 1, 2, 4, 8, 16, 32),
)
REAL = Pace(
    rounds=0.3,
    population=2e-3,
    group=4e-3,
    user=Recipe(learning_rate=4e-3, steps=15, caution=5),
    curve=(),
)


class Settings(BaseModel):
    """Everything that a result depends on besides data, backbone and seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Method = Field(description="shapes of all that is trained")
    population: Schedule = Field(description="federated part 1")
    grouping: Schedule = Field(description="which groups there are")
    group: Schedule = Field(description="federated part 2")
    lora_router: Schedule = Field(description="federated part 3")
    personal: PersonalRecipe = Field(description="the user level, on each device")
    group_level: GroupLevel = Field(description="who trains population and groups")
    cohort_size: int = Field(default=30, ge=1, description="members of a round")
    curve: tuple[int, ...] = Field(description="numbers of entries, without all")

    @property
    def oppu(self) -> Recipe:
        """The rival's user LoRA: the same recipe, and all its steps at once."""
        recipe = self.personal.user
        steps = recipe.steps + self.personal.shortened().user.steps
        return recipe.model_copy(update={"steps": steps})


def settings_for(config: RunConfig, data: Dataset) -> Settings:
    """Return the settings of a run on these data."""
    few = sum(len(user.profile) for user in data.others) < FEW
    level = config.group_level
    if level == "auto":
        level = "all" if few else "others"
    pace = REAL if data.truth is None else MADE_UP
    share = QUICK if config.quick else pace.rounds
    points = (0, 4) if config.quick else pace.curve
    points = points if config.curve is None else config.curve
    return Settings(
        method=Method(),
        population=_schedule(50, pace.population, share, server_rate=2, momentum=0.5),
        grouping=_schedule(200, 1, QUICK if config.quick else 1),
        group=_schedule(40, pace.group, share, server_rate=2, momentum=0.5),
        lora_router=_schedule(4, 3e-3, share),
        personal=PersonalRecipe(
            embedding=Recipe(learning_rate=1e-3, embedding_rate=3e-3, steps=2),
            user=pace.user,
            lora_router=Recipe(learning_rate=1e-3, steps=4),
            absorb=0.25,
        ),
        group_level=level,
        curve=() if level == "all" else points,  # there nobody is new at any point
    )


def plan_of(config: RunConfig, settings: Settings, min_nodes: int = 1) -> Plan:
    """Return who takes part in the federation of a run, and under which noise.

    Args:
        config: of the run.
        settings: of the run.
        min_nodes: to wait for.
    """
    privacy = None
    if config.epsilon is not None:
        privacy = Privacy(epsilon=config.epsilon, delta=config.delta)
    return Plan(
        cohort_size=settings.cohort_size,
        seed=config.seed,
        masked=config.masks,
        privacy=privacy,
        min_nodes=min_nodes,
    )


def _schedule(
    rounds: int,
    rate: float,
    share: float,
    *,
    server_rate: float = 1.0,
    momentum: float = 0.0,
) -> Schedule:
    """Return a schedule whose clients train four steps of eight entries in a round."""
    recipe = Recipe(
        learning_rate=rate, embedding_rate=5e-2, steps=4, schedule="constant"
    )
    return Schedule(
        rounds=max(2, round(rounds * share)),
        recipe=recipe,
        server_rate=server_rate,
        momentum=momentum,
        constraint_weight=0.1,
    )
