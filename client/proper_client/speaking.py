"""From a personal model in the vault to answers."""

from proper_client.answer import Answerer
from proper_client.kept import Level
from proper_client.opening import Aim
from proper_client.personal import LEVELS
from proper_client.placement import Wanted
from proper_client.seated import seat
from proper_client.vault import Vault
from proper_shared.errors import DataError
from proper_shared.history import Entry


def generate(
    text: str,
    vault: Vault,
    task: str | None = None,
    level: Level | None = None,
    wanted: Wanted | None = None,
) -> str:
    """Answer `text` as the person would.

    Args:
        text: What is read.
        vault: Holds the personal model.
        task: Which of the models; needed where there are several.
        level: Which level answers; None for the one that was chosen in training.
        wanted: Where to compute, and in how many bits.

    Raises:
        DataError: there is no personal model, or nothing to read.
        ConfigError: there are several models and `task` is none of them, or the
            release below is no longer what it was.
        FormatError: the personal model is damaged, or does not fit its release.
    """
    if not text.strip():
        raise DataError(
            "got an empty text, expected something to answer",
            hint="put the text in quotes: proper-client generate 'a long day'",
        )
    aim = Aim(wanted or Wanted(), (Entry("", text, ""),))
    seated = seat(vault, task, aim)
    opened = seated.opened
    opened.adapted.users.use(*LEVELS[level or seated.about.level])
    return Answerer(opened.adapted, opened.encoder).answers([[text]])[0][0]
