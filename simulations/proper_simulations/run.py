"""The main job: from nothing to personal models, and a page that shows what came of it.

    data -> federation (population, groups, warm start) -> release
         -> personal models for each length of history -> results.json, report.html

Every finished round and every finished piece of the exam is kept in `OUT/work`, so the
same command goes on where it was stopped.
"""

import hashlib
import importlib.metadata
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from proper_client.answer import Answerer
from proper_shared.allocator import keep_freed_memory
from proper_shared.backbone import public_name
from proper_shared.durable import write_file
from proper_shared.errors import ConfigError
from proper_shared.finished import finished_release
from proper_shared.grouping import Grouping
from proper_shared.locks import alone
from proper_shared.privacy.budget import Budget
from proper_shared.progress import Progress
from proper_shared.release import (
    BackboneId,
    Header,
    write_release,
)
from proper_shared.rounds import Part
from proper_simulations import summary
from proper_simulations.config import RunConfig
from proper_simulations.exam import Exam, Point, newest, released
from proper_simulations.federation import Job, Outcome, run_federation
from proper_simulations.pieces import Pieces, code_fingerprint
from proper_simulations.places import check_out
from proper_simulations.report import render, table
from proper_simulations.results import (
    METHODS,
    Data,
    Executed,
    Results,
    write,
)
from proper_simulations.rivals import Answers, majority, own_majority
from proper_simulations.settings import plan_of
from proper_simulations.site import RunSite

if TYPE_CHECKING:
    from proper_client.trainer import Trainer
    from proper_coordinator.flower import Progress as RoundDone
    from proper_shared.history import User
    from proper_simulations.dataset import Dataset
    from proper_simulations.settings import Settings

Weights = list[list[list[float]]]  # (U, L, E)
LIBRARIES = ("torch", "transformers", "peft", "flwr", "numpy", "safetensors", "proper")


def run(config: RunConfig) -> str:
    """Run the main job and return the table that is printed at its end.

    Raises:
        ConfigError: the options or the folder of the run do not fit together.
        DataError: the histories are wrong.
        ModelError: the backbone is not there or does not fit.
    """
    keep_freed_memory()
    check_out(config.out)
    return Run(config).execute()


class Routed(NamedTuple):
    """How tested users weigh the experts.

    Attributes:
        weights: (U, L, E).
        without: the same, trained without the constraint loss; None if that was not.
    """

    weights: Weights
    without: Weights | None


