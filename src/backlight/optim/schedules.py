"""Learning rates that change with the step.

A schedule takes the number of the step, an integer scalar that counts from 0, and builds the
learning rate from it as graph nodes, in float64.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from backlight.errors import UsageError
from backlight.functions import astype, cos, maximum, minimum, where
from backlight.optim.options import (
    COUNT,
    NOT_NEGATIVE,
    POSITIVE,
    UNIT,
    Json,
    Range,
    check_choice,
    check_ranges,
    to_dict,
)
from backlight.tensor import FLOAT64, Tensor, as_tensor, literal

Rate = float | Callable[[Tensor], Tensor]
"""A learning rate: one number, or a schedule that gives it for each step."""


def check_rate(owner: object, name: str) -> None:
    """Raise unless an option is a positive finite number or a schedule.

    Raises
    ------
    UsageError
    """
    rate = getattr(owner, name)
    if not callable(rate) and not POSITIVE.holds(rate):
        raise UsageError(
            f"{type(owner).__name__}: {name} must be {POSITIVE} or a schedule, not {rate!r}."
        )


def rate_at(rate: Rate, step: Tensor) -> Tensor:
    """Return a learning rate at a step as a float64 scalar.

    Raises
    ------
    UsageError
        When a schedule gives something that is not a floating-point scalar.
    """
    if not callable(rate):
        return literal(rate, FLOAT64)
    made = as_tensor(rate(step))
    if made.shape != () or made.dtype.kind != "f":
        raise UsageError(
            f"A schedule must give a floating-point scalar; {rate!r} gave {made.spec}."
        )
    return _float64(made)


def _float64(number: Tensor) -> Tensor:
    return astype(number, FLOAT64)


def _step_tensor(step: Tensor | int) -> Tensor:
    made = as_tensor(step)
    if made.dtype.kind not in "iu" or made.shape != ():
        raise UsageError(f"A step is one integer that counts from 0, not {made.spec}.")
    return made


@dataclass(frozen=True)
class Schedule(ABC):
    """The base of all schedules: called with a step, it gives the learning rate.

    Attributes
    ----------
    ranges : mapping of str to Range
        The numbers that each option may take.
    """

    ranges: ClassVar[dict[str, Range]] = {}

    def __post_init__(self) -> None:
        check_ranges(self, self.ranges)

    def __call__(self, step: Tensor | int) -> Tensor:
        """Return the learning rate at a step.

        Parameters
        ----------
        step : Tensor of shape () or int
            The number of the step; the first is 0.

        Returns
        -------
        Tensor of shape () and dtype float64

        Raises
        ------
        UsageError
            When the step is not one integer.
        """
        return self.at(_step_tensor(step))

    @abstractmethod
    def at(self, step: Tensor) -> Tensor:
        """Build the learning rate from an integer scalar."""

    def to_dict(self) -> Json:
        """Return the schedule as plain JSON; `backlight.optim.from_dict` reads it."""
        return to_dict(self)


@dataclass(frozen=True)
class Constant(Schedule):
    """The same learning rate at every step.

    Examples
    --------
    >>> Constant(0.1)(1000).item()
    0.1
    """

    ranges: ClassVar[dict[str, Range]] = {"rate": POSITIVE}
    rate: float

    def at(self, step: Tensor) -> Tensor:
        return literal(self.rate, FLOAT64)


@dataclass(frozen=True)
class Step(Schedule):
    """A learning rate that is multiplied by a factor every so many steps.

    η(t) = η₀ · factor^⌊t / every⌋

    Parameters
    ----------
    rate : float
        The first learning rate, η₀.
    every : int
        How many steps one level lasts.
    factor : float
        What each level is multiplied by to give the next.

    Examples
    --------
    >>> [Step(0.4, every=10, factor=0.5)(t).item() for t in (0, 9, 10, 20)]
    [0.4, 0.4, 0.2, 0.1]
    """

    ranges: ClassVar[dict[str, Range]] = {"rate": POSITIVE, "every": COUNT, "factor": POSITIVE}
    rate: float
    every: int
    factor: float = 0.1

    def at(self, step: Tensor) -> Tensor:
        level = _float64(step // int(self.every))
        return float(self.rate) * float(self.factor) ** level


@dataclass(frozen=True)
class Exponential(Schedule):
    """A learning rate that is multiplied by a factor after every step.

    η(t) = η₀ · factorᵗ

    Parameters
    ----------
    rate : float
        The first learning rate, η₀.
    factor : float
        What each learning rate is multiplied by to give the next.

    Examples
    --------
    >>> [Exponential(1.0, 0.5)(t).item() for t in (0, 1, 2)]
    [1.0, 0.5, 0.25]
    """

    ranges: ClassVar[dict[str, Range]] = {"rate": POSITIVE, "factor": POSITIVE}
    rate: float
    factor: float

    def at(self, step: Tensor) -> Tensor:
        return float(self.rate) * float(self.factor) ** _float64(step)


def _half_cosine(start: float, end: float, share: Tensor) -> Tensor:
    """Go from start to end along half a cosine wave as the share goes from 0 to 1."""
    wave = 1.0 + cos(math.pi * share)
    return end + (0.5 * (start - end)) * wave


@dataclass(frozen=True)
class Cosine(Schedule):
    """A learning rate that falls along half a cosine wave and then stays.

    η(t) = η_final + ½ (η₀ − η_final) (1 + cos(π · min(t, steps) / steps))

    This is one period of the annealing of Loshchilov and Hutter, "SGDR: stochastic gradient
    descent with warm restarts" (2017), equation 5, without the restarts.

    Parameters
    ----------
    rate : float
        The first learning rate, η₀.
    steps : int
        The step at which the last one is reached.
    final : float
        The last learning rate.

    Examples
    --------
    >>> [round(Cosine(1.0, steps=4)(t).item(), 3) for t in range(6)]
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    ranges: ClassVar[dict[str, Range]] = {"rate": POSITIVE, "steps": COUNT, "final": NOT_NEGATIVE}
    rate: float
    steps: int
    final: float = 0.0

    def at(self, step: Tensor) -> Tensor:
        share = _float64(minimum(step, int(self.steps))) / float(self.steps)
        return _half_cosine(float(self.rate), float(self.final), share)


