"""What `compare` and `explain` found, in lines for a terminal: ASCII, 80 columns."""

from collections.abc import Sequence

from proper_client.comparing import Comparison
from proper_client.explaining import Choice, Explanation, Layer
from proper_client.judging import LOWER_IS_BETTER, Score
from proper_shared.friendly import one_line

WIDTH = 80
MANY_LAYERS = 12  # beyond, a block is shown as one
MANY_EXPERTS = 6  # beyond, the likeliest alone
_ORDER = ("own majority", "backbone", "population", "group", "personal")


def comparison(found: Comparison, examples: int) -> list[str]:
    """Return a comparison as lines.

    Args:
        found: What is shown.
        examples: How many of the newest entries are shown with their answers.
    """
    metrics = found.task.metrics
    ways = [who for who in _ORDER if who in found.scores]
    rows = [["", *(_metric(metric) for metric in metrics)]]
    for who in ways:
        mark = "  <- answers you" if who == found.about.level else ""
        own = found.scores[who]
        rows.append([who, *(_score(own[metric]) for metric in metrics), mark])
    lines = [
        f"{found.task.name}: made anew from your {found.learnt} older entries, and",
        f"asked about the {len(found.asked)} newest; 95 % intervals are over these",
        "",
        *_aligned(rows),
        "",
        f"personal less the others, {metrics[0]}, entry by entry:",
        *_aligned(
            [["", "", ""], *([who, *_gain(found.gains[who])] for who in ways[:-1])]
        )[1:],
    ]
    for n, entry in found.newest(examples):
        lines += ["", _cut(entry.text), f"  {'you':<13} {_cut(entry.output, 64)}"]
        answers = [(who, found.answers[who][n]) for who in ways]
        lines += [f"  {who:<13} {_cut(answer, 64)}" for who, answer in answers]
    return lines


def explanation(found: Explanation) -> list[str]:
    """Return an explanation as lines."""
    lines = [f"task        {found.task}, answered by the model at: {found.voice}"]
    if found.choices:
        lines += [
            f"answer      {_cut(found.answer, 68)}",
            f"population  {_cut(found.population, 68)}",
            f"distance    {found.distance:.3f} nats from the population"
            + (", mean over the tokens" if len(found.choices) > 1 else ""),
        ]
    if found.experts:
        lines.append(f"experts     {_weights(found.experts)}")
    share = f"{found.own_share:.0%} of what is added to the layers is your own LoRA's"
    lines.append(f"own share   {share}")
    if found.layers:
        lines += ["", *_layers(found.layers)]
    else:
        lines += ["", "nothing is added to the layers: the population answers"]
    if found.choices:
        lines += ["", *_choices(found.choices)]
    return lines


def _metric(name: str) -> str:
    return f"{name} (less is better)" if name == LOWER_IS_BETTER[0] else name


def _score(score: Score) -> str:
    return f"{score.value:.3f} ({score.low:.2f} to {score.high:.2f})"


def _gain(gain: Score) -> list[str]:
    sure = gain.low > 0 or gain.high < 0
    said = "" if sure else "  may be chance: the interval holds 0"
    return [f"{gain.value:+.3f} ({gain.low:+.2f} to {gain.high:+.2f})", said]


def _layers(layers: Sequence[Layer]) -> list[str]:
    rows = [["layer", "experts", "they add", "you add"]]
    shown = _by_block(layers) if len(layers) > MANY_LAYERS else layers
    for layer in shown:
        own = f"{layer.user:.1%}"
        rows.append([_short(layer.name), _weights(layer.weights, 5)])
        rows[-1] += [f"{layer.group:.1%}", own]
    return _aligned(rows)


def _by_block(layers: Sequence[Layer]) -> list[Layer]:
    """Return the means of the layers of each block."""
    blocks: dict[str, list[Layer]] = {}
    for layer in layers:
        blocks.setdefault(layer.name.rpartition(".")[0], []).append(layer)
    return [
        Layer(
            name,
            tuple(
                sum(own) / len(own)
                for own in zip(*(x.weights for x in same if x.weights), strict=True)
            ),
            sum(x.group for x in same) / len(same),
            sum(x.user for x in same) / len(same),
        )
        for name, same in blocks.items()
    ]


def _short(name: str) -> str:
    return name.removeprefix("model.").removeprefix("layers.")[-24:]


def _weights(weights: Sequence[float], most: int = MANY_EXPERTS) -> str:
    """Return the weights of experts as text; of many the likeliest alone."""
    places = range(len(weights))
    if len(weights) > most:
        places = sorted(places, key=lambda i: -weights[i])[: most - 1]  # type: ignore[assignment]
    said = "  ".join(f"{i + 1}: {weights[i]:.2f}" for i in places)
    return f"{said}  .." if len(weights) > most else said


def _choices(choices: Sequence[Choice]) -> list[str]:
    rows = [["chosen", "nats", "likeliest here (and by the population)"]]
    for choice in choices:
        said = ", ".join(
            f"{_quoted(word)} {ours:.2f} ({theirs:.2f})"
            for word, ours, theirs in choice.likeliest
        )
        rows.append([_quoted(choice.chosen), f"{choice.distance:.3f}", said])
    return [_cut(line) for line in _aligned(rows, left=(0, 2))]


def _quoted(word: str) -> str:
    return _cut(word.strip() or repr(word), 14)


def _cut(text: str, width: int = WIDTH) -> str:
    """Return a text as one line of at most `width` characters."""
    line = one_line(text)
    return line if len(line) <= width else f"{line[: width - 2]}.."


def _aligned(rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> list[str]:
    """Return rows in columns, the first one a head; what is short ends early."""
    count = max(map(len, rows))
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(count)]
    return [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=False))
        ).rstrip()
        for row in rows
    ]