class Run:
    """One run of the main job.

    Args:
        config: what to run.
    """

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.site = RunSite(config)
        self.data: Dataset = self.site.data
        self.settings: Settings = self.site.settings
        self.trainer: Trainer = self.site.trainer()
        self.members: Sequence[User] = self.site.members()
        self.show = Progress()
        self.seconds: dict[str, float] = {}
        if not self.members or not self.data.users:
            raise ConfigError(
                f"got {len(self.members)} members and {len(self.data.users)} users to "
                "test, expected one of each at least",
                hint="give a data folder with histories and queries",
            )

    def execute(self) -> str:
        """Do all steps in their order; return the table."""
        out = self.config.out
        out.mkdir(parents=True, exist_ok=True)
        with alone(out, "run"):
            return self._execute(out)

    def _execute(self, out: Path) -> str:
        pieces = Pieces(out / "work" / "exam", self.identity)
        base = pieces.get("base", self._base)
        outcome = self._federate()
        group, last = parts_of(outcome)
        self._release(group, last, outcome.budget)
        without = None
        if self.config.ablation:
            without = pieces.get("ablation", lambda: self._without(outcome))
        exam = Exam(self.trainer, group, last, self.settings, pieces)
        weights = exam.routing(self.data.users)
        points = exam.points(self.data.users, self.show)
        self.seconds = {"federation": outcome.seconds, **pieces.seconds}
        answers = self._answers(points[None], cast("Answers", base))
        routed = Routed(weights, cast("Weights | None", without))
        results = self._results(outcome, points, answers, routed)
        write(out / "results.json", results)
        write_file(out / "report.html", render(results).encode())
        return table(results)

    @property
    def identity(self) -> str:
        """All that the result depends on, as a hash."""
        words = (
            self.settings.model_dump_json(exclude={"curve"}),  # each point is a piece
            self.data.fingerprint,
            self.trainer.fingerprint,
            str(self.config.seed),
            str(self.config.users),
            str(self.config.masks),
            code_fingerprint(),
            *self._noise,
        )
        return hashlib.sha256("\n".join(words).encode()).hexdigest()

    @property
    def _noise(self) -> tuple[str, ...]:
        """What a result under noise depends on besides."""
        config = self.config
        return () if config.epsilon is None else (f"{config.epsilon} {config.delta}",)

    def _base(self) -> JsonValue:
        """Answer with the backbone alone: fresh adapters change nothing."""
        self.trainer.adapted.users.use()
        answerer = Answerer(self.trainer.adapted, self.trainer.encoder)
        answers = answerer.answers(
            [[query.text for query in user.queries] for user in self.data.users]
        )
        return cast("JsonValue", answers)

    def _federate(self) -> Outcome:
        """Train the three federated parts, or take them up from the checkpoints."""
        return run_federation(
            self.site.parts(), self.site, self._job("federation"), self._watch
        )

    def _job(self, name: str) -> Job:
        canary = self.site.canary()
        return Job(
            nodes=len(self.members),
            folder=self.config.out / "work" / name,
            identity=self.identity,
            plan=plan_of(self.config, self.settings),
            engine=self.config.engine,
            canary=None if canary is None else canary.measure,
            outline=self.site.outline(),
            say=self._say,
        )

    def _say(self, words: str) -> None:
        self.show.close()
        sys.stderr.write(f"{words}\n")

    def _watch(self, at: "RoundDone") -> None:
        loss = None if at.stage == "grouping" else at.outcome.loss
        self.show(at.stage, at.round + 1, at.rounds, loss)

    def _without(self, outcome: Outcome) -> JsonValue:
        """Train groups without the constraint loss; return how users are routed."""
        found = {part.stage: part for part in outcome.parts}
        population, grouping = found["population"], found["grouping"]
        if not isinstance(population, Part) or not isinstance(grouping, Grouping):
            raise TypeError("a federation starts with population and grouping")
        schedule = self.settings.group.model_copy(update={"constraint_weight": 0.0})
        part = self.trainer.blueprint.group_part(schedule, population, grouping)
        job = self._job("without-constraint")
        run_federation([part], self.site, job, self._watch)
        exam = Exam(self.trainer, part, part, self.settings, Pieces(job.folder, ""))
        return cast("JsonValue", exam.routing(self.data.users))

    def _release(self, group: Part, last: Part, budget: Budget) -> None:
        """Write the release: deltas in parts, and the merged model."""
        header = Header(
            task=self.data.task.name,
            method=self.settings.method,
            personal=self.settings.personal.model_dump(),
            backbone=BackboneId(
                name=public_name(self.config.backbone),
                fingerprint=self.trainer.fingerprint,
            ),
            seed=self.config.seed,
            privacy=budget.spelt,
        )
        self.trainer.open_release(released(last), group.mean_embedding)
        write_release(
            self.config.out / "release",
            finished_release(header, group, last),
            self.trainer.write_merged,
        )

    def _answers(self, point: Point, base: Answers) -> dict[str, Answers]:
        """Return the answers of every method of the table, with all entries."""
        answers = {"base": base, **point.answers}
        users = self.data.users
        if self.data.task.labels:
            seen = self.members
            answers["global_majority"] = majority(users, seen)
            answers["own_majority"] = own_majority(users, seen)
        if self.data.truth is not None:
            truth = self.data.truth
            answers["best_given_history"] = [truth.best_given_history(u) for u in users]
            answers["best_possible"] = [truth.best_possible(u) for u in users]
        return {name: answers[name] for name in METHODS if name in answers}

    def _ceilings(self, counts: Sequence[int | None]) -> dict[int | None, Answers]:
        """Return the best answers given each length of history, where known."""
        truth = self.data.truth
        if truth is None:
            return {}
        return {
            count: [
                truth.best_given_history(newest(user, count))
                for user in self.data.users
            ]
            for count in counts
        }

    def _results(
        self,
        outcome: Outcome,
        points: Mapping[int | None, Point],
        answers: Mapping[str, Answers],
        routed: "Routed",
    ) -> Results:
        """Put together what results.json holds."""
        scorer = summary.Scorer(self.data, np.random.default_rng(self.config.seed))
        scored = scorer.table(answers)
        groups = {} if self.data.truth is None else self.data.truth.groups
        seats = [s for s, state in outcome.members.items() if "embedding" in state]
        known = [self.members[seat] for seat in seats]
        routes = routes_of(outcome, seats)
        return Results(
            task=self.data.task.name,
            metric=scorer.main,
            metrics={name: scorer.scores(own) for name, own in answers.items()},
            intervals=scored.intervals(),
            paired=scored.pairs(),
            gap_share=scored.shares(),
            worse_than_stage1=scored.worse(),
            chosen=summary.chosen_counts(points[None]),
            learning_curve=summary.curve(scorer, points, self._ceilings([*points])),
            groups=summary.recovered_groups(self.data, known, routes, routed.weights)
            if seats
            else None,
            gain_by_user=scored.gains(groups),
            scores_by_user={
                name: {metric: list(own.values()) for metric, own in by.items()}
                for name, by in scored.scores.items()
            },
            router=summary.densities(routed.weights, routed.without),
            embeddings=summary.spots(self.data, known, routes),
            loss_by_round={
                stage: [r.loss for r in rounds if r.loss is not None]
                for stage, rounds in outcome.rounds.items()
                if stage != "grouping"
            },
            timings_s=self.seconds,
            bytes={"down": outcome.bytes_down, "up": outcome.bytes_up},
            seed=self.config.seed,
            command=command_line(self.config),
            data=Data(name=self.data.name, sha256=self.data.fingerprint),
            versions=versions(),
            executed=self._executed(outcome),
        )

    def _executed(self, outcome: Outcome) -> Executed:
        settings = {
            key: value
            for part, dump in self.settings.model_dump().items()
            for key, value in flat(part, dump).items()
        }
        return Executed(
            engine=self.config.engine,
            cohort_size=min(self.settings.cohort_size, len(self.members)),
            rounds={stage: len(rounds) for stage, rounds in outcome.rounds.items()},
            masks=self.config.masks,
            privacy=outcome.budget.summary(),
            quick=self.config.quick,
            backbone=public_name(self.config.backbone),
            backbone_sha256=self.trainer.fingerprint,
            group_level=self.settings.group_level,
            users=len(self.data.users),
            others=len(self.members),
            queries=sum(len(user.queries) for user in self.data.users),
            settings=settings,
        )


