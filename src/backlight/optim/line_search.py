"""A line search for the strong Wolfe conditions.

It takes a function of the step length with its slope and gives a length at which the function has
fallen enough and its slope has flattened enough: algorithms 3.5 and 3.6 of Nocedal and Wright,
"Numerical optimization", 2nd edition (2006).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Place = TypeVar("Place")


@dataclass(frozen=True, slots=True)
class Trial(Generic[Place]):
    """One evaluation along the line.

    Attributes
    ----------
    length : float
        The step length, α.
    loss : float
        φ(α).
    slope : float
        φ′(α).
    place : object
        Whatever the caller wants to know about this point.
    """

    length: float
    loss: float
    slope: float
    place: Place

    @property
    def finite(self) -> bool:
        """Whether both numbers are."""
        return math.isfinite(self.loss) and math.isfinite(self.slope)


@dataclass(frozen=True, slots=True)
class Wolfe(Generic[Place]):
    """The strong Wolfe conditions for one line.

    φ(α) ≤ φ(0) + c₁·α·φ′(0) and |φ′(α)| ≤ c₂·|φ′(0)|

    Attributes
    ----------
    start : Trial
        At length 0, with a negative slope.
    decrease, curvature : float
        c₁ and c₂, 0 < c₁ < c₂ < 1.
    """

    start: Trial[Place]
    decrease: float
    curvature: float

    def fell(self, trial: Trial[Place]) -> bool:
        """Tell whether the first condition holds; never for numbers that are not finite."""
        allowed = self.start.loss + self.decrease * trial.length * self.start.slope
        return trial.finite and trial.loss <= allowed

    def flat(self, trial: Trial[Place]) -> bool:
        """Tell whether the second condition holds."""
        return abs(trial.slope) <= -self.curvature * self.start.slope


def strong_wolfe(
    evaluate: Callable[[float], Trial[Place]], wolfe: Wolfe[Place], first: float, evaluations: int
) -> Trial[Place] | None:
    """Search for a step length that satisfies the strong Wolfe conditions.

    Parameters
    ----------
    evaluate : callable
        From a step length to a trial.
    wolfe : Wolfe
        The conditions.
    first : float
        The length to try first; it is doubled until an interval holds what is sought.
    evaluations : int
        How often to evaluate at most.

    Returns
    -------
    Trial or None
        Where both conditions hold or, when the evaluations do not suffice, the lowest found that
        satisfies the first one; None when there is no such.

    Examples
    --------
    >>> def parabola(a):
    ...     return Trial(a, (a - 3.0) ** 2, 2.0 * (a - 3.0), None)
    >>> found = strong_wolfe(parabola, Wolfe(parabola(0.0), 1e-4, 0.1), 1.0, 20)
    >>> found.length
    3.0
    """
    previous = wolfe.start
    length = first
    for used in range(1, evaluations + 1):
        trial = evaluate(length)
        if not wolfe.fell(trial) or (used > 1 and trial.loss >= previous.loss):
            return _zoom(evaluate, wolfe, previous, trial, evaluations - used)
        if wolfe.flat(trial):
            return trial
        if trial.slope >= 0.0:
            return _zoom(evaluate, wolfe, trial, previous, evaluations - used)
        previous, length = trial, 2.0 * length
    return previous if previous.length > 0.0 else None


def _zoom(
    evaluate: Callable[[float], Trial[Place]],
    wolfe: Wolfe[Place],
    low: Trial[Place],
    high: Trial[Place],
    evaluations: int,
) -> Trial[Place] | None:
    """Narrow an interval; ``low`` is the lowest end that satisfies the first condition."""
    for _ in range(evaluations):
        length = _between(low, high)
        if length in (low.length, high.length):  # the interval holds no further number
            break
        trial = evaluate(length)
        if not wolfe.fell(trial) or trial.loss >= low.loss:
            high = trial
            continue
        if wolfe.flat(trial):
            return trial
        if trial.slope * (high.length - low.length) >= 0.0:
            high = low
        low = trial
    return low if low.length > 0.0 else None


def _between(low: Trial[Place], high: Trial[Place]) -> float:
    """Return the minimum of the cubic through two trials (equation 3.59), kept off the ends.

    The middle serves where there is no such minimum.
    """
    a, b = low.length, high.length
    middle = 0.5 * (a + b)
    if not high.finite:
        return middle
    d1 = low.slope + high.slope - 3.0 * (low.loss - high.loss) / (a - b)
    square = d1 * d1 - low.slope * high.slope
    if not math.isfinite(square) or square < 0.0:
        return middle
    d2 = math.copysign(math.sqrt(square), b - a)
    below = high.slope - low.slope + 2.0 * d2
    if below == 0.0:
        return middle
    minimum = b - (b - a) * (high.slope + d2 - d1) / below
    margin = 0.1 * abs(b - a)
    return min(max(minimum, min(a, b) + margin), max(a, b) - margin)
