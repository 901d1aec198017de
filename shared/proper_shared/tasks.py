"""What can be asked of a history: LaMP's seven tasks, the worlds' three, and `writing`.

A task turns an entry into a short prompt and a target. LaMP's own instructions cost
up to 80 tokens an entry and say the same each time; a model that is trained on the
task needs only a cue, so a prompt is the text, a line break and the cue.

`writing` is what a person's own notes and chats are learnt as: what they wrote, after
what stood before it, a message of somebody else, a passage of their own or a title.
No task of LaMP fits: those shorten (a headline, a title) or paraphrase one sentence.
The end of what stood before is what is answered, so the end is read.

Label lists are complete and fixed: macro-F1 is taken over the whole list, also over
labels that no user of a run ever gave.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from proper_shared.errors import ConfigError
from proper_shared.suggest import did_you_mean

Kind = Literal["label", "score", "text"]

METRICS: Mapping[Kind, tuple[str, ...]] = MappingProxyType(
    {
        "label": ("accuracy", "macro_f1"),
        "score": ("mae", "rmse", "accuracy"),
        "text": ("rouge1", "rougeL"),
    }
)

SCORES = ("1", "2", "3", "4", "5")
REFERENCES = ("[1]", "[2]")
MOVIE_TAGS = (
    "sci-fi",
    "based on a book",
    "comedy",
    "action",
    "twist ending",
    "dystopia",
    "dark comedy",
    "classic",
    "psychology",
    "fantasy",
    "romance",
    "thought-provoking",
    "social commentary",
    "violence",
    "true story",
)
NEWS_CATEGORIES = (
    "travel",
    "education",
    "parents",
    "style & beauty",
    "entertainment",
    "food & drink",
    "science & technology",
    "business",
    "sports",
    "healthy living",
    "women",
    "politics",
    "crime",
    "culture & arts",
    "religion",
)
WORLD_TAGS = (
    "action",
    "comedy",
    "crime",
    "drama",
    "fantasy",
    "history",
    "horror",
    "music",
    "mystery",
    "romance",
    "science",
    "sport",
    "thriller",
    "travel",
    "war",
)


@dataclass(frozen=True)
class Task:
    """One kind of question about an entry, and how its answers are judged.

    Attributes:
        name: Name in files and on the command line, "LaMP_3" for instance.
        kind: "label" and "score" are answered by the likelihood of each label,
            "text" is generated greedily.
        labels: All allowed outputs in a fixed order; empty for "text".
        cue: What stands between text and output, without the colon.
        max_text_tokens: Tokens of an entry's text that are read.
        max_output_tokens: Tokens of an output that are trained on or generated.
        reads: Which end of a longer text is kept: an article opens with what matters,
            a review closes with its verdict.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    cue: str
    max_text_tokens: int
    max_output_tokens: int
    reads: Literal["start", "end"] = "start"

    @property
    def metrics(self) -> tuple[str, ...]:
        """The keys that `metrics.summarise` returns, the leading one first."""
        return METRICS[self.kind]

    def prompt(self, text: str) -> str:
        """Return what the model reads before it answers."""
        return f"{text}\n{self.cue}:"

    def target(self, output: str) -> str:
        """Return what the model shall write after the prompt."""
        return f" {output}"

    def accepts(self, output: str) -> bool:
        """Tell whether `output` can be the gold answer of an entry."""
        return output in self.labels if self.labels else bool(output.strip())


_ALL = (
    Task("LaMP_1", "label", REFERENCES, "reference", 96, 8),
    Task("LaMP_2M", "label", MOVIE_TAGS, "tag", 40, 12),
    Task("LaMP_2N", "label", NEWS_CATEGORIES, "category", 40, 12),
    Task("LaMP_3", "score", SCORES, "score", 48, 4, reads="end"),
    Task("LaMP_4", "text", (), "headline", 40, 24),
    Task("LaMP_5", "text", (), "title", 64, 24),
    Task("LaMP_7", "text", (), "in my words", 40, 32),
    Task("tagging", "label", WORLD_TAGS, "tag", 24, 4),
    Task("rating", "score", SCORES, "score", 24, 4),
    Task("rewriting", "text", (), "in my words", 24, 24),
    Task("writing", "text", (), "what I write", 96, 64, reads="end"),
)
TASKS: Mapping[str, Task] = MappingProxyType({task.name: task for task in _ALL})


def get_task(name: str) -> Task:
    """Return the task of that name; LaMP's "LaMP-3" is read as "LaMP_3".

    Raises:
        ConfigError: There is no such task; the hint names the nearest.
    """
    task = TASKS.get(name) or TASKS.get(name.replace("-", "_"))
    if task is None:
        raise ConfigError(
            f"got task {name[:40]!r}, expected a known one",
            hint=did_you_mean(name, TASKS),
        )
    return task