def parts_of(outcome: Outcome) -> tuple[Part, Part]:
    """Return the group part and the last part of a finished federation."""
    trained = {part.stage: part for part in outcome.parts if isinstance(part, Part)}
    return trained["group"], trained["lora_router"]


def routes_of(outcome: Outcome, seats: Sequence[int]) -> NDArray[np.floating]:
    """Return members' embeddings as the routers see them: `W_u e` of all layers.

    There are none where the budget was spent before groups were trained.
    """
    if not seats:
        return np.zeros((0, 0))
    values = parts_of(outcome)[1].values
    w_u = [value for name, value in values.items() if name.endswith(".w_u")]
    embeddings = np.stack([outcome.members[seat]["embedding"] for seat in seats])
    return embeddings @ np.concatenate(w_u).T  # (M, L*E)


def command_line(config: RunConfig) -> str:
    """Return the command of a run, with local folders by their names alone."""
    words = ["proper-sim", "run"]
    if config.data is not None:
        words += ["--data", config.data.resolve().name]
        words += ["--task", config.task] if config.task else []
    else:
        words += ["--world", str(config.world)]
    words += ["--users", str(config.users), "--backbone", public_name(config.backbone)]
    words += ["--engine", config.engine, "--seed", str(config.seed)]
    if config.curve is not None:
        words += ["--curve", ",".join(map(str, config.curve)) or "none"]
    words += [] if config.masks else ["--no-masks"]
    if config.epsilon is not None:
        words += ["--epsilon", f"{config.epsilon:g}", "--delta", f"{config.delta:g}"]
    words += ["--ablation"] if config.ablation else []
    if config.group_level != "auto":
        words += ["--group-level", config.group_level]
    return shlex.join([*words, "--quick"] if config.quick else words)


def versions() -> dict[str, str]:
    """Return the versions of what a result depends on."""
    found = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {"python": platform.python_version(), **found}


def flat(name: str, value: JsonValue) -> dict[str, str | int | float | bool | None]:
    """Flatten nested settings: `{"group": {"rounds": 60}}` to `group.rounds`."""
    if isinstance(value, dict):
        inner = [flat(f"{name}.{key}", own) for key, own in value.items()]
        return {key: own for part in inner for key, own in part.items()}
    if isinstance(value, list | tuple):
        return {name: " ".join(str(item) for item in value)}
    return {name: value}
