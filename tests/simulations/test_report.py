import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from click.testing import CliRunner

from proper_simulations.cli import main
from proper_simulations.report import (
    embeddings,
    render,
    router,
    stages,
    table,
    tables,
)
from proper_simulations.report.words import count, headline, standfirst
from proper_simulations.results import Groups, Paired, Router, load, write

PICTURES = ["curve", "stages", "gains", "router", "embeddings", "losses"]
VOID = {"meta"}
RECORDED = Path(__file__).parents[2] / "docs" / "results"


class Page(HTMLParser):
    """Every element with its attributes, and whether tags are balanced."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def drawings(html):
    return re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)


def beaten(make_results, bar):
    return make_results(levels={bar: 0.9})


def test_the_page_loads_nothing_and_runs_nothing(results):
    html = render(results)
    assert "http" not in html
    assert "url(" not in html
    assert "@import" not in html
    for tag, attributes in Page(html).elements:
        assert tag not in {"script", "link", "img", "iframe", "object", "image", "use"}
        loading = {"src", "href", "srcset", "data", "action", "xlink:href"}
        assert not loading & attributes.keys()
        assert not [name for name in attributes if name.startswith("on")]


def test_every_tag_is_closed(results, bare_results):
    for each in (results, bare_results):
        assert Page(render(each)).open == []


def test_no_two_elements_share_an_id(results):
    ids = [a["id"] for _, a in Page(render(results)).elements if "id" in a]
    assert len(ids) == len(set(ids))


def test_pictures_stand_in_order_before_the_numbers(results):
    html = render(results)
    places = [html.index(f'<figure id="{name}"') for name in PICTURES]
    assert places == sorted(places)
    assert places[-1] < html.index('id="numbers"') < html.index('id="run"')
    assert html.index("<h1>") < places[0]


def test_every_picture_is_drawn_for_both_widths_or_its_absence_explained(
    results, bare_results
):
    assert len(drawings(render(results))) == 2 * len(PICTURES)
    html = render(bare_results)
    for name in PICTURES:
        drawn = f'<figure id="{name}"' in html
        explained = re.search(f'<p class="absent" id="{name}">[^<]{{20,}}</p>', html)
        assert drawn != bool(explained)


def test_users_without_known_groups_are_not_drawn_but_explained(results):
    points = [p.model_copy(update={"group": None}) for p in results.embeddings]
    html = render(results.model_copy(update={"embeddings": points, "groups": None}))
    assert "the true groups of these users are not known" in html


def test_drawings_are_valid_and_speak_to_those_who_cannot_see(results):
    for drawing in drawings(render(results)):
        root = ET.fromstring(drawing)  # noqa: S314 - our own
        title, description = root.find("title"), root.find("desc")
        assert root.get("role") == "img"
        named = f"{title.get('id')} {description.get('id')}"
        assert root.get("aria-labelledby") == named
        assert title.text
        assert description.text


def test_drawings_stay_inside_their_frame(results):
    for drawing in drawings(render(results)):
        root = ET.fromstring(drawing)  # noqa: S314 - our own
        width, height = (float(n) for n in root.get("viewBox").split()[2:])
        for text in root.iter("text"):
            assert -1 <= float(text.get("x")) <= width + 1
            assert 0 <= float(text.get("y")) <= height + 1
        for path in root.iter("path"):
            start = re.match(r"M(-?[\d.]+) (-?[\d.]+)", path.get("d"))
            assert -8 <= float(start[1]) <= width + 8
            assert -8 <= float(start[2]) <= height + 8


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></svg><b>",
    "]]>\x00\x1b[31m\ud800",
    "مرحبا 👋 &amp;",
]


@pytest.mark.parametrize("words", HOSTILE)
def test_hostile_words_are_shown_and_not_obeyed(results, words):
    gains = [g.model_copy(update={"user": words}) for g in results.gain_by_user]
    hostile = results.model_copy(
        update={
            "gain_by_user": gains,
            "task": words,
            "command": words,
            "versions": {words: words},
            "timings_s": {words: 1.0},
            "loss_by_round": {words: [2.0, 1.0]},
            "data": results.data.model_copy(update={"name": words}),
        }
    )
    html = render(hostile)
    assert {tag for tag, _ in Page(html).elements} == {
        tag for tag, _ in Page(render(results)).elements
    }
    for drawing in drawings(html):
        ET.fromstring(drawing)  # noqa: S314 - our own
    html.encode("utf-8")
    assert "\x1b" not in table(hostile)


def test_the_opening_says_what_was_won(results):
    said = headline(results)
    assert said == "Personal models raise accuracy from 0.53 to 0.70"
    assert "do better than the population model, a user LoRA without" in standfirst(
        results
    )


@pytest.mark.parametrize(
    ("bar", "words"),
    [("oppu", "a user LoRA without groups"), ("own_majority", "own majority")],
)
def test_the_opening_says_what_was_lost(make_results, bar, words):
    lost = beaten(make_results, bar)
    assert words in headline(lost)
    assert headline(lost).endswith("does better still")
    assert f"do worse than {'each' if 'own' in bar else 'a user'}" in standfirst(lost)


def test_a_difference_that_is_not_sure_is_not_claimed(make_results):
    level = make_results(levels={"chosen": 0.51, "oppu": 0.3, "own_majority": 0.3})
    assert headline(level) == "Personal models make no sure difference"
    assert "cannot be told apart from the population model" in standfirst(level)


def test_harm_is_called_harm(make_results):
    harm = make_results("mae", levels={"chosen": 0.3, "oppu": 0.2, "own_majority": 0})
    assert headline(harm).startswith("Personal models do harm: the mean absolute error")


def test_a_lower_error_is_good_news(make_results):
    said = headline(make_results("mae"))
    assert said.startswith("Personal models lower the mean absolute error from")


def test_a_quick_run_is_called_a_look(results):
    done = results.executed.model_copy(update={"quick": True})
    quick = results.model_copy(update={"executed": done})
    assert "a look, not a measurement" in standfirst(quick)


def paired(difference, low, high):
    return Paired(difference=difference, low=low, high=high, wins=1, ties=1, losses=1)


SURE, OPEN, HARM = (0.1, 0.05, 0.2), (0.01, -0.1, 0.1), (-0.1, -0.2, -0.05)


@pytest.mark.parametrize(
    ("groups", "personal", "said"),
    [
        (SURE, SURE, "Each stage adds to the one before"),
        (OPEN, OPEN, "No stage is surely better than the one before"),
        (HARM, HARM, "Each stage is worse than the one before"),
        (SURE, OPEN, "Stage 2 adds and stage 3 makes no sure difference"),
        (HARM, SURE, "Stage 2 does harm and stage 3 adds"),
    ],
)
def test_the_stages_are_called_what_they_are(results, groups, personal, said):
    pairs = {"stage2-stage1": groups, "stage3-stage2": personal}
    told = {name: {"accuracy": paired(*ends)} for name, ends in pairs.items()}
    run = results.model_copy(update={"paired": told})
    assert stages.figure(run).heading.startswith(said)


@pytest.mark.parametrize(
    ("found", "possible", "said"),
    [
        (0.188, 0.747, "hardly found: Rand index 0.188, of 0.747 possible"),
        (0.4, 0.8, "found in part"),
        (0.77, 0.905, "largely found"),
        (-0.01, 0.5, "hardly"),
        (0.0, 0.001, "nobody could tell apart"),
        (0.9, None, "largely found: Rand index 0.900"),
    ],
)
def test_groups_are_found_by_the_share_of_what_is_possible(
    results, found, possible, said
):
    groups = Groups(adjusted_rand=found, posterior_adjusted_rand=possible)
    run = results.model_copy(update={"groups": groups})
    assert said in embeddings.figure(run).heading


def test_how_far_routers_commit_is_told_as_a_share_of_the_way(results):
    edges = [i / 25 for i in range(26)]
    one_hot = [[20.0, *[0.0] * 23, 5.0]] * 5  # four fifths at 0, one fifth at 1
    alone = Router(edges=edges, with_constraint=one_hot)
    run = results.model_copy(update={"router": alone})
    # Weights count as the middles of their bins, .02 within the ends.
    assert router.figure(run).heading == (
        "Routers are 94 % of the way from an even mix to one expert alone"
    )


def test_bold_means_the_best_model_in_picture_and_table(make_results):
    run = make_results(levels={"stage3": 0.75})
    best = f"{run.metrics['stage3']['accuracy']:.3f}"
    drawn = str(stages.figure(run).draw(720, "stages"))
    assert re.findall(r'value end strong">([\d.]+)<', drawn) == [best]
    assert re.findall(r"<b>([\d.]+)</b>", tables.scores(run)) == [best]
    run.metrics["oppu"]["accuracy"] = run.metrics["stage3"]["accuracy"] - 1e-5
    assert tables.scores(run).count("<b>") == 2


def test_the_own_majority_has_one_name(results):
    html = render(results)
    assert "most common answer" not in html.lower()
    assert not re.search(r"(?<!Own )(?<!Global )Majority", html)
    assert "own majority" in standfirst(results)


def test_a_name_that_is_twice_the_same_stands_there_once(results):
    data = results.data.model_copy(update={"name": results.task})
    html = render(results.model_copy(update={"data": data}))
    assert f'<p class="kicker">{results.task} · 100 users · seed 0</p>' in html
    assert "world tagging · tagging · 100 users" in render(results)


def test_users_are_whole_people(results):
    run = results.model_copy(update={"worse_than_stage1": {"chosen": 0.03}})
    assert "served worse than by stage 1: 3 of 100 users" in table(run)
    assert "served 3 of 100 users better" in standfirst(run)
    assert "<td>3 of 100 users</td>" in render(run)


@pytest.mark.parametrize("name", ["tagging", "rating", "rewriting"])
def test_results_that_were_recorded_are_still_drawn(name):
    recorded = load(RECORDED / f"world-{name}-seed0.json")
    assert len(drawings(render(recorded))) == 2 * len(PICTURES)
    assert table(recorded)


def test_degenerate_runs_are_drawn(make_results):
    results = make_results(levels=dict.fromkeys(make_results().metrics, 0.0))
    one = results.model_copy(
        update={
            "gain_by_user": results.gain_by_user[:1],
            "embeddings": results.embeddings[:1],
            "loss_by_round": {"population": [1.0]},
            "learning_curve": results.learning_curve.model_copy(
                update={
                    "entries": [4, "all"],
                    "methods": {"stage2": {"accuracy": [0.5, 0.5]}},
                    "paired": {},
                }
            ),
        }
    )
    assert len(drawings(render(one))) == 2 * len(PICTURES)


def test_the_terminal_table_fits_and_names_every_method(results, bare_results):
    for each in (results, bare_results):
        text = table(each)
        assert text.isascii()
        assert max(len(line) for line in text.splitlines()) <= 80
        for method in each.metrics:
            assert re.search(rf"^{method} +\d", text, flags=re.MULTILINE)
    assert "served worse than by stage 1" in table(results)


def test_columns_of_the_terminal_table_are_aligned(results):
    block = table(results).split("\n\n")[1].splitlines()
    ends = {line.index(".") for line in block[2:]}
    assert len(ends) == 1


def test_counted_nouns_are_english():
    said = [count(n, noun) for n, noun in ((1, "entry"), (5, "entry"), (1200, "user"))]
    assert said == ["1 entry", "5 entries", "1,200 users"]


def draw_anew(*words):
    return CliRunner().invoke(main, ["report", *map(str, words)])


def test_a_page_may_lie_in_a_folder_that_is_not_there_yet(results, tmp_path):
    write(tmp_path / "results.json", results)
    page = tmp_path / "new" / "folder" / "page.html"
    drawn = draw_anew(tmp_path / "results.json", "--out", page)
    assert drawn.exit_code == 0, drawn.output
    assert page.read_text() == render(results)


@pytest.mark.parametrize("place", ["", "results.json/page.html"])
def test_a_place_where_no_page_can_be_is_refused_by_its_name(results, tmp_path, place):
    write(tmp_path / "results.json", results)
    drawn = draw_anew(tmp_path / "results.json", "--out", tmp_path / place)
    assert drawn.exit_code == 2
    assert str(tmp_path) in drawn.stderr
    assert ".tmp" not in drawn.stderr
    assert "hint: " in drawn.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
