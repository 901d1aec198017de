"""The people of a run and what trains them, as each process of an engine sees it."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from proper_client.trainer import Trainer
from proper_shared.backbone import Backbone, load_backbone
from proper_shared.canary import Canary
from proper_shared.encoding import Encoder
from proper_shared.history import User, split_for_validation
from proper_shared.method.stages import AdaptedModel
from proper_shared.offers import Offer
from proper_shared.rounds import FederatedPart, Outline
from proper_shared.secagg.keys import Signer
from proper_shared.summing import Me
from proper_shared.terms import Terms
from proper_shared.vectors.rounding import RandomBytes
from proper_simulations.config import RunConfig
from proper_simulations.crowd import Crowd
from proper_simulations.dataset import Dataset
from proper_simulations.settings import Settings, settings_for
from proper_simulations.sources import dataset_of
from proper_simulations.worlds import make_world

PUBLIC_PEOPLE, PUBLIC_ENTRIES = 10, 4


@dataclass(frozen=True)
class RunSite:
    """Holds names and settings alone, so that it travels; loads where it is used.

    Attributes:
        config: of the run.
    """

    config: RunConfig

    @property
    def data(self) -> Dataset:
        """The data of the run."""
        return dataset_of(self.config)

    @property
    def settings(self) -> Settings:
        """How the run trains."""
        return settings_for(self.config, self.data)

    def members(self) -> tuple[User, ...]:
        """Return who trains population and groups; seat i is member i.

        Where tested users are among them, what they keep aside to choose a level by is
        kept from the federation too.
        """
        everybody = self.data.others
        if self.settings.group_level == "all":
            everybody += tuple(
                replace(user, profile=split_for_validation(user.profile)[0])
                for user in self.data.users
            )
        return tuple(user for user in everybody if user.profile)

    def user(self, seat: int) -> User:
        """Return the member at this seat."""
        return self.members()[seat]

    @property
    def crowd(self) -> Crowd:
        """Who the members are to each other."""
        return _crowd(self)

    def signer(self, seat: int) -> Signer:
        """Return the identity of the member at this seat."""
        return self.crowd.signer(seat)

    def me(self, seat: int, offer: Offer) -> Me:
        """Return the member at this seat as they enter a round."""
        return self.crowd.me(seat, offer)

    def rounding(self, seat: int, terms: Terms) -> RandomBytes:
        """Return the random bytes by which a seat rounds in a round."""
        return self.crowd.rounding(seat, terms)

    def backbone(self) -> Backbone:
        """Load the backbone anew; whoever asks may wrap it."""
        return load_backbone(self.config.backbone)

    def canary(self) -> Canary | None:
        """Return what judges a part by public texts; None for real histories.

        The public texts of a world are those of more of its people, who take no other
        part in the run.
        """
        config, data = self.config, self.data
        if config.data is not None:
            return None
        made = make_world(
            config.world or "tagging",
            config.seed,
            others=len(data.others) + PUBLIC_PEOPLE,
            users=0,
        )
        people = [
            replace(user, profile=user.profile[:PUBLIC_ENTRIES])
            for user in made.others[len(data.others) :]
        ]
        backbone = self.backbone()
        adapted = AdaptedModel(backbone.model, self.settings.method, config.seed)
        adapted.add("population")
        adapted.add("group")
        return Canary(adapted, Encoder(backbone.tokenizer, data.task), people)

    def trainer(self) -> Trainer:
        """Return the trainer of this process."""
        return _trainer(self)

    def parts(self) -> Iterator[FederatedPart]:
        """Return the federated parts; each builds on the ones before."""
        return self.trainer().blueprint.parts(self.settings)

    def outline(self) -> tuple[Outline, ...]:
        """Return what the federated parts will ask for."""
        return self.trainer().blueprint.outline(self.settings)


@functools.lru_cache(maxsize=2)
def _crowd(site: RunSite) -> Crowd:
    return Crowd(len(site.members()), site.config.seed)


@functools.lru_cache(maxsize=1)
def _trainer(site: RunSite) -> Trainer:
    settings = site.settings
    return Trainer(
        site.backbone(),
        site.data.task,
        settings.method,
        settings.personal.user,
        site.config.seed,
    )
