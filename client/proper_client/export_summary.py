"""What a person is told about an export, in lines for a terminal."""

from shlex import quote

from proper_client.exporting import Exported

_BETTER = {True: "the higher the better", False: "the lower the better"}
_ERRORS = {"mae", "rmse"}


def after_export(done: Exported) -> list[str]:
    """Return where it lies, what the static gates cost, and who can read it."""
    about, folder = done.card, str(done.folder)
    kind = "merged model" if about.merged else f"PEFT LoRA of rank {about.rank}"
    load = f"PeftModel.from_pretrained(backbone, {folder!r})"
    if about.merged:
        load = f"AutoModelForCausalLM.from_pretrained({folder!r})"
    size = f"{about.dtype}, {done.nbytes / 1e6:.1f} MB"
    return [
        f"exported    {about.task.name}, level {about.level}: {kind}, {size}",
        f"in          {quote(folder)}",
        *_cost(done),
        "at rest     not encrypted, and outside of your vault: you, and programs that",
        "            run as you, can read it, and whoever gets a copy; such a model",
        "            remembers some of your entries",
        f"load        {load}",
        "            README.md in the folder has the rest",
    ]


def _cost(done: Exported) -> list[str]:
    """Compare answers through routers with those of what was exported."""
    routed, static = done.routed, done.static
    if routed is None or static is None:
        return [
            "gates       from your embedding alone, and not measured: no entries are",
            "            kept here; name them by --history my.json",
        ]
    if done.card.level == "population":
        lead = "answers     the population has no routers, so nothing is lost"
    else:
        lead = "gates       fixed, where your model has routers"
    score, nats = static.score - routed.score, static.nats - routed.nats
    better = _BETTER[routed.metric not in _ERRORS]
    scores = f"{routed.metric:<9} {routed.score:.3f} -> {static.score:.3f}"
    losses = f"{'nats':<9} {routed.nats:.4f} -> {static.nats:.4f}"
    return [
        f"{lead}; on {done.entries} entries that it has learnt:",
        f"            {scores} ({score:+.3f}, {better})",
        f"            {losses} ({nats:+.4f} a token, {_BETTER[False]})",
    ]
