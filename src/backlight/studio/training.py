"""A live training: steps taken a few at a time, with every state before them within reach.

`Trainer` takes what a training starts from and takes its steps with the same engine as `fit`, so
that the numbers are the same; it does nothing by itself and belongs to one thread.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from backlight.errors import BacklightError, BacklightWarning, RunError
from backlight.execute.executors import check_name
from backlight.graph.primitive import Array
from backlight.nn import parameters as parameters_of
from backlight.optim import Optimizer
from backlight.record import Trace, record
from backlight.report.payload import norm, plain
from backlight.studio.asking import Json
from backlight.studio.breakpoints import Breakpoint, dead_units
from backlight.studio.history import StepHistory
from backlight.studio.replay import MOST_REPLAYED_ROWS, step_trace
from backlight.studio.task import Task
from backlight.train import failure
from backlight.train.batches import BatchPlan
from backlight.train.engine import Engine, TrainingState
from backlight.train.metrics import resolve
from backlight.train.objective import LossFunction, describe_loss
from backlight.train.prepare import Prepared, check_outputs, prepare
from backlight.train.run import eager_step
from backlight.train.snapshots import Course, Scales, Snapshots
from backlight.train.step import Model, predicted_spec

MOST_STEPS = 1_000_000
"""Steps after which a live training rests: their numbers are kept in memory."""
CHUNK_SECONDS = 0.02
"""Calls of compiled code are made about this long, so that the page is heard in between."""
MOST_TOGETHER = 4096
SMALL = 1024
"""Networks of at most this many parameters show every weight in each frame."""


@dataclass(frozen=True, eq=False)
class Start:
    """What a training starts from."""

    net: Any
    task: Task
    loss: LossFunction
    optimizer: Optimizer
    batch_size: int | None
    seed: int
    metrics: tuple[str, ...] = ()
    validation: float = 0.0


class Trainer:
    """Takes the steps of one training.

    Parameters
    ----------
    start : Start
    executor : {"native", "reference"}

    Attributes
    ----------
    history : StepHistory
    state : TrainingState
        Before the next step.
    stopped : str or None
        Why it paused by itself.
    """

    def __init__(self, start: Start, executor: str = "native") -> None:
        self.start = start
        self.fallback: str | None = None
        self.tensors = parameters_of(start.net)
        self._first = {name: np.array(each.value) for name, each in self.tensors.items()}
        self.executor = check_name(executor)
        self.engine, self.prepared = self._make_engine()
        metrics = [each.name for each in self.engine.model.metrics]
        self.history = StepHistory(metrics)
        self.state: TrainingState = self.engine.first(self._first)
        self.snapshots = Snapshots()
        self.snapshots.offer(self.state)
        self.scales = Scales()
        self.stopped: str | None = None
        self.breakpoints: tuple[Breakpoint, ...] = ()
        self.until: int | None = None
        self._passed: int | None = None  # the step at which a breakpoint was met already
        self._together = 1
        self._gradients: tuple[int, Mapping[str, float | str]] | None = None
        self._course: Course | None = None

    def _make_engine(self) -> tuple[Engine, Prepared]:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", BacklightWarning)
            engine, prepared = self._engine(self.executor)
            if self.executor == "native":
                try:
                    engine.first(self._first)
                except BacklightError as error:
                    self.fallback = f"Machine code cannot be made: {error}"
                    self.executor = "reference"
                    engine, prepared = self._engine(self.executor)
        if self.fallback is None and said:
            self.fallback = str(said[0].message)
        return engine, prepared

    def _engine(self, executor: str) -> tuple[Engine, Prepared]:
        start = self.start
        objective = describe_loss(start.loss)
        model = Model(
            start.net,
            {name: each.spec for name, each in self.tensors.items()},
            objective,
            start.optimizer,
            resolve(start.metrics, objective.accuracy),
            executor,
        )
        task = start.task
        prepared = prepare(
            (task.inputs(task.dataset.X), task.wanted()),
            validation=start.validation or None,
            objective=objective,
            dtype=model.dtype,
            seed=start.seed,
        )
        spec = predicted_spec(model, prepared.train.specs(1))
        check_outputs(prepared.train.y, spec, "y", objective)
        plan = BatchPlan(len(prepared.train), start.batch_size, start.seed, True)
        return Engine(model, prepared.train, plan, start.seed, norm=True), prepared

    # ── steps ────────────────────────────────────────────────────────────────────────────────

    @property
    def step(self) -> int:
        """The number of the next step."""
        return self.state.step

    @property
    def learning_rate(self) -> float:
        """The rate that the next step would be taken with."""
        rate = self.start.optimizer.learning_rate
        return float(rate) * self.scales.last if isinstance(rate, (int, float)) else math.nan

    def set_learning_rate(self, rate: float) -> None:
        """Let another learning rate hold from the next step on."""
        base = self.start.optimizer.learning_rate
        if isinstance(base, (int, float)):
            self.scales.set(self.step, rate / float(base))

    def resume(self, until: int | None) -> None:
        """Forget why training paused, and go on from there."""
        self.stopped = None
        self._passed = self.step
        self.until = until

    def advance(self, most: int) -> int:
        """Take at most some steps; fewer when something is met.  Return how many were taken.

        What was met stands in ``stopped`` afterwards.
        """
        if self.step >= MOST_STEPS:
            self.stopped = f"Rests after {MOST_STEPS:,} steps; start anew to go on."
            return 0
        if self.until is not None and self.step >= self.until:
            self.stopped = f"Reached step {self.until}, as asked."
            return 0
        if self.until is not None:
            most = min(most, self.until - self.step)
        if not self.engine.iterates:
            return self._one_by_one(most)
        count = max(min(self._count(), most), 1)
        begun = time.perf_counter()
        new, found = self.engine.advance_many(self.state, count, self.scales.last)
        seconds = time.perf_counter() - begun
        done = found.done
        losses = found.losses[: min(done + 1, count)]
        norms = None if found.norms is None else found.norms[: len(losses)]
        place = self._met(losses, norms)
        if place is None and done < count:
            place = done
            self._not_finite()
        if place is not None:
            if place:
                new, found = self.engine.advance_many(self.state, place, self.scales.last)
                self._take(new, found.losses, found.rates, found.norms, found.metrics)
            return place
        self._take(new, found.losses, found.rates, found.norms, found.metrics)
        if seconds < CHUNK_SECONDS / 2:
            self._together = min(self._together * 2, MOST_TOGETHER)
        elif seconds > 2 * CHUNK_SECONDS and self._together > 1:
            self._together //= 2
        self._look_for_dead_units()
        return count

    def _count(self) -> int:
        """How many steps to take at once, ending at a rounder number, where snapshots are kept."""
        count = self._together - self.step % self._together
        return self.engine.together(self.step, count)

    def _one_by_one(self, most: int) -> int:
        begun, taken = time.perf_counter(), 0
        while taken < most and time.perf_counter() - begun < CHUNK_SECONDS:
            new, outcome = self.engine.advance(self.state, self.scales.last)
            losses = np.array([outcome.loss])
            norms = None if outcome.norm is None else np.array([outcome.norm])
            if self._met(losses, norms) is not None:
                break
            if not math.isfinite(outcome.loss):
                self._not_finite()
                break
            rates = np.array([outcome.learning_rate])
            self._take(new, losses, rates, norms, np.array([outcome.metrics]))
            taken += 1
        self._look_for_dead_units()
        return taken

    def _take(
        self, new: TrainingState, losses: Array, rates: Array, norms: Array | None, metrics: Array
    ) -> None:
        self.state = new
        self.snapshots.offer(new)
        self.history.extend(losses, rates, norms, metrics)

    def _met(self, losses: Array, norms: Array | None) -> int | None:
        """The first step that meets a breakpoint; the one that training just left from does not."""
        places: list[tuple[int, Breakpoint]] = []
        skip = 1 if self._passed == self.step else 0
        for each in self.breakpoints:
            later = None if norms is None else norms[skip:]
            place = each.first(self.step + skip, losses[skip:], later)
            if place is not None:
                places.append((place + skip, each))
        if not places:
            return None
        place, met = min(places, key=lambda found: found[0])
        value = None if norms is None else float(norms[place])
        self.stopped = met.reason(self.step + place, float(losses[place]), value)
        return place

    def _not_finite(self) -> None:
        self.stopped = "The next step's loss is not finite; lower the learning rate or start anew."

    def _look_for_dead_units(self) -> None:
        """Pause when a unit has died; looked for after each call, not at every step."""
        if self.stopped or not any(each.kind == "dead" for each in self.breakpoints):
            return
        count = min(len(self.engine.train), MOST_REPLAYED_ROWS)
        replayed = eager_step(self.engine, self.state, 1.0, np.arange(count))
        found = dead_units(record(replayed.loss))
        if found and self._passed != self.step:
            name, units = found[0]
            listed = ", ".join(map(str, units[:6])) + ("…" if len(units) > 6 else "")
            several = "units" if len(units) > 1 else "unit"
            self.stopped = (
                f"Paused before step {self.step}: {several} {listed} of {name} "
                f"{'are' if len(units) > 1 else 'is'} zero for all of {count} examples."
            )

    def why_not_finite(self) -> str:
        """Say which value of the next step is the first that is not finite."""
        try:
            replayed = eager_step(self.engine, self.state, self.scales.last)
            reason = failure.cause(replayed, gradients=True)
        except BacklightError as error:
            reason = str(error).rstrip(".")
        if not reason:
            return self.stopped or ""
        return f"Paused before step {self.step}: {reason}."

    # ── looking back ─────────────────────────────────────────────────────────────────────────

    @property
    def course(self) -> Course:
        """The steps so far, to be entered anywhere."""
        if self._course is None:
            self._course = Course(self.engine, self.snapshots, self.scales, self.step)
        self._course.steps = self.step
        return self._course

    def state_before(self, step: int | None) -> TrainingState:
        """Return the state before a step; before the next one by default.

        Raises
        ------
        RunError
            When training has not come so far.
        """
        if step is None or step == self.step:
            return self.state
        if step > self.step:
            raise RunError(f"Training has taken {self.step} steps, so there is no step {step} yet.")
        return self.course.state_at(step)

    def trace(self, step: int | None, example: int | None) -> Trace:
        """Record a step with every number; see `step_trace`."""
        state = self.state_before(step)
        return step_trace(self.engine, state, self.scales.at(state.step), example)

    # ── what the page sees ───────────────────────────────────────────────────────────────────

    def frame(self, *, gradients: bool) -> Json:
        """Describe the present moment; see docs/studio-protocol.md."""
        state, history = self.state, self.history
        if gradients:
            self._gradients = (state.step, self._gradient_norms())
        known = self._gradients[1] if self._gradients is not None else {}
        parameters = state.parameters
        small = sum(each.size for each in parameters.values()) <= SMALL
        epoch, batch = self.engine.plan.position(state.step)
        made: Json = plain(
            {
                "step": state.step,
                "epoch": epoch,
                "batch": batch,
                "loss": history.last_loss,
                "metrics": history.last_metrics(),
                "learning_rate": self.learning_rate,
                "gradient_norm": history.last_norm,
                "layers": [
                    {"name": name, "norm": norm(each), "gradient_norm": known.get(name)}
                    for name, each in parameters.items()
                ],
                "weights": {name: each.reshape(-1) for name, each in parameters.items()}
                if small
                else None,
                "validation": self._validation(),
                "prediction": None,
            }
        )
        return made

    def _gradient_norms(self) -> dict[str, float | str]:
        try:
            trace = step_trace(self.engine, self.state, self.scales.last, None, update=False)
        except BacklightError:  # a frame is no place for complaints; the step itself says it
            return {}
        found = {}
        for name, node in trace.parameters.items():
            gradient = trace.gradients[node]
            if gradient is not None:
                found[name] = norm(gradient)
        return found

    def _validation(self) -> dict[str, float] | None:
        if self.prepared.validation is None:
            return None
        values = self.engine.evaluate(self.state.parameters, self.prepared.validation)
        return dict(zip(("loss", *self.history.metrics), values, strict=True))

    def status(self) -> Json:
        """Describe where training stands."""
        epoch, _ = self.engine.plan.position(self.step)
        made: Json = plain(
            {
                "step": self.step,
                "steps": self.step,
                "epoch": epoch,
                "steps_per_epoch": self.engine.plan.per_epoch,
                "learning_rate": self.learning_rate,
                "executor": self.executor,
                "fallback": self.fallback,
                "stopped": self.stopped,
                "loss": self.history.last_loss,
                "parameters": sum(each.size for each in self.state.parameters.values()),
                "metrics": list(self.history.metrics),
                "rows": len(self.engine.train),
            }
        )
        return made
