"""Training by steps: epochs in few calls of compiled code, and everything decided between them.

It takes the examples and the options of one fit and tells its caller of each epoch; the caller
decides whether to go on.  Epochs are computed several at a time; when the caller stops in between,
they are computed again up to that point, which gives the same bits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from backlight.graph.primitive import Array
from backlight.sklearn.programs import Form, StepProgram, step_program
from backlight.sklearn.rules import Rule

CALL_SECONDS = 0.05
"""Calls of compiled code are made about this long, so that Ctrl-C is heard."""

SPARE_SECONDS = 0.002
"""How much is computed ahead where training may end any moment: it might be for nothing."""

FIRST_STEPS = 16
"""How many steps the first call takes where nothing is known of a step's time."""

MOST_ROWS = 2**21
"""How many row numbers are drawn ahead at most."""

DENSE_BYTES = 2**25
"""How much of a sparse matrix is made dense at a time."""


@dataclass(frozen=True, eq=False)
class Examples:
    """What is trained on.

    Attributes
    ----------
    X : ndarray or sparse matrix of shape (n, features)
        Dense: C-contiguous.
    y : ndarray of shape (n, outputs)
    weights : ndarray of shape (n,) or None
        All in the network's dtype.
    """

    X: Any
    y: Array
    weights: Array | None

    @property
    def sparse(self) -> bool:
        """Whether X is a sparse matrix."""
        return not isinstance(self.X, np.ndarray)

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True, eq=False)
class Standing:
    """Where the optimizer stands; the arrays are never written to.

    Attributes
    ----------
    rule : Rule
    parameters : tuple of ndarray
        Weight (outputs, inputs) and bias of each layer, in turn.
    slots : tuple of ndarray
        The running averages, for each name of `Rule.slots` those of all parameters.
    step : int
        How many steps were taken.
    rate : float
        The learning rate of the next step.
    """

    rule: Rule
    parameters: tuple[Array, ...]
    slots: tuple[Array, ...]
    step: int
    rate: float


def started(rule: Rule, parameters: Sequence[Array], rate: float) -> Standing:
    """Return the standing before the first step."""
    slots = tuple(np.zeros_like(each) for _ in rule.slots for each in parameters)
    return Standing(rule, tuple(parameters), slots, 0, rate)


class NotFiniteError(ArithmeticError):
    """The loss of a step is no longer finite."""


class StoppedError(Exception):
    """A callback wants no further step."""


@dataclass(frozen=True)
class Falling:
    """A learning rate η/tᵖ that falls from epoch to epoch; t counts the examples seen, from 1.

    Attributes
    ----------
    rate, power : float
        η and p.
    """

    rate: float
    power: float

    def at(self, seen: int) -> float:
        """Return the learning rate after so many examples."""
        return float(self.rate / (seen + 1) ** self.power)


