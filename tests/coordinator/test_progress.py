"""What an operator sees of a round."""

import io

import pytest

from proper_coordinator.progress import loss_of, note_of, public_of
from proper_coordinator.settings import parse_settings
from proper_coordinator.store import Round
from proper_shared.errors import ConfigError
from proper_shared.progress import Progress

ROUND = Round(
    loss=1.5,
    count=3,
    public=2.83,
    public_best=2.755,
    dropped=(),
    seconds=4.0,
    bytes_down=1,
    bytes_up=1,
)


def test_no_loss_is_shown_where_there_is_none_or_only_noise():
    assert loss_of("population", ROUND, noisy=False) == 1.5
    assert loss_of("grouping", ROUND, noisy=False) is None
    assert loss_of("population", ROUND, noisy=True) is None


def test_what_public_texts_cost_is_shown_beside_the_best():
    assert public_of(ROUND) == "public 2.830 (best 2.755)"
    assert note_of(ROUND) == "public 2.830 (best 2.755)  took 4.0 s"
    old = ROUND.model_copy(update={"public": None})
    assert note_of(old) == "took 4.0 s"


def test_the_line_of_a_round_says_of_what_the_time_is_left():
    stream, times = io.StringIO(), iter((0.0, 20.0))
    show = Progress(stream, lambda: next(times), of="this part")
    show("group", 1, 4)
    show("group", 2, 4, None, "took 4.0 s")
    assert (
        stream.getvalue()
        .splitlines()[-1]
        .endswith("40 s left of this part  took 4.0 s")
    )


def test_a_pattern_is_shown_as_it_is_written():
    with pytest.raises(ConfigError, match=r"\\S\{1,253\}") as caught:
        parse_settings('address = "no port"')
    assert "--set" in caught.value.hint
