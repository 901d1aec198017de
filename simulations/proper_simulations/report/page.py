"""One page, read from top to bottom: what was found, pictures, numbers, how.

The page holds its own style and drawings, loads nothing and runs no script, so it can
be mailed, archived and opened from a disk. Each picture is drawn twice, for a wide and
for a narrow column, and the style sheet shows the one that fits.
"""

from importlib.resources import files

from proper_simulations.report import (
    curve,
    embeddings,
    gains,
    losses,
    router,
    stages,
    tables,
)
from proper_simulations.report.figure import NARROW, WIDE, Absent, Figure
from proper_simulations.report.tables import prose, safe
from proper_simulations.report.words import headline, standfirst
from proper_simulations.results import Results

_PICTURES = (curve, stages, gains, router, embeddings, losses)


def render(results: Results) -> str:
    """Return the report as one HTML document."""
    style = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    pictures = "".join(
        _picture(results, module.figure(results)) for module in _PICTURES
    )
    title = f"{results.data.name}: {headline(results)}"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{prose(title)}</title>
<style>
{style}</style>
</head>
<body>
<main>
{_opening(results)}
{pictures}
<section id="numbers">
<h2>The numbers</h2>
{tables.scores(results)}
{tables.differences(results)}
{tables.shares(results)}
{tables.choices(results)}
</section>
<section id="run">
<h2>How it was run</h2>
{tables.how_it_was_run(results)}
</section>
</main>
</body>
</html>
"""


def _opening(results: Results) -> str:
    users, seed = results.executed.users, results.seed
    what = [results.data.name, results.task, f"{users} users", f"seed {seed}"]
    names = dict.fromkeys(what)  # a world has one for data and task
    return f"""<header>
<p class="kicker">{" · ".join(safe(name) for name in names)}</p>
<h1>{prose(headline(results))}</h1>
<p class="standfirst">{prose(standfirst(results))}</p>
</header>"""


def _picture(results: Results, figure: Figure | Absent) -> str:
    if isinstance(figure, Absent):
        return f'<p class="absent" id="{figure.name}">{prose(figure.reason)}</p>\n'
    unfold = ""
    if figure.name == "curve" and results.learning_curve:
        unfold = tables.curve_numbers(results, results.learning_curve)
    return f"""<figure id="{figure.name}">
<h2>{prose(figure.heading)}</h2>
<p class="measure">{prose(figure.measure)}</p>
<div class="wide">{figure.draw(WIDE, f"{figure.name}-wide")}</div>
<div class="narrow">{figure.draw(NARROW, f"{figure.name}-narrow")}</div>
<figcaption>{prose(figure.caption)}</figcaption>
{unfold}</figure>
"""
