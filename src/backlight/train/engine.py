"""Takes training steps: a pure function from one `TrainingState` to the next.

The engine holds what does not change during a run (network, data, batch order, seed) and the
traced programs, one per batch length.  Whatever step it is asked to take, it takes in the same
way, which is what makes a run repeatable and any of its steps replayable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from backlight.errors import UsageError
from backlight.graph.primitive import Array
from backlight.optim import LBFGS, LBFGSState, Optimizer
from backlight.train.batches import BatchPlan, ahead_of
from backlight.train.prepare import Examples
from backlight.train.step import (
    Arrays,
    GradientProgram,
    ManySteps,
    Model,
    Slots,
    StepProgram,
    build_evaluation,
    build_gradient,
    build_step,
)

EVALUATION_BATCH = 1024
"""How many examples are evaluated at once; fixed, so that results depend on nothing else."""

SEED_LIMIT = 2**63


@dataclass(frozen=True, eq=False)
class TrainingState:
    """Where training stands: everything that a step changes.

    The arrays are never written to, so that states can be kept without copying.

    Attributes
    ----------
    step : int
        The number of the next step.
    parameters : dict of str to ndarray
    slots : dict of str to dict of str to ndarray
        The optimizer's running averages.
    lbfgs : LBFGSState or None
        The state of L-BFGS, which keeps no running averages.
    """

    step: int
    parameters: Arrays
    slots: Slots
    lbfgs: LBFGSState | None = None

    @property
    def nbytes(self) -> int:
        """How much memory the arrays take."""
        found = sum(each.nbytes for each in self.parameters.values())
        found += sum(each.nbytes for slot in self.slots.values() for each in slot.values())
        if self.lbfgs is not None:
            found += sum(each.nbytes for each in (*self.lbfgs.changes, *self.lbfgs.differences))
        return found

    @property
    def finite(self) -> bool:
        """Whether every parameter is finite."""
        return all(bool(np.isfinite(each).all()) for each in self.parameters.values())


@dataclass(frozen=True)
class Outcome:
    """What a step gives beside the new state.

    Attributes
    ----------
    loss : float
        Of the batch, before the update.
    metrics : tuple of float
    learning_rate : float
    norm : float or None
        Of all gradients together, when it is asked for.
    stopped : str
        Why the optimizer has nothing more to do; empty while it has.
    """

    loss: float
    metrics: tuple[float, ...]
    learning_rate: float
    norm: float | None = None
    stopped: str = ""


class Engine:
    """Takes steps and evaluates; see the module's text.

    Parameters
    ----------
    model : Model
    train : Examples
    plan : BatchPlan
    seed : int
        For random numbers inside the network.
    norm : bool
        Compute the norm of the gradients at each step.
    """

    def __init__(
        self, model: Model, train: Examples, plan: BatchPlan, seed: int, *, norm: bool = False
    ) -> None:
        self.model = model
        self.train = train
        self.plan = plan
        self.seed = seed
        self.norm = norm
        self._seed = np.asarray(seed, np.int64)
        self._steps: dict[int, StepProgram] = {}
        self._gradients: dict[int, GradientProgram] = {}
        self._evaluations: dict[Any, Callable[..., tuple[float, ...]]] = {}
        self._order: tuple[int, Array] | None = None
        self._contiguous: tuple[Array, ...] | None = None
        self._ahead = ahead_of(train.arrays)
        if isinstance(model.optimizer, LBFGS) and not plan.whole:
            raise UsageError(
                "LBFGS needs all examples at every step, because it compares gradients from step "
                "to step; pass batch_size=None."
            )

    # ── states ───────────────────────────────────────────────────────────────────────────────

    @property
    def trained(self) -> tuple[str, ...]:
        """The parameters that the loss depends on; the others never change."""
        length = self.plan.lengths[0]
        if isinstance(self.model.optimizer, LBFGS):
            return self._gradient_program(length).trained
        return self._step_program(length).trained

    def first(self, parameters: Arrays) -> TrainingState:
        """Return the state before the first step."""
        optimizer = self.model.optimizer
        own = {name: parameters[name] for name in self.trained}
        if isinstance(optimizer, LBFGS):
            return TrainingState(0, parameters, {}, optimizer.start(own))
        return TrainingState(0, parameters, optimizer.initial_state(own))

    def batch(self, step: int) -> tuple[Array, ...]:
        """Return the arrays of a step's batch."""
        if self.plan.whole:
            return self.train.arrays
        rows = self.rows(step)
        if self._ahead is not None:
            held, first = self._read_ahead(step, 1)
            return tuple(each[first : first + len(rows)] for each in held)
        return tuple(each[rows] for each in self.train.arrays)

    def rows(self, step: int) -> Array:
        """Return the positions of a step's examples."""
        epoch, batch = self.plan.position(step)
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, self.plan.epoch_order(epoch))
        return self.plan.cut(self._order[1], batch)

    # ── steps ────────────────────────────────────────────────────────────────────────────────

    def advance(self, state: TrainingState, scale: float = 1.0) -> tuple[TrainingState, Outcome]:
        """Take one step.

        Parameters
        ----------
        state : TrainingState
        scale : float
            The factor on the learning rate.
        """
        if self.iterates:
            return self._advance_once(state, scale)
        batch = self.batch(state.step)
        step = np.asarray(state.step, np.int64)
        if isinstance(self.model.optimizer, LBFGS):
            return self._advance_lbfgs(self.model.optimizer, state, batch, step)
        result = self._step_program(len(batch[0])).run(
            state.parameters, state.slots, batch, step, np.asarray(scale), self._seed
        )
        new = TrainingState(state.step + 1, result.parameters, result.slots)
        return new, Outcome(result.loss, result.metrics, result.learning_rate, result.norm)

    @property
    def iterates(self) -> bool:
        """Whether several steps can be taken in one call of compiled code."""
        if isinstance(self.model.optimizer, LBFGS):
            return False
        return self._step_program(self.plan.lengths[0]).executable.iterates

    def advance_many(
        self, state: TrainingState, count: int, scale: float = 1.0
    ) -> tuple[TrainingState, ManySteps]:
        """Take several steps in one call; none of them beyond what `together` allows.

        The result does not depend on how steps are grouped: `advance` runs the same code.
        """
        if self._ahead is None:
            data = self._data()
            rows, starts = self._lines(state.step, count)
        else:
            data, first = self._read_ahead(state.step, count)
            starts = self._starts(state.step, count)
            rows = np.arange(first, first + starts[-1])
        found = self._step_program(self._length(state.step)).run_many(
            state.parameters, state.slots, data, rows, starts, state.step, scale, self.seed
        )
        return TrainingState(state.step + count, found.parameters, found.slots), found

    def calls_of(self, seconds: float) -> int:
        """Return about how many steps a call of so many seconds takes, at least 16."""
        if isinstance(self.model.optimizer, LBFGS):
            return 16
        step = self._step_program(self.plan.lengths[0]).executable.seconds
        return max(int(seconds / step), 16) if step > 0.0 else 16

    def together(self, step: int, most: int) -> int:
        """Return how many steps from this one on can be taken in one call, ``most`` at most.

        Batches of another length may need a program of their own.
        """
        plan = self.plan
        if self._ahead is not None:  # rows are read for one epoch at a time
            left = plan.per_epoch - plan.position(step)[1]
            most = min(most, left, self._ahead.steps(self._length(step)))
        served = self._step_program(self._length(step)).executable.lengths
        if plan.whole or set(self._lengths.tolist()) <= set(served):
            return most
        count = 1
        while count < most and self._length(step + count) in served:
            count += 1
        return count

    @cached_property
    def _lengths(self) -> Array:
        """The number of examples of each batch of an epoch."""
        return np.array([self.plan.length(k) for k in range(self.plan.per_epoch)], np.int64)

    def _starts(self, step: int, count: int) -> Array:
        """Where the rows of consecutive steps begin when they stand one after the other."""
        found = np.zeros(count + 1, np.int64)
        if not self.plan.whole:
            batches = np.arange(step, step + count) % self.plan.per_epoch
            np.cumsum(self._lengths[batches], out=found[1:])
        return found

    def _lines(self, step: int, count: int) -> tuple[Array, Array]:
        """The rows of consecutive steps, one after the other, and where each step's begin."""
        starts = self._starts(step, count)
        rows = np.empty(starts[-1], np.int64)
        filled, end = 0, step + count
        while step < end and not self.plan.whole:
            epoch, batch = self.plan.position(step)
            if self._order is None or self._order[0] != epoch:
                self._order = (epoch, self.plan.epoch_order(epoch))
            some = min(end - step, self.plan.per_epoch - batch)
            first, last = self.plan.span(batch, some)
            rows[filled : filled + last - first] = self._order[1][first:last]
            filled += last - first
            step += some
        return rows, starts

    def _length(self, step: int) -> int:
        return self.plan.length(self.plan.position(step)[1])

    def _advance_once(self, state: TrainingState, scale: float) -> tuple[TrainingState, Outcome]:
        new, found = self.advance_many(state, 1, scale)
        norm = None if found.norms is None else float(found.norms[0])
        metrics = tuple(float(each) for each in found.metrics[0])
        return new, Outcome(float(found.losses[0]), metrics, float(found.rates[0]), norm)

    def _read_ahead(self, step: int, count: int) -> tuple[tuple[Array, ...], int]:
        """The examples of consecutive steps of an epoch, from data that lies in a file."""
        self.rows(step)
        assert self._ahead is not None and self._order is not None
        epoch, batch = self.plan.position(step)
        return self._ahead.take(epoch, self._order[1], *self.plan.span(batch, count))

    def _data(self) -> tuple[Array, ...]:
        """The training data in the layout that compiled code reads."""
        if self._contiguous is None:
            self._contiguous = tuple(np.asarray(each, order="C") for each in self.train.arrays)
        return self._contiguous

    def _advance_lbfgs(
        self, optimizer: LBFGS, state: TrainingState, batch: Sequence[Array], step: Array
    ) -> tuple[TrainingState, Outcome]:
        ready = self._gradient_program(len(batch[0]))
        assert state.lbfgs is not None

        def value_and_grad(own: Arrays) -> tuple[float, Arrays]:
            loss, _, gradients = ready.run({**state.parameters, **own}, batch, step, self._seed)
            return loss, gradients

        loss, metrics, gradients = ready.run(state.parameters, batch, step, self._seed)
        rate = float(optimizer.learning_rate)
        norm = float(np.sqrt(sum(np.sum(g.astype(float) ** 2) for g in gradients.values())))
        outcome = Outcome(loss, metrics, rate, norm if self.norm else None)
        if not (np.isfinite(loss) and np.isfinite(norm)):
            return replace(state, step=state.step + 1), outcome  # who trains says so
        after = optimizer.iterate(state.lbfgs, value_and_grad)
        parameters = {**state.parameters, **after.parameters}
        new = TrainingState(state.step + 1, parameters, {}, after)
        return new, replace(outcome, stopped=after.reason)

    def _step_program(self, length: int) -> StepProgram:
        """The program for batches of a length; that of full ones may serve the ragged last too."""
        if length not in self._steps:
            full = self.plan.lengths[0]
            shorter = None
            if length == full and len(self.plan.lengths) == 2:
                shorter = self.train.specs(self.plan.lengths[1])
            made = build_step(
                self.model,
                self.train.specs(length),
                shorter,
                norm=self.norm,
                gather=not self.plan.whole,
            )
            for each in {length, *made.executable.lengths} & set(self.plan.lengths):
                self._steps.setdefault(each, made)
        return self._steps[length]

    def _gradient_program(self, length: int) -> GradientProgram:
        if length not in self._gradients:
            specs = self.train.specs(length)
            self._gradients[length] = build_gradient(self.model, specs)
        return self._gradients[length]

    # ── evaluation ───────────────────────────────────────────────────────────────────────────

    def evaluate(self, parameters: Arrays, examples: Examples) -> tuple[float, ...]:
        """Return loss and metrics over examples, in evaluation mode.

        A mean loss is the mean over the examples; a summed one is divided by their number.
        """
        totals: list[float] = []
        for start in range(0, len(examples), EVALUATION_BATCH):
            part = examples.take(slice(start, start + EVALUATION_BATCH))
            values = self._evaluation(part)(parameters, part.arrays)
            n = len(part)
            added = [self.loss_total(values[0], self.loss_weight(part))]
            added += [value * n for value in values[1:]]
            totals = [a + b for a, b in zip(totals or [0.0] * len(added), added, strict=True)]
        count = float(len(examples))
        return (totals[0] / self.loss_weight(examples), *(each / count for each in totals[1:]))

    def _evaluation(self, part: Examples) -> Callable[..., tuple[float, ...]]:
        key = tuple(part.specs(len(part)))
        if key not in self._evaluations:
            self._evaluations[key] = build_evaluation(self.model, key)
        return self._evaluations[key]

    def loss_weight(self, examples: Examples) -> float:
        """Return what the losses of batches are divided by to give that of an epoch."""
        if examples.weights is None or self.model.objective.reduction == "sum":
            return float(len(examples))
        return float(np.sum(examples.weights, dtype=np.float64))

    def loss_total(self, loss: float, weight: float) -> float:
        """Return what a batch of a given weight adds to the loss of an epoch."""
        return loss if self.model.objective.reduction == "sum" else loss * weight


def check_seed(seed: object) -> int:
    """Return a seed that fits in 63 bits, or raise.

    Raises
    ------
    UsageError
    """
    if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer)):
        raise UsageError(f"seed must be a whole number, not {seed!r}.")
    if not 0 <= int(seed) < SEED_LIMIT:
        raise UsageError(f"seed must be from 0 to 2⁶³ − 1, not {seed}.")
    return int(seed)


def is_rule(optimizer: object) -> bool:
    """Tell whether an object is an optimizer that training can use."""
    return isinstance(optimizer, (Optimizer, LBFGS))
