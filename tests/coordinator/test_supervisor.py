"""Processes start anew when they die, later and later while they keep dying."""

import sys
import threading

from proper_coordinator.supervisor import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    STEADY_S,
    Child,
    Supervisor,
)


class Process:
    """A process whose end a test decides."""

    def __init__(self):
        self.code = None

    def poll(self):
        return self.code


class Playing(Child):
    def start(self, now):
        self.process, self.started = Process(), now
        self.starts = [*getattr(self, "starts", []), now]


def child(tmp_path, made=Playing, command=("true",)):
    return made("toy", command, tmp_path / "toy.log", {})


def test_who_keeps_dying_is_started_later_and_later(tmp_path):
    toy, said, now = child(tmp_path), [], 0.0
    while len(getattr(toy, "starts", [])) < 12:
        toy.look(now, said.append)
        if toy.process is not None:
            toy.process.code = 1
        now += 0.25
    pauses = [b - a for a, b in zip(toy.starts, toy.starts[1:], strict=False)]
    assert pauses == sorted(pauses)
    assert FIRST_PAUSE_S <= pauses[0] < pauses[4] < pauses[-1] <= LONGEST_PAUSE_S + 1
    assert said[0] == f"toy ended (1), starting it anew in {FIRST_PAUSE_S:g} s"


def test_who_ran_for_long_starts_again_at_once(tmp_path):
    toy = child(tmp_path)
    toy.pause_s = LONGEST_PAUSE_S
    toy.look(0.0, lambda _: None)
    toy.process.code = 1
    toy.look(STEADY_S + 1, lambda _: None)
    toy.look(STEADY_S + 1 + FIRST_PAUSE_S, lambda _: None)
    assert toy.starts == [0.0, STEADY_S + 1 + FIRST_PAUSE_S]


def test_who_runs_is_left_alone(tmp_path):
    toy = child(tmp_path)
    for now in range(100):
        toy.look(float(now), lambda _: None)
    assert toy.starts == [0.0]


def test_all_end_with_the_supervisor(tmp_path):
    waits = (
        sys.executable,
        "-c",
        "import sys; print('up', flush=1); sys.stdin.read(1)",
    )
    loop = "import time\nwhile True: time.sleep(1)"
    children = [
        child(tmp_path, Child, waits),
        Child("loop", (sys.executable, "-c", loop), tmp_path / "loop.log", {}),
    ]
    stop = threading.Event()
    supervisor = Supervisor(children, stop=stop)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    while children[1].process is None:
        stop.wait(0.01)
    stop.set()
    thread.join()
    assert children[1].process.poll() is not None