@dataclass
class Course:
    """One fit by steps.

    Attributes
    ----------
    examples : Examples
    form : Form
    batch : int
        How many examples a step takes.
    options : mapping of str to float
        The rule's numbers and ``alpha``.
    random : numpy.random.RandomState
        Shuffles.
    shuffle : bool
    seed : int
        For random numbers inside the network.
    standing : Standing
        Replaced after every call.
    after_step : callable or None
        Is told the loss after every step, which is then taken by itself; the truth stops.
    seen : int
        How many examples were seen before the next epoch.
    falling : Falling or None
        A learning rate that depends on ``seen``, in place of the standing's.
    """

    examples: Examples
    form: Form
    batch: int
    options: Mapping[str, float]
    random: np.random.RandomState
    shuffle: bool
    seed: int
    standing: Standing
    after_step: Callable[[float], bool] | None = None
    seen: int = 0
    falling: Falling | None = None
    order: Array = field(init=False)
    program: StepProgram = field(init=False)
    steps_per_call: int = field(init=False)

    def __post_init__(self) -> None:
        """Find the program, made now or kept from before."""
        self.program = step_program(self.form)
        self.order = np.arange(len(self.examples))
        known = self.program.executable.seconds
        self.steps_per_call = max(int(CALL_SECONDS / 2 / known), 1) if known else FIRST_STEPS

    @property
    def per_epoch(self) -> int:
        """The number of steps in an epoch."""
        return -(-len(self.examples) // self.batch)

    # ── epochs ───────────────────────────────────────────────────────────────────────────────

    def run(self, epochs: int, told: Callable[[list[float]], int | None], sure: float) -> None:
        """Run epochs, in one block.

        Parameters
        ----------
        epochs : int
            At most so many.
        told : callable
            Is told the losses of some epochs; it returns after how many of them training ends or
            something changes, None when it goes on as before.  What was computed behind that
            epoch is undone.
        sure : float
            How many epochs there are in any case, before ``told`` can name one.

        Raises
        ------
        NotFiniteError
            With the standing before the step that failed.
        StoppedError
            When ``after_step`` wants to stop.
        """
        count = self._together(epochs, sure)
        drawn = self.random.get_state(legacy=True) if count > 1 else None
        before, order, seen = self.standing, self.order.copy(), self.seen
        losses, failed = self._epochs(count)
        change = told(losses)
        if change is not None and change < count:
            # Computed too much: go back and compute as far as was wanted.
            assert drawn is not None
            self.random.set_state(drawn)
            self.standing, self.order, self.seen = before, order, seen
            self._epochs(change)
        elif failed:
            raise NotFiniteError

    def _together(self, epochs: int, sure: float) -> int:
        """Return how many epochs the next block has.

        Epochs that may have to be undone are computed only where they cost less than a call.
        """
        most = max(1, MOST_ROWS // (self.per_epoch * self.form.length))
        spare = int(self.steps_per_call * (SPARE_SECONDS / CALL_SECONDS)) // self.per_epoch
        ahead = min(self.steps_per_call // self.per_epoch, max(sure, spare))
        return max(1, min(int(ahead), most, epochs))

    def _epochs(self, count: int) -> tuple[list[float], bool]:
        """Run epochs; return their losses and whether one of their steps failed."""
        rows = self._rows(count)
        first, losses, failed = self.standing.step, np.empty(0), False
        start = 0
        while start < len(rows) and not failed:
            stop = min(start + self._call_steps(), len(rows))
            found = self._call(rows[start:stop], first, self.seen)
            losses = np.concatenate([losses, found])
            failed = len(found) < stop - start
            start = stop
            if self.after_step is not None and not failed and self.after_step(float(found[-1])):
                raise StoppedError
        whole = len(losses) // self.per_epoch
        self.seen += whole * len(self.examples)
        sizes = np.full(self.per_epoch, self.batch, np.float64)
        sizes[-1] = len(self.examples) - self.batch * (self.per_epoch - 1)
        # Not a matrix product, which may round otherwise for another number of epochs.
        of_epochs = (losses[: whole * self.per_epoch].reshape(whole, -1) * sizes).sum(axis=1)
        return (of_epochs / len(self.examples)).tolist(), failed

    def _rows(self, count: int) -> Array:
        """Draw the orders of the next epochs, as scikit-learn does, and cut them into batches.

        A batch is filled up with row 0, which then counts nothing.
        """
        n, per_epoch = len(self.examples), self.per_epoch
        whole = np.zeros((count, per_epoch * self.batch), np.int64)
        order, shuffle = self.order, self.random.shuffle
        for each in whole[:, :n]:
            if self.shuffle:
                shuffle(order)  # the order of the epoch before is what is shuffled
            each[:] = order
        if per_epoch * self.batch == per_epoch * self.form.length:
            return whole.reshape(-1, self.batch)
        rows = np.zeros((count * per_epoch, self.form.length), np.int64)
        rows[:, : self.batch] = whole.reshape(-1, self.batch)
        return rows

    # ── calls ────────────────────────────────────────────────────────────────────────────────

    def _call_steps(self) -> int:
        if self.after_step is not None:
            return 1
        if not self.examples.sparse:
            return self.steps_per_call
        line = int(self.form.length * self.examples.X.shape[1] * self.examples.X.dtype.itemsize)
        return max(1, min(self.steps_per_call, DENSE_BYTES // line))

    def _call(self, rows: Array, first: int, seen: int) -> Array:
        """Take one step for each line of rows; return the losses up to one that is not finite."""
        begun = time.perf_counter()
        losses = self._steps(rows, first, seen)
        if len(losses) < len(rows):
            if len(losses):  # go to the step before the one that failed
                self._steps(rows[: len(losses)], first, seen)
            return losses
        # The clock decides how much is computed at a time, never what.
        taken = max(time.perf_counter() - begun, 1e-9)
        wanted = int(len(rows) * CALL_SECONDS / taken)
        self.steps_per_call = max(1, min(wanted, 4 * max(self.steps_per_call, len(rows))))
        return losses

    def _steps(self, rows: Array, first: int, seen: int) -> Array:
        at = self.standing
        data, lines = self._data(rows)
        counts = {
            "first": first,
            "rows": len(self.examples),
            "batch": self.batch,
            "per_epoch": self.per_epoch,
            "seen": seen,
        }
        falling = self.falling or Falling(at.rate, 0.0)
        new, losses = self.program.run(
            (*at.parameters, *at.slots),
            data,
            lines,
            at.step,
            self.seed,
            counts,
            {"learning_rate": falling.rate, "power": falling.power, **self.options},
        )
        if len(losses) == len(rows):
            cut = len(at.parameters)
            self.standing = replace(
                at, parameters=tuple(new[:cut]), slots=tuple(new[cut:]), step=at.step + len(rows)
            )
        return losses

    def _data(self, rows: Array) -> tuple[list[Array], Array]:
        """Return arrays to gather from, and the rows in them."""
        examples, beside = self.examples, []
        if examples.weights is not None:
            beside.append(examples.weights)
        if not examples.sparse:
            return [examples.X, examples.y, *beside], rows
        flat = rows.reshape(-1)
        dense = np.ascontiguousarray(examples.X[flat].toarray())
        data = [dense, examples.y[flat], *(each[flat] for each in beside)]
        return data, np.arange(len(flat), dtype=np.int64).reshape(rows.shape)


def reference_seconds(products: int, layers: int, rows: int) -> float:
    """Return about how long a step takes with NumPy: overhead and arithmetic."""
    return 1e-4 * (1 + layers) + 6.0 * products * rows / 1e10


def chosen_executor(executor: str, seconds: float, limit: float) -> str:
    """Return the executor: for ``"auto"``, compiled code where NumPy would take long.

    It depends on the task alone, never on what happens to be compiled already, so that a fit gives
    the same bits wherever it runs.
    """
    if executor != "auto":
        return executor
    return "reference" if seconds < limit or math.isnan(seconds) else "native"
