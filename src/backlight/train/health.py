"""Check-ups during training: norms of gradients and updates, dead and saturated units.

A check-up records one forward and backward pass on a few hundred training rows, with the
parameters and the random numbers of the step that is next, so it changes nothing in training.  It
takes a few milliseconds; `Checkups` makes one only when all of them together stay below a share
of the training time.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from backlight.errors import BacklightError, UsageError
from backlight.explain.faults import CHECKS, Finding, Patient
from backlight.explain.nonfinite import batch_size
from backlight.graph.primitive import Array
from backlight.ops.exponential import SIGMOID
from backlight.ops.piecewise import RELU
from backlight.ops.trigonometric import TANH
from backlight.optim import LBFGS
from backlight.record import record
from backlight.train.callbacks import History
from backlight.train.engine import Engine, TrainingState
from backlight.train.run import eager_step

ROWS = 256
"""How many training rows a check-up looks at, evenly spaced among all."""
SHARE = 0.02
"""The part of the training time that check-ups may take."""
FIRST_GUESS = 0.01
"""How many seconds the first one is taken to need."""
GRAVE = 0.5
"""From which share of dead or saturated units on a layer is spoken of while training goes on."""

_UNITS = {"dead relu units": (RELU,), "saturated sigmoid and tanh units": (SIGMOID, TANH)}
_WORDS = {"dead relu units": "dead", "saturated sigmoid and tanh units": "saturated"}


@dataclass(frozen=True)
class Checkup:
    """What one check-up found.

    Attributes
    ----------
    values : dict of str to float
        ``step`` and ``epoch``; for each parameter ``gradient_norm/NAME``, ``parameter_norm/NAME``
        and, of the next update, ``update_norm/NAME``; for each layer of units ``dead/NODE`` or
        ``saturated/NODE``, the share of them.
    alarms : tuple of Finding
        What is grave enough to be said while training goes on.
    """

    values: dict[str, float]
    alarms: tuple[Finding, ...]


def check_up(
    engine: Engine, state: TrainingState, previous: TrainingState, scale: float
) -> Checkup:
    """Look at a network between two steps.

    Parameters
    ----------
    engine : Engine
    state, previous : TrainingState
        Now, and before the last call of compiled code.
    scale : float
        The factor on the learning rate.
    """
    count = len(engine.train)
    rows = np.unique(np.linspace(0, count - 1, min(ROWS, count)).astype(np.int64))
    replayed = eager_step(engine, state, scale, rows)
    trace = record(replayed.loss)
    epoch, _ = engine.plan.position(max(state.step - 1, 0))
    values: dict[str, float] = {"step": state.step, "epoch": epoch}
    for name in engine.trained:
        gradient = trace.gradient(name)
        values[f"gradient_norm/{name}"] = 0.0 if gradient is None else norm(gradient)
        values[f"parameter_norm/{name}"] = norm(state.parameters[name])
    for name, change in _updates(engine, state, previous, scale):
        values[f"update_norm/{name}"] = change
    patient = Patient(trace, replayed.parameters, batch_size(trace.graph))
    alarms: list[Finding] = []
    for check, primitives in _UNITS.items():
        for primitive in primitives:
            for _, node in patient.nodes(primitive):
                values[f"{_WORDS[check]}/{node.name}"] = 0.0
        for found in CHECKS[check][0](patient):
            values[f"{_WORDS[check]}/{found.where}"] = found.evidence
            if found.evidence >= GRAVE:
                alarms.append(found)
    alarms += CHECKS["vanishing and exploding gradients"][0](patient)
    return Checkup(values, tuple(alarms))


def _updates(
    engine: Engine, state: TrainingState, previous: TrainingState, scale: float
) -> Iterator[tuple[str, float]]:
    """Yield how far each parameter moves in one step: the last, or the next where it is cheap."""
    before, after = previous, state
    if state.step != previous.step + 1:
        if isinstance(engine.model.optimizer, LBFGS):
            return
        before, (after, _) = state, engine.advance(state, scale)
    for name in engine.trained:
        yield name, norm(after.parameters[name].astype(np.float64) - before.parameters[name])


def norm(array: Array) -> float:
    """Return the Euclidean norm, without overflow in float32."""
    return float(np.linalg.norm(array.astype(np.float64).reshape(-1)))


class Checkups:
    """When check-ups are made.

    Parameters
    ----------
    wanted : bool or int
        True makes one at the end of an epoch when all together stay below a fiftieth of the
        training time; a number makes one after every so many epochs; False makes none.

    Raises
    ------
    UsageError
        For another value.
    """

    def __init__(self, wanted: bool | int) -> None:
        if not isinstance(wanted, (bool, int)) or wanted < 0:
            raise UsageError(f"health must be True, False or a number of epochs, not {wanted!r}.")
        self._every = wanted if type(wanted) is int else None
        self._on = bool(wanted)
        self._begun = time.perf_counter()
        self._spent = 0.0
        self._last = FIRST_GUESS
        self._said: dict[tuple[str, str], float] = {}

    @property
    def counts_epochs(self) -> bool:
        """Whether they are due after certain epochs, and not by the clock."""
        return self._on and self._every is not None

    def begin(self) -> None:
        """Start the clock: training begins."""
        self._begun = time.perf_counter()

    def due(self, epochs: int) -> bool:
        """Tell whether one is to be made after so many epochs."""
        if not self._on:
            return False
        if self._every is not None:
            return epochs % self._every == 0
        return self._spent + self._last <= SHARE * (time.perf_counter() - self._begun)

    def make(
        self, engine: Engine, state: TrainingState, previous: TrainingState, scale: float
    ) -> Checkup | None:
        """Make one; None for a network that cannot be recorded on other rows than a batch."""
        begun = time.perf_counter()
        try:
            with np.errstate(all="ignore"):
                found = check_up(engine, state, previous, scale)
        except BacklightError:
            self._on = False
            return None
        self._last = time.perf_counter() - begun
        self._spent += self._last
        return found

    def news(self, found: Checkup) -> list[Finding]:
        """Return the alarms that were not said before, or have become twice as grave."""
        fresh = []
        for each in found.alarms:
            key = (each.what, each.where)
            if key not in self._said or each.evidence > 2 * self._said[key]:
                self._said[key] = each.evidence
                fresh.append(each)
        return fresh


def add(history: History, values: Mapping[str, float]) -> None:
    """Add a check-up to those before; what one of them lacks is NaN."""
    length = len(history.get("step", ()))
    for name in values:
        history.setdefault(name, [float("nan")] * length)
    for name, kept in history.items():
        kept.append(values.get(name, float("nan")))


# ── what a history of them says ──────────────────────────────────────────────────────────────────

LARGE_UPDATE, SMALL_UPDATE = 0.1, 1e-6
"""Updates larger or smaller than this part of their weights are worth a word; about a thousandth
is usual (CS231n, "Neural networks part 3", section on the ratio of updates to weights)."""
GROWN = 100.0


def findings(history: History) -> tuple[Finding, ...]:
    """Say what went wrong during training, from its check-ups.

    Parameters
    ----------
    history : dict of str to list of float
        `Run.health`.
    """
    steps = history.get("step", [])
    if not steps:
        return ()
    return tuple(_of_units(history, steps)) + tuple(_of_updates(history, steps)) + tuple(
        _of_gradients(history, steps)
    )  # fmt: skip


def _of_units(history: History, steps: list[float]) -> Iterator[Finding]:
    for name, values in history.items():
        kind, _, where = name.partition("/")
        if kind not in ("dead", "saturated") or not values:
            continue
        first, last = values[0], values[-1]
        if len(values) > 1 and last >= first + 0.2:
            yield Finding(
                "warning",
                f"units that became {kind}",
                where,
                last,
                f"At step {steps[0]:.0f} {first:.0%} of the units were {kind}, and at step "
                f"{steps[-1]:.0f} {last:.0%}.",
                "Lower the learning rate, or clip the gradients.",
            )


def _of_updates(history: History, steps: list[float]) -> Iterator[Finding]:
    for name, values in history.items():
        kind, _, where = name.partition("/")
        if kind != "update_norm" or not where.endswith("weight"):
            continue
        sizes = history.get(f"parameter_norm/{where}", [])
        ratios = [a / b for a, b in zip(values, sizes, strict=False) if b > 0 and np.isfinite(a)]
        if not ratios:
            continue
        middle = float(np.median(ratios))
        for wrong, what, says, remedy in (
            (middle > LARGE_UPDATE, "large updates", "larger", "Lower the learning rate."),
            (0 < middle < SMALL_UPDATE, "small updates", "smaller",
             "Raise the learning rate, or check that gradients reach this layer."),
        ):  # fmt: skip
            if wrong:
                yield Finding(
                    "warning",
                    what,
                    where,
                    middle,
                    f"A step typically changes it by {middle:.2g} of its size, which is {says} "
                    f"than trained well ({len(ratios)} check-ups up to step {steps[-1]:.0f}).",
                    remedy,
                )


def _of_gradients(history: History, steps: list[float]) -> Iterator[Finding]:
    for name, values in history.items():
        kind, _, where = name.partition("/")
        if kind != "gradient_norm" or len(values) < 2 or not values[0] > 0:
            continue
        ratio = values[-1] / values[0]
        if ratio > GROWN:
            yield Finding(
                "warning",
                "growing gradients",
                where,
                ratio,
                f"The norm of its gradient rose from {values[0]:.3g} at step {steps[0]:.0f} to "
                f"{values[-1]:.3g} at step {steps[-1]:.0f}.",
                "Lower the learning rate, or clip the gradients with clip=bl.optim.ByNorm(1.0).",
            )
