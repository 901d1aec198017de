"""What of a model answers: which experts, in which layers, how far from the population.

    experts     mean router weight of each expert, by layer and over all layers
    added       what a part adds to a layer, |part| / |frozen layer's output|
    own share   |user LoRA| / (|user LoRA| + |experts|) of what is added
    distance    KL(answering level || population) of the next token, in nats, at each
                token of the answer; of the labels, where a task has them

Norms and weights are means over the places where a token of the answer is decided: the
end of the prompt, and each token but the last. Without a text there are none: then the
weights are what a router says from the embedding alone, norms those of matrices.

Not covered: why a router or an expert does what it does.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from proper_client.answer import Answerer
from proper_client.speaking import Speaker, Voice
from proper_shared.encoding import Example, collate
from proper_shared.errors import DataError
from proper_shared.method.layer import AdaptedLinear
from proper_shared.method.stages import AdaptedModel

LIKELIEST = 3  # alternatives that are shown


@dataclass(frozen=True)
class Layer:
    """One adapted layer.

    Attributes:
        name: Path in the backbone.
        weights: Mean router weight of each expert; empty where none is used.
        group: What the experts add to the layer's output, as a share of it.
        user: What the user LoRA adds, likewise.
    """

    name: str
    weights: tuple[float, ...]
    group: float
    user: float


@dataclass(frozen=True)
class Choice:
    """One place where something was chosen: a token, or the label.

    Attributes:
        chosen: Which it was.
        distance: KL to the population, in nats.
        likeliest: What else, with its probability at the level and at the population.
    """

    chosen: str
    distance: float
    likeliest: tuple[tuple[str, float, float], ...]


@dataclass(frozen=True)
class Explanation:
    """Why an answer is what it is.

    Attributes:
        task: Name of the task.
        voice: Who answered, in words.
        answer: What was answered.
        population: What the population answers.
        choices: Along the answer.
        layers: In the order of the backbone.
    """

    task: str
    voice: str
    answer: str
    population: str
    choices: tuple[Choice, ...]
    layers: tuple[Layer, ...]

    @property
    def experts(self) -> tuple[float, ...]:
        """Mean router weight of each expert over the layers that have some."""
        rows = [layer.weights for layer in self.layers if layer.weights]
        return tuple(sum(own) / len(rows) for own in zip(*rows, strict=True))

    @property
    def own_share(self) -> float:
        """Share of the user LoRA in what is added, over all layers."""
        user = sum(layer.user for layer in self.layers)
        both = user + sum(layer.group for layer in self.layers)
        return user / both if both else 0.0

    @property
    def distance(self) -> float:
        """Mean distance from the population, in nats."""
        return sum(c.distance for c in self.choices) / max(1, len(self.choices))

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        whole = {"experts": self.experts, "own_share": self.own_share}
        return {**asdict(self), **whole, "distance": self.distance}


def explain(speaker: Speaker, text: str, voice: Voice) -> Explanation:
    """Answer a text, and look at what answered.

    Args:
        speaker: Who answers.
        text: The question.
        voice: The level or strength at which.

    Raises:
        DataError: there is nothing to read.
    """
    if not text.strip():
        raise DataError(
            "got an empty text, expected something to answer",
            hint="put the text in quotes: proper-client explain 'a long day'",
        )
    adapted, encoder = speaker.opened.adapted, speaker.opened.encoder
    population = Voice(level="population")
    speaker.speak_as(population)
    theirs = speaker.answer(text)
    speaker.speak_as(voice)
    answer = speaker.answer(text)
    example = Example(encoder.prompt(text), encoder.target(answer))
    speaker.speak_as(voice)
    layers, logits = _look(adapted, example, encoder.padding)
    ours = _choices_at(speaker, example, logits)
    speaker.speak_as(population)
    plain = _choices_at(speaker, example, _logits(adapted, example, encoder.padding))
    speaker.speak_as(voice)
    choices = _compared(speaker, example, ours, plain)
    who = _said(speaker, voice)
    return Explanation(speaker.about.task, who, answer, theirs, choices, layers)


def _said(speaker: Speaker, voice: Voice) -> str:
    if voice.strength is not None:
        return f"strength {voice.strength:g}"
    return voice.level or speaker.about.level


@torch.no_grad()
def _logits(adapted: AdaptedModel, example: Example, padding: int) -> Tensor:
    """Return (K, V), the prediction of each token of the answer."""
    batch = collate([[example]], padding)
    return adapted.logits(batch)[0].float().cpu()


def _look(
    adapted: AdaptedModel, example: Example, padding: int
) -> tuple[tuple[Layer, ...], Tensor]:
    """Let the model read an example, and look at each layer meanwhile."""
    answered = len(example.target)
    mask = torch.zeros(1, len(example.prompt) + answered, dtype=torch.long)
    mask[:, -answered - 1 : -1] = 1  # where the next token is one of the answer
    users = adapted.users
    users.open_pass(mask.to(adapted.device), [(1, mask.shape[1])], (), record=True)
    try:
        with _measured(adapted, answered) as norms:
            logits = _logits(adapted, example, padding)
    finally:
        users.close_pass()
    layers = tuple(
        _layer(name, users.weight.get(name), norms[name])
        for name in adapted.layers
        if {"group", "user"} & norms[name].keys()
    )
    return layers, logits


def _layer(name: str, weights: Tensor | None, norms: dict[str, float]) -> Layer:
    shares = [norms.get(part, 0.0) / norms["base"] for part in ("group", "user")]
    own = () if weights is None else tuple(weights[0].tolist())
    return Layer(name, own, *shares)


@contextmanager
def _measured(
    adapted: AdaptedModel, answered: int
) -> Iterator[dict[str, dict[str, float]]]:
    """Collect the mean norm of what each part of each layer puts out."""
    norms: dict[str, dict[str, float]] = {name: {} for name in adapted.layers}

    def keeper(layer: str, part: str) -> Callable[..., None]:
        # What the experts put out has its share of the dial already.
        share = adapted.users.user_share if part == "user" else 1.0

        def keep(_module: nn.Module, _inputs: object, out: Tensor) -> None:
            rows = out.reshape(-1, out.shape[-1])[-answered - 1 : -1].float()
            norms[layer][part] = float(rows.norm(dim=-1).mean()) * share

        return keep

    hooks = [
        module.register_forward_hook(keeper(name, part))
        for name, layer in adapted.layers.items()
        for part in ("base", "group", "user")
        if (module := getattr(layer, part)) is not None
    ]
    try:
        yield norms
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def portrait(speaker: Speaker, voice: Voice) -> Explanation:
    """Look at what answers, whatever the text: the embedding, and the sizes of parts.

    Args:
        speaker: Who answers.
        voice: The level or strength at which.
    """
    speaker.speak_as(voice)
    adapted = speaker.opened.adapted
    layers = tuple(
        _still(layer)
        for layer in adapted.layers.values()
        if any(_used(layer, part) for part in ("group", "user"))
    )
    return Explanation(speaker.about.task, _said(speaker, voice), "", "", (), layers)


def _still(layer: AdaptedLinear) -> Layer:
    """Look at a layer that reads nothing."""
    users, (d_in, _) = layer.users[0], layer.size
    one = torch.eye(d_in, device=users.embedding.device)
    whole = (layer.base(one) - layer.base(one * 0)).float().norm()  # also of 4 bits
    weights: tuple[float, ...] = ()
    group = user = torch.zeros(())
    if layer.group is not None and _used(layer, "group"):
        own = layer.group
        logits = own.w_u[0] @ users.embedding[0]
        mixed = logits.softmax(-1)
        weights = tuple(mixed.tolist())
        scale = own.method.expert_scale * users.group_share
        rows = mixed.repeat_interleave(own.method.group.rank) * scale
        group = (own.b[0] * rows @ own.a[0]).norm()
    if layer.user is not None and _used(layer, "user"):
        scale = layer.user.lora.scale * users.user_share
        user = (layer.user.b[0] @ layer.user.a[0] * scale).norm()
    return Layer(layer.name, weights, float(group / whole), float(user / whole))


def _used(layer: AdaptedLinear, part: str) -> bool:
    return part in layer.users[0].uses and getattr(layer, part) is not None


def _choices_at(speaker: Speaker, example: Example, logits: Tensor) -> Tensor:
    """Return (K, V) log probabilities of tokens, or (1, labels) of labels."""
    if speaker.opened.encoder.task.kind == "text":
        return logits.log_softmax(-1)
    own = Answerer(speaker.opened.adapted, speaker.opened.encoder)
    return own.label_log_probs([[example.prompt]])[0].log_softmax(-1)


def _compared(
    speaker: Speaker, example: Example, ours: Tensor, plain: Tensor
) -> tuple[Choice, ...]:
    encoder = speaker.opened.encoder
    in_words = encoder.task.kind == "text"
    names: Sequence[str] = encoder.task.labels
    found = []
    for place, (own, other) in enumerate(zip(ours, plain, strict=True)):
        likeliest = own.topk(min(LIKELIEST, len(own))).indices.tolist()
        if in_words:
            chosen = str(encoder.tokenizer.decode([example.target[place]]))
            words = [str(encoder.tokenizer.decode([i])) for i in likeliest]
        else:
            chosen = names[encoder.task.labels.index(_label(speaker, example))]
            words = [names[i] for i in likeliest]
        rows = [
            (word, float(own[i].exp()), float(other[i].exp()))
            for word, i in zip(words, likeliest, strict=True)
        ]
        distance = float((own.exp() * (own - other)).nan_to_num(0.0).sum())
        found.append(Choice(chosen, max(0.0, distance), tuple(rows)))
    return tuple(found)


def _label(speaker: Speaker, example: Example) -> str:
    labels = speaker.opened.encoder.task.labels
    targets = [speaker.opened.encoder.target(label) for label in labels]
    return labels[targets.index(example.target)]