@dataclass(frozen=True)
class WarmUp(Schedule):
    """A learning rate that rises linearly to where another schedule begins.

    η(t) = η_then(max(t − steps, 0)) · min((t + 1) / steps, 1)

    The gradual warm-up of Goyal et al., "Accurate, large minibatch SGD" (2017), section 2.2.

    Parameters
    ----------
    steps : int
        How many steps the rise takes; the last of them has the full learning rate.
    then : float or callable
        The learning rate, or the schedule, that follows.

    Examples
    --------
    >>> [WarmUp(4, then=0.8)(t).item() for t in range(5)]
    [0.2, 0.4, 0.6000000000000001, 0.8, 0.8]
    """

    ranges: ClassVar[dict[str, Range]] = {"steps": COUNT}
    steps: int
    then: Rate

    def __post_init__(self) -> None:
        super().__post_init__()
        check_rate(self, "then")

    def at(self, step: Tensor) -> Tensor:
        steps = int(self.steps)
        later = maximum(step - steps, 0)
        share = minimum(_float64(step + 1) / float(steps), 1.0)
        return rate_at(self.then, later) * share


@dataclass(frozen=True)
class OneCycle(Schedule):
    """A learning rate that rises to a peak and falls to far below where it began.

    The policy of Smith and Topin, "Super-convergence: very fast training of neural networks using
    large learning rates" (2018): up from ``peak / start`` to ``peak`` during the first part of
    training, then down to ``peak / (start · end)``, which the last step has.

    Parameters
    ----------
    peak : float
        The largest learning rate.
    steps : int
        How many steps training takes.
    rise : float
        The part of the steps in which it rises.
    start : float
        What the peak is divided by to give the first learning rate.
    end : float
        What the first learning rate is divided by to give the last.
    shape : {"cosine", "linear"}
        Along half a cosine wave, or along straight lines as in the paper.

    Examples
    --------
    >>> cycle = OneCycle(1.0, steps=11, rise=0.5, start=10, end=10, shape="linear")
    >>> [round(cycle(t).item(), 3) for t in (0, 10, 99)]
    [0.1, 0.01, 0.01]
    """

    ranges: ClassVar[dict[str, Range]] = {
        "peak": POSITIVE,
        "steps": COUNT,
        "rise": UNIT,
        "start": POSITIVE,
        "end": POSITIVE,
    }
    peak: float
    steps: int
    rise: float = 0.3
    start: float = 25.0
    end: float = 1e4
    shape: str = "cosine"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self, "shape", ("cosine", "linear"))

    def at(self, step: Tensor) -> Tensor:
        first = float(self.peak) / float(self.start)
        last = first / float(self.end)
        # The peak lies between two steps when rise · steps is not whole.
        top = float(self.rise) * int(self.steps) - 1.0
        final = float(max(int(self.steps) - 1, 1))
        now = minimum(_float64(step), final)
        fall = maximum((now - max(top, 0.0)) / (final - max(top, 0.0)), 0.0)
        falling = self._between(float(self.peak), last, fall)
        if top <= 0.0:
            return falling
        rising = self._between(first, float(self.peak), minimum(now / top, 1.0))
        return where(now <= top, rising, falling)

    def _between(self, start: float, end: float, share: Tensor) -> Tensor:
        if self.shape == "cosine":
            return _half_cosine(start, end, share)
        return start + (end - start) * share
