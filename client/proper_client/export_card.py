"""The card within an export: what it is, how it is loaded, what it gives away."""

from dataclasses import dataclass

from proper_client.kept import Level
from proper_shared.tasks import Task

_LOAD_ADAPTER = """\
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(BACKBONE, dtype="float32")
tokenizer = AutoTokenizer.from_pretrained(BACKBONE)
model = PeftModel.from_pretrained(model, "THIS FOLDER")
"""
_LOAD_MERGED = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("THIS FOLDER")
tokenizer = AutoTokenizer.from_pretrained("THIS FOLDER")
"""
_PEFT = "peft", _LOAD_ADAPTER
_CARD = """\
---
library_name: {library}
base_model: {base}
---
# A personal model for {task}: {kind}

It holds {holds} ({learnt} entries).

**Private and not encrypted.** Whoever can read these files has the model, and such a
model remembers some of what it was trained on: texts can be guessed from it. Keep it
like the history itself. Its licence is that of the backbone, as far as that reaches.

## Load

```python
{load}```

It answers a prompt such as {prompt!r}, which the tokenizer's start token goes before.

## What it is

* backbone: {base}, SHA-256 of configuration and weights
  {fingerprint}
* release below: {protection}; SHA-256 of its manifest
  {release}
* rank {rank} at most, scaled by one, {dtype}
* routers: one fixed weight for each expert and layer stands in their place, since stock
  formats know none
* what that costs: {cost}

Made by `proper-client export`.
"""
_HOLDS = {
    "population": "what all have in common, and nothing of one person",
    "group": "what all have in common, and experts weighed for one person",
    "personal": "what all have in common, experts weighed for one person, and what was "
    "learnt from that person's entries",
}


@dataclass(frozen=True)
class Card:
    """What an export is.

    Attributes:
        task: what is asked of a text.
        level: which level it answers from.
        merged: a whole model, not an adapter.
        base: name of the backbone, as others may read it.
        fingerprint: of the backbone.
        release: SHA-256 of the release below.
        learnt: entries that were learnt.
        rank: of the largest LoRA.
        dtype: of the numbers in the files.
        protection: of those who made the release.
    """

    task: Task
    level: Level
    merged: bool
    base: str
    fingerprint: str
    release: str
    learnt: int
    rank: int
    dtype: str
    protection: str


def card(about: Card, measured: str | None) -> str:
    """Return the text of the card, in Markdown.

    Args:
        about: what the export is.
        measured: what its static gates cost; None if nobody knows.
    """
    library, load = ("transformers", _LOAD_MERGED) if about.merged else _PEFT
    cost = measured or "not measured: there were no entries to measure on"
    return _CARD.format(
        library=library,
        base=about.base,
        task=about.task.name,
        kind="merged model" if about.merged else "LoRA adapter",
        holds=_HOLDS[about.level],
        learnt=about.learnt,
        load=load,
        prompt=about.task.prompt("A TEXT"),
        fingerprint=about.fingerprint,
        release=about.release,
        protection=about.protection,
        rank=about.rank,
        dtype=about.dtype,
        cost=cost,
    )
