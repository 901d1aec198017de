"""Where the people of a run come from: a folder of histories, or a world."""

import functools
from dataclasses import replace

from proper_simulations.config import RunConfig
from proper_simulations.dataset import Dataset
from proper_simulations.lamp import load_data
from proper_simulations.worlds import make_world


@functools.lru_cache(maxsize=2)
def dataset_of(config: RunConfig) -> Dataset:
    """Load or make the data; users of whom nothing can be asked are left out.

    Raises:
        ConfigError: there is no such folder, or its task is not known.
        DataError: a file in it is wrong.
    """
    if config.data is not None:
        data = load_data(config.data, config.task, test_users=config.users)
        return replace(data, users=tuple(user for user in data.users if user.queries))
    return make_world(config.world or "tagging", config.seed, users=config.users)
