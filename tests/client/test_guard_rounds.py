"""The guard at the door of a device's rounds, from log to vector."""

from datetime import date

import numpy as np
import pytest
from offered import ME, MEMBERS, NOW, a_proposal

from proper_client.guard_record import load_record
from proper_client.guard_rounds import DeviceGate
from proper_client.ledger_entry import Purpose, read_ledger
from proper_client.policy import Policy
from proper_shared.errors import ProtocolError
from proper_shared.secagg.binding import two_bytes
from proper_shared.secagg.checks import Refusal
from proper_shared.secagg.keys import HeldSigner
from proper_shared.secagg.membership import Log
from proper_shared.secagg.messages import Phase, write

COORDINATOR = HeldSigner(bytes([9]) * 32)
LOG = Log.found(COORDINATOR, None, date(2025, 1, 1))
for member in MEMBERS:
    LOG = LOG.add(COORDINATOR, member, date(2025, 1, 1))
POLICY = Policy(min_vouched=0, only_plugged_in=False)


def gate_of(vault, door):
    return DeviceGate(vault, door, POLICY, ME, LOG.federation, 40, lambda: NOW)


def terms(**changes):
    return a_proposal(federation=LOG.federation.hex(), **changes)


def play(gate, phases=Phase, **changes):
    gate.admit(terms(**changes))
    for phase in phases:
        gate.leaving(terms(**changes), request(phase))


def request(phase, survivors=range(12)):
    body = two_bytes(*survivors) if phase is Phase.AGREE else b""
    return write(phase, bytes(32), body)


def test_nobody_is_known_before_a_log_was_seen(vault, door):
    with pytest.raises(Refusal) as caught:
        gate_of(vault, door).admit(terms())
    assert caught.value.name == "outside-the-log"


def test_a_device_that_starts_anew_still_knows_the_members(vault, door):
    gate_of(vault, door).see(LOG.dump())
    gate = gate_of(vault, door)
    gate.admit(terms())
    assert gate.known(terms().offer).members.keys() >= {ME}


def test_who_agreed_to_have_a_sum_opened_adds_to_no_other_of_that_order(vault, door):
    gate = gate_of(vault, door)
    gate.see(LOG.dump())
    play(gate)
    again = {"attempt": 1}
    gate.admit(terms(**again))
    for post in (gate, gate_of(vault, door)):  # and after a restart
        with pytest.raises(Refusal) as caught:
            post.leaving(terms(**again), request(Phase.AGREE, range(11)))
        assert caught.value.name == "same-order"
        with pytest.raises(Refusal) as caught:
            post.admit(terms(serial=9, run="cd" * 16))
        assert caught.value.name == "same-order"
    play(gate, serial=9)  # the very same sum


def test_into_one_sum_goes_one_update(vault, door):
    gate = gate_of(vault, door)
    gate.see(LOG.dump())
    update = np.linspace(-1, 1, 2001, dtype=np.float32)
    gate.adding(terms(), update)
    first = gate.rounding(terms())(64)
    other = update.copy()
    other[7] += 1e-6
    for post in (gate, gate_of(vault, door)):  # and after a restart
        post.adding(terms(attempt=1), update)
        assert post.rounding(terms(attempt=1))(64) == first
        with pytest.raises(Refusal) as caught:
            post.adding(terms(serial=9), other)
        assert caught.value.name == "other-update"
        post.adding(terms(run="cd" * 16), other)  # another sum
        assert post.rounding(terms(run="cd" * 16))(64) != first


def test_survivors_that_cannot_be_read_are_not_signed_for(vault, door):
    gate = gate_of(vault, door)
    gate.see(LOG.dump())
    gate.admit(terms())
    for odd in (
        bytes([Phase.AGREE]),
        request(Phase.AGREE, (3, 1)),
        write(Phase.AGREE, bytes(32), b"\0c"),
    ):
        with pytest.raises(Refusal) as caught:
            gate.leaving(terms(), odd)
        assert caught.value.name == "malformed"
    assert not load_record(vault).agreed


def test_an_attempt_that_nobody_signed_may_be_made_again(vault, door):
    gate = gate_of(vault, door)
    gate.see(LOG.dump())
    play(gate, (Phase.JOIN, Phase.SHARE, Phase.MASK))
    play(gate, attempt=1)


def test_a_vector_leaves_once_and_each_phase_has_its_name(vault, door):
    gate = gate_of(vault, door)
    gate.see(LOG.dump())
    gate.admit(terms())
    gate.leaving(terms(), bytes([Phase.MASK]))
    with pytest.raises(Refusal) as caught:
        gate.leaving(terms(), bytes([Phase.MASK]))
    assert caught.value.name == "sent-already"
    gate.leaving(terms(), bytes([Phase.OPEN]))
    gate.refused(ProtocolError("got nonsense"))
    names = [entry.name for entry in read_ledger(vault)]
    assert names == ["sent-already", "malformed"]


class Reply:
    def __init__(self, failed):
        self.has_error = lambda: failed


def test_replies_are_sorted_by_what_was_asked_last(vault, door):
    gate = gate_of(vault, door)
    gate.see(LOG.dump())
    assert gate.sort(None, Reply(failed=False))[0] is Purpose.QUERY
    gate.admit(terms())
    expected = {
        Phase.JOIN: Purpose.JOIN,
        Phase.SHARE: Purpose.SHARE,
        Phase.MASK: Purpose.MASKED_UPDATE,
        Phase.AGREE: Purpose.AGREE,
        Phase.OPEN: Purpose.OPEN,
    }
    for phase, purpose in expected.items():
        gate.leaving(terms(), request(phase))
        found, place = gate.sort(None, Reply(failed=False))
        assert (found, place.serial) == (purpose, terms().offer.serial)
    assert gate.sort(None, Reply(failed=True))[0] is Purpose.ERROR
