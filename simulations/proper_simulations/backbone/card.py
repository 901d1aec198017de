"""The model card of nano, written from the record of its training."""

from collections.abc import Mapping
from typing import Any

_SOURCES = {
    "synthetic": "synthetic text",
    "scholarly": "abstracts and titles",
    "news": "news and headlines",
}

_CARD = """\
# nano

A Llama with {parameters:,} parameters ({hidden} wide, {layers} layers, {heads} heads,
{vocabulary} tokens, at most {positions} positions), stored as float16 safetensors.
It is here so that PROPER can be tried, tested and demonstrated on a laptop without a
network. It is far too small to be of use otherwise.

## Data

* **Our own synthetic text** (Apache-2.0, as this project): {synthetic:,} tokens, none
  twice. Short texts of the three synthetic worlds, by readers who were drawn for this
  purpose only: none of the tables that make up a world was seen.
{real}
Reviews with ratings were not used.{tested}

## Training

{steps:,} steps of {batch_blocks} x {block_tokens} tokens ({tokens:,} in all), by Muon
and AdamW, highest rate {learning_rate}, held and then lowered along a cosine, bfloat16
autocast, seed {seed}, torch threads: {threads}. The hashes of the data are in
`training.json`. The same again, on the same kind of machine:

    proper-sim make-backbone --out DIR {arguments}

## Loss on text that was held out

| source | nats a token |
|---|---|
{losses}
## What it cannot do

It knows hardly anything of the world, follows no instruction, cannot hold a
conversation, and reads English only. What it writes freely looks like an abstract or a
headline and means nothing; it may repeat names and claims from its texts, and must not
be relied on. It reads best what it was made for: short lines of the synthetic worlds.

Fingerprint: `{fingerprint}`
"""

_SCHOLARLY = """\
* **ACL Anthology** (https://aclanthology.org), CC BY 4.0, copyright by the authors:
  {scholarly:,} abstracts with titles, from proceedings and journals of the Association
  for Computational Linguistics that appeared in 2016 or later.
"""
_NEWS = """\
* **News Category Dataset v3** by Rishabh Misra (arXiv 2209.11429), CC BY 4.0:
  {news:,} short descriptions with headlines.
"""
_CHANGES = """\

Changes to the texts of others: cut into tokens, shortened, put before a cue with the
title after it. {real_tokens:,} different tokens, read {passes:.1f} times.
"""
_TESTED = """ Users that are tested
(`user_top_100_history.json`) were left out: no text or title of theirs was trained on,
whoever else has it too."""


def card(training: Mapping[str, Any]) -> str:
    """Return the model card in Markdown.

    Args:
        training: The record that `make_backbone` writes as `training.json`.
    """
    losses = training["held_out_loss"]
    lines = [f"| {_SOURCES[name]} | {loss:.2f} |\n" for name, loss in losses.items()]
    names = ("parameters", "steps", "tokens", "threads", "fingerprint")
    return _CARD.format(
        **{key: value for key, value in training["recipe"].items() if key != "steps"},
        **{name: training[name] for name in names},
        synthetic=training["synthetic_tokens"],
        real=_real(training),
        tested=_TESTED if training["data_sha256"] else "",
        losses="".join(lines),
        arguments=_arguments(training),
    )


def _real(training: Mapping[str, Any]) -> str:
    parts = {"scholarly": _SCHOLARLY, "news": _NEWS}
    records = {name: n for name, n in training["records"].items() if n}
    text = "".join(parts[name].format(**records) for name in records)
    if not text:
        return ""
    read = training["tokens"] - training["synthetic_tokens"]
    passes = read / training["real_tokens"]
    return text + _CHANGES.format(real_tokens=training["real_tokens"], passes=passes)


def _arguments(training: Mapping[str, Any]) -> str:
    data = " --data TEXTS" if training["data_sha256"] else ""
    return f"--seed {training['recipe']['seed']} --steps {training['steps']}{data}"
