"""A federation small enough to follow: least squares of low rank, without torch.

Each user holds points of a map that is much like the others'. The population part fits
B A to all of them; the group part fits two experts and keeps an embedding for each
user, which depends on every round that the user took part in.

As a program, for tests that need a process of its own (see `main`).
"""

import json
import os
import signal
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from proper_coordinator.flower import NO_BASE
from proper_coordinator.plan import Plan
from proper_shared.history import Entry, User
from proper_shared.method.config import Recipe
from proper_shared.rounds import FACTORS, Outline, Part, Schedule, Shape
from proper_simulations.crowd import Crowd
from proper_simulations.federation import Job, run_federation

IN, OUT, RANK, EXPERTS, EMBEDDING = 6, 4, 2, 2, 3
POPULATION = Shape({}, {"l.population.a": (RANK, IN), "l.population.b": (OUT, RANK)})
COMMON = np.random.default_rng(2).normal(size=(IN, OUT))
GROUP = Shape(
    POPULATION.trained,
    {"l.group.a": (EXPERTS * RANK, IN), "l.group.b": (OUT, EXPERTS * RANK)},
    layers=1,
    experts=EXPERTS,
)


def user(seat):
    return User(f"user-{seat}", (Entry("0", f"the secret of {seat}", "x"),))


def schedule(rounds):
    recipe = Recipe(learning_rate=0.1, steps=5)
    return Schedule(rounds=rounds, recipe=recipe, momentum=0.5)


def population(rounds=4):
    rng = np.random.default_rng(0)
    return Part(
        "population",
        POPULATION,
        schedule(rounds),
        {
            "l.population.a": rng.normal(size=(RANK, IN)),
            "l.population.b": np.zeros((OUT, RANK)),
        },
    )


def group(earlier, rounds=4):
    rng = np.random.default_rng(1)
    fresh = {
        "l.group.a": rng.normal(size=(EXPERTS * RANK, IN)),
        "l.group.b": np.zeros((OUT, EXPERTS * RANK)),
    }
    return Part("group", GROUP, schedule(rounds), {**earlier, **fresh})


def parts(rounds=4):
    first = population(rounds)
    yield first
    yield group(first.values, rounds)


def outline(rounds=4):
    """Return what `parts` will ask for."""
    return tuple(
        Outline(stage, tuple(shape.incoming(FACTORS[r % 2]) for r in range(rounds)))
        for stage, shape in (("population", POPULATION), ("group", GROUP))
    )


class ToyTrainer:
    """Gradient steps on the factor of the order, for each member by itself."""

    base = NO_BASE

    def layout(self, order):
        shape = GROUP if order.stage == "group" else POPULATION
        return shape.incoming(order.factor)

    def train(self, order, members):
        return [self._train(order, member) for member in members]

    def _train(self, order, member):
        seed = zlib.crc32(member.user.user_id.encode())
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(20, IN)).astype(np.float32)
        own = 0.3 * rng.normal(size=(IN, OUT))
        y = x @ (COMMON + own).astype(np.float32)
        shape = GROUP if order.stage == "group" else POPULATION
        values = shape.outgoing().unpack(order.parameters)
        a, b = (values[f"l.{order.stage}.{factor}"].copy() for factor in "ab")
        start = {"a": a.copy(), "b": b.copy()}
        rate = np.float32(order.schedule.recipe.learning_rate)
        for _ in range(order.schedule.recipe.steps):
            slope = 2 * (x @ a.T @ b.T - y) / len(x)
            if order.factor == "a":
                a -= rate * (b.T @ slope.T @ x)
            else:
                b -= rate * (slope.T @ (x @ a.T))
        loss = np.array([np.square(x @ a.T @ b.T - y).mean()])
        name = f"l.{order.stage}.{order.factor}"
        update = {"a": a, "b": b}[order.factor] - start[order.factor]
        answer = {name: update, "loss": loss}
        if order.stage == "group":
            fresh = rng.normal(size=EMBEDDING).astype(np.float32)
            old = member.state.get("embedding", fresh)
            member.state["embedding"] = (old * 0.9 + loss * 0.1).astype(np.float32)
            answer["use"] = np.full((1, EXPERTS), 1 / EXPERTS)
            answer["direction"] = np.full((1, EXPERTS), old.sum())
        return shape.incoming(order.factor).pack(answer)


@dataclass
class ToySite:
    """People and trainer; in round `kill_at` of the group part the process dies."""

    nodes: int
    kill_at: int | None = None

    def user(self, seat):
        return [user(number) for number in range(self.nodes)][seat]

    def signer(self, seat):
        return Crowd(self.nodes, 0).signer(seat)

    def me(self, seat, offer):
        return Crowd(self.nodes, 0).me(seat, offer)

    def rounding(self, seat, terms):
        return Crowd(self.nodes, 0).rounding(seat, terms)

    def trainer(self):
        return _Mortal(self.kill_at)


@dataclass
class _Mortal(ToyTrainer):
    kill_at: int | None

    def train(self, order, members):
        updates = super().train(order, members)
        if order.stage == "group" and order.round == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return updates


def main():
    """Run `{engine, folder, nodes, ...}` from the command line, print the result."""
    asked = json.loads(sys.argv[1])
    job = Job(
        nodes=asked["nodes"],
        folder=Path(asked["folder"]),
        identity="toy",
        plan=Plan(cohort_size=asked["cohort"], seed=5),
        engine=asked["engine"],
    )
    rounds = asked.get("rounds", 4)

    def watch(progress):
        say(progress.stage, progress.round)
        if [progress.stage, progress.round] == asked.get("interrupt_after"):
            os.kill(os.getpid(), signal.SIGINT)

    site = ToySite(asked["nodes"], asked.get("kill_at"))
    try:
        outcome = run_federation(parts(rounds), site, job, watch)
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)
    sys.stdout.write(json.dumps(summary(outcome)))


def say(*words):
    sys.stderr.write(" ".join(map(str, words)) + "\n")


def summary(outcome):
    """Return numbers to compare runs by, exact in JSON."""
    values = {
        name: array.ravel().tolist()
        for part in outcome.parts
        for name, array in part.values.items()
    }
    states = {
        seat: {name: array.tolist() for name, array in state.items()}
        for seat, state in outcome.members.items()
    }
    counts = {s: [r.count for r in rounds] for s, rounds in outcome.rounds.items()}
    return {
        "values": values,
        "members": {str(seat): state for seat, state in states.items()},
        "counts": counts,
        "bytes_up": outcome.bytes_up,  # the numbers of rounds make the way down differ
    }


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # nohup leaves it ignored
    main()
