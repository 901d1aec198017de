"""Being asked to end, twice; in this process, whose handlers are put back."""

import os
import signal
import threading

import pytest

from proper_client.stopping import heed_signals

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture
def stop():
    before = {number: signal.getsignal(number) for number in SIGNALS}
    heed_signals(made := threading.Event())
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_first_sigterm_asks_and_the_second_interrupts(stop):
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.wait(60)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_sigterm_while_the_lock_of_the_event_is_held_blocks_nobody(stop):
    with stop._cond:  # as it is for a moment by whoever waits
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.wait(60)


def test_ctrl_c_interrupts_at_once(stop):
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    assert not stop.is_set()
