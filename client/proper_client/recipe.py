"""How a personal model is trained, as a release says it, and how it learns later."""

from pydantic import BaseModel, ConfigDict, Field

from proper_shared.method.config import Recipe
from proper_shared.method.stages import Stage

PHASES: tuple[Stage, ...] = ("embedding", "user", "lora_router")
LATER, LATER_RATE = 2.0, 0.5  # of what is learnt later: steps and rates, docs/log.md


class PersonalRecipe(BaseModel):
    """How a personal model is trained; the same on every device."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    embedding: Recipe = Field(description="step 1, the new user's embedding")
    user: Recipe = Field(description="step 2, the user LoRA")
    lora_router: Recipe = Field(description="step 3, the LoRA-aware router")
    absorb: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="step 5: share of the steps spent on all entries",
    )

    @property
    def work(self) -> int:
        """How many examples are computed in all steps, at most."""
        passes = [self] if self.absorb == 0 else [self, self.shortened()]
        recipes = [getattr(own, phase) for own in passes for phase in PHASES]
        return sum(recipe.steps * recipe.batch for recipe in recipes)

    def shortened(self) -> "PersonalRecipe":
        """Return the recipe of step 5."""
        return self._with(self.absorb)

    def later(self, share: float) -> "PersonalRecipe":
        """Return the recipe for entries that come to a model that is there.

        They are seen as often as if all were learnt anew, and beside each stands one
        of before.

        Args:
            share: of all entries that are new.
        """
        steps = LATER * (1 + self.absorb) * share
        return self._with(steps, LATER_RATE)

    def _with(self, share: float, rate: float = 1.0) -> "PersonalRecipe":
        """Return the recipe with a share of the steps and of the rates."""
        phases: dict[str, Recipe] = {}
        for phase in PHASES:
            recipe: Recipe = getattr(self, phase)
            changes = {
                "steps": max(1, round(recipe.steps * share)),
                "learning_rate": recipe.learning_rate * rate,
                "embedding_rate": recipe.embedding_rate * rate,
            }
            phases[phase] = recipe.model_copy(update=changes)
        return self.model_copy(update=phases)
