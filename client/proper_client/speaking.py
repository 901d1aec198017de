"""From a personal model in the vault to answers, at any level and strength."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from proper_client.answer import Answerer
from proper_client.conversation import Conversation
from proper_client.kept import About, Level
from proper_client.opening import Aim, Opened
from proper_client.personal import LEVELS
from proper_client.placement import Wanted
from proper_client.seated import seat
from proper_client.vault import Vault
from proper_shared.errors import ConfigError, DataError
from proper_shared.history import Entry
from proper_shared.method.decoding import decoding


@dataclass(frozen=True)
class Voice:
    """Who answers: a level, or a place between the levels; both None as trained.

    Attributes:
        level: One of the three.
        strength: From 0, the population, to 1, the person; the group is in the middle.
    """

    level: Level | None = None
    strength: float | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            ConfigError: both are given, or the strength is outside of 0 to 1.
        """
        if self.level is not None and self.strength is not None:
            raise ConfigError(
                "got both a level and a strength, expected one of them",
                hint="--strength 0 is the population, 0.5 the group, 1 the person",
            )
        if self.strength is not None and not 0 <= self.strength <= 1:
            raise ConfigError(
                f"got the strength {self.strength:g}, expected 0 to 1",
                hint="0 is the population, 0.5 the group, 1 the person",
            )


@dataclass(frozen=True)
class Speaker:
    """A personal model over its release, ready to answer.

    Attributes:
        about: What is known about the model.
        opened: The release; the person sits in it.
    """

    about: About
    opened: Opened

    def speak_as(self, voice: Voice) -> None:
        """Choose who answers from now on."""
        users = self.opened.adapted.users
        if voice.strength is None:
            users.use(*LEVELS[voice.level or self.about.level])
        else:
            users.dial(voice.strength)

    def label(self, text: str) -> str:
        """Answer a text of a task that has labels or scores."""
        own = Answerer(self.opened.adapted, self.opened.encoder)
        return own.answers([[text]])[0][0]

    @contextmanager
    def conversation(self, turns: int | None = None) -> Iterator[Conversation]:
        """Open a conversation for a task that is answered in words.

        Who answers has to stay the same until it is closed.

        Args:
            turns: Earlier exchanges that are read, at most; None for as many as the
                task is used to.
        """
        adapted = self.opened.adapted
        with decoding(adapted):
            yield Conversation(adapted, self.opened.encoder, turns)

    def answer(self, text: str) -> str:
        """Answer a text alone, as if nothing had been said before."""
        if self.opened.encoder.task.kind != "text":
            return self.label(text)
        with self.conversation() as talk:
            return "".join(talk.ask(text))


def generate(
    text: str,
    vault: Vault,
    task: str | None = None,
    voice: Voice | None = None,
    wanted: Wanted | None = None,
) -> str:
    """Answer `text` as the person would.

    Args:
        text: What is read.
        vault: Holds the personal model.
        task: Which of the models; needed where there are several.
        voice: Who answers; None for the level that was chosen in training.
        wanted: Where to compute, and in how many bits.

    Raises:
        DataError: there is no personal model, or nothing to read.
        ConfigError: there are several models and `task` is none of them, or the
            release below is no longer what it was.
        FormatError: the personal model is damaged, or does not fit its release.
        ModelError: the backbone is not there, or does not fit into memory.
    """
    if not text.strip():
        raise DataError(
            "got an empty text, expected something to answer",
            hint="put the text in quotes: proper-client generate 'a long day'",
        )
    aim = Aim(wanted or Wanted(), (Entry("", text, ""),))
    speaker = open_speaker(vault, task, aim)
    speaker.speak_as(voice or Voice())
    return speaker.answer(text)


def open_speaker(
    vault: Vault, task: str | None = None, aim: Aim | None = None
) -> Speaker:
    """Open a personal model and the release below it.

    Args:
        vault: Holds the personal model.
        task: Which of the models; needed where there are several.
        aim: What for; see `open_release`.

    Raises:
        DataError: there is no personal model.
        ConfigError, FormatError, ModelError: as `generate`.
    """
    seated = seat(vault, task, aim)
    return Speaker(seated.about, seated.opened)
