"""A real deployment on loopback in which everything is killed once."""

import json

import numpy as np
import pytest
import toy_federation as toy

from proper_client.member import Member

pytestmark = pytest.mark.deployment
ROUNDS = 4
# Devices round by the system's randomness, which nobody can replay. That sums are exact
# in the ring is shown in tests/shared/secagg.
ROUNDING = 0.003


def replayed(rounds, clients):
    """The same federation in this process, with those who are in each round's sum."""
    members = {seat: Member(toy.user(seat)) for seat in range(clients)}
    trainer, found = toy.ToyTrainer(), {}
    for part in toy.parts(ROUNDS):
        for number, done in enumerate(rounds[part.stage]):
            if done.failed:  # its order was signed before the leader died
                continue
            gone = {drop.seat for drop in done.dropped}
            stayed = [members[seat] for seat in members if seat not in gone]
            vectors = trainer.train(part.order(number), stayed)
            total = np.sum(np.array(vectors, np.float64), axis=0)
            part.apply(number, total, len(stayed))
        found |= part.values
    return found


def test_every_kind_of_process_is_killed_and_the_sum_of_those_who_stayed_is_exact(
    house,
):
    house.up()
    for seat in range(4):
        house.client(seat)
    house.leader(ROUNDS)
    house.wait_for_rounds(1)
    house.kill("client-3")
    house.client(3)
    house.wait_for_rounds(2)
    house.kill("leader")
    house.leader(ROUNDS)
    house.wait_for_rounds(3)
    house.kill_child("superlink")
    house.wait_for_rounds(4)
    house.kill_child("door")
    house.wait_for_rounds(5)
    house.kill("up")
    house.up()
    house.wait_for_end("leader")
    rounds = house.rounds()
    assert {stage: len(log) for stage, log in rounds.items()} == {
        "population": ROUNDS,
        "group": ROUNDS,
    }
    found = json.loads((house.deployment.folder / "values.json").read_text())
    expected = replayed(rounds, 4)
    assert found.keys() == expected.keys()
    assert distance(found, expected) < ROUNDING
    nobody_lost = {
        stage: [done.model_copy(update={"dropped": ()}) for done in log]
        for stage, log in rounds.items()
    }
    if any(done.dropped for log in rounds.values() for done in log):
        assert distance(found, replayed(nobody_lost, 4)) > ROUNDING


def distance(found, expected):
    """How far two sets of tensors are apart, over the norm of the second."""
    here = np.concatenate([np.ravel(found[name]) for name in expected])
    there = np.concatenate([np.ravel(expected[name]) for name in expected])
    return np.linalg.norm(here - there) / np.linalg.norm(there)


def test_no_bundle_is_ever_asked_for(house):
    house.up()
    for seat in range(4):
        house.client(seat)
    house.leader(1)
    house.wait_for_end("leader")
    said = (house.deployment.folder / "logs" / "superlink.log").read_text()
    asked = {
        line.split('"')[1].split()[1] for line in said.splitlines() if "POST" in line
    }
    assert "/v1/fleet/get-run" in asked  # Flower does not log the frequent calls
    assert not {call for call in asked if "fab" in call}
