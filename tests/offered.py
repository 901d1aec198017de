"""A sound offer, a guard that agrees to it, and how to change one point of either."""

from datetime import datetime, timedelta, timezone

import numpy as np

from proper_client.guard import Acquaintance, Guard, Situation
from proper_client.guard_record import Record, save_record
from proper_client.guard_watch import Watch
from proper_client.ledger_entry import Purpose, read_ledger
from proper_client.policy import Policy
from proper_shared.method.config import Recipe
from proper_shared.offers import Noise, Offer
from proper_shared.packing import Layout
from proper_shared.rounds import Order, Schedule
from proper_shared.terms import Terms

NOW = datetime(2026, 11, 21, 23, 30, tzinfo=timezone(timedelta(hours=1)))
LONG_AGO, YESTERDAY = NOW - timedelta(days=400), NOW - timedelta(days=1)
MEMBERS = [bytes([n]) * 32 for n in range(1, 31)]
ME, FEDERATION = MEMBERS[4], bytes([77]) * 32
LAYOUT = Layout({"layer.population.b": (40, 50), "loss": (1,)})
NOISE = Noise(multiplier=4.0, delta=1e-5, participations=50)


def cohort_of(*places):
    return tuple(sorted(MEMBERS[place].hex() for place in places))


def an_offer(**changes):
    fields = {
        "federation": FEDERATION.hex(),
        "base": "0" * 64,
        "run": "ab" * 16,
        "serial": 3,
        "attempt": 0,
        "cohort": cohort_of(*range(12)),
        "masked": True,
        "ring_bits": 16,
        "noise": None,
    }
    bounds = {"update": 1.0, "loss": 10.0}
    if changes.get("noise") is None:
        bounds["norms"] = 60.0  # norms are sent where no noise hides them
    return Offer(**{**fields, "bounds": bounds, **changes})


def an_order(**recipe):
    fields = {"learning_rate": 1e-3, "steps": 10, "batch": 8}
    schedule = Schedule(rounds=20, recipe=Recipe(**{**fields, **recipe}))
    return Order("population", "b", 3, schedule, np.zeros(4, np.float32))


def a_proposal(order=None, layout=LAYOUT, **changes):
    return Terms(an_offer(**changes), order or an_order(), layout)


def a_situation(**changes):
    fields = {"now": NOW, "plugged_in": True, "items": 40}
    return Situation(**{**fields, **changes})


def a_guard(members=None, **policy):
    everybody = {who: Acquaintance(trusted=False, since=LONG_AGO) for who in MEMBERS}
    known = everybody if members is None else members
    return Guard(Policy(**policy), ME, FEDERATION, known)


def newcomers(count):
    """All members; the first `count` were first seen yesterday."""
    return {
        who: Acquaintance(trusted=False, since=YESTERDAY if n < count else LONG_AGO)
        for n, who in enumerate(MEMBERS)
    }


AGREED = Record(identity=ME.hex()).after_agreeing(an_offer())


def watch_of(guard, vault, door, record=None):
    if record is not None:
        save_record(vault, record)
    return Watch(guard, vault, door)


def refusals(vault):
    return [entry for entry in read_ledger(vault) if entry.purpose == Purpose.REFUSAL]
