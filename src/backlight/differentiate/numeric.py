"""Numerical derivatives that say how far they can be trusted.

Differences at shrinking steps are extrapolated to step zero, and the spread of the extrapolation
is the error estimate.  The noise of the function is measured first, so that a difference that only
sees rounding does not pass for an exact one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Values = np.ndarray[Any, np.dtype[np.float64]]
Line = Callable[[float], Values]
"""The function along a line: ``line(t)`` is its value, a vector, at ``x + t·direction``."""

EPSILON = float(np.finfo(np.float64).eps)
SHRINK = 1.4
LEVELS = 10


@dataclass(frozen=True, slots=True)
class Estimate:
    """Numerical derivatives of every component of a function along a line.

    Attributes
    ----------
    value : ndarray of float64, shape (components,)
    error : ndarray of float64, shape (components,)
        How far ``value`` may be off, by its own account; infinite when nothing finite was found.
    step : ndarray of float64, shape (components,)
        The smallest step that went into each.
    """

    value: Values
    error: Values
    step: Values

    def better_of(self, other: Estimate) -> Estimate:
        """Choose for each component the estimate with the smaller error."""
        mine = self.error <= other.error
        return Estimate(
            np.where(mine, self.value, other.value),
            np.where(mine, self.error, other.error),
            np.where(mine, self.step, other.step),
        )


def noise_level(line: Line, spacing: float) -> Values:
    """Estimate the noise in a function's values from tables of differences.

    Over points this close a smooth function is a polynomial of low degree, so that its high
    differences hold nothing but noise (J. J. Moré and S. M. Wild, "Estimating computational
    noise", SIAM J. Sci. Comput. 33, 2011).  Points so close that the values repeat say nothing;
    the spacing is widened until they differ.

    Parameters
    ----------
    line : callable
    spacing : float
        Between neighbouring points, to begin with.

    Returns
    -------
    ndarray of float64, shape (components,)
        A standard deviation; 0 where none was seen.

    Examples
    --------
    >>> float(noise_level(lambda t: np.array([1e10 + t]), 1e-7)[0]) > 1e-7
    True
    """
    noise = np.zeros(0)
    seen = np.zeros(0, bool)
    for widening in range(4):
        table = np.stack([line((k - 3.5) * spacing * 10.0**widening) for k in range(8)])
        found, telling = _noise_in(table)
        noise = found if widening == 0 else np.where(seen, noise, found)
        seen = telling if widening == 0 else seen | telling
        if np.all(seen):
            break
    return np.where(seen, noise, 0.0)


def _noise_in(table: Values) -> tuple[Values, Any]:
    """Return the noise in eight rows of values, and where the values differ enough to tell."""
    distinct = 1 + np.count_nonzero(np.diff(np.sort(table, axis=0), axis=0), axis=0)
    levels = []
    for order in range(1, 7):
        table = np.diff(table, axis=0)
        if order >= 4:
            scale = math.factorial(order) ** 2 / math.factorial(2 * order)
            levels.append(np.sqrt(scale * np.mean(table**2, axis=0)))
    low, high = np.min(levels, axis=0), np.max(levels, axis=0)
    noise = np.where(high <= 4 * low, high, low)  # real noise looks the same at every order
    finite = np.isfinite(noise)
    return np.where(finite, noise, 0.0), (distinct >= 6) | ~finite


def central(line: Line, steps: Sequence[float], noise: Values) -> Estimate:
    """Differentiate by central differences, extrapolated from each of several first steps.

    C. J. F. Ridders, "Accurate computation of F′(x) and F′(x)F″(x)", Advances in Engineering
    Software 4, 1982.

    Parameters
    ----------
    line : callable
    steps : sequence of float
        First steps to try; the best result of each component counts.
    noise : ndarray of float64
        From `noise_level`.

    Examples
    --------
    >>> line = lambda t: np.exp([1.0 + t])
    >>> found = central(line, [0.05], np.zeros(1))
    >>> bool(abs(found.value[0] - np.e) < 1e-10), bool(found.error[0] < 1e-9)
    (True, True)
    """

    def difference(step: float) -> tuple[Values, Values]:
        above, below = line(step), line(-step)
        return (above - below) / (2 * step), np.maximum(np.abs(above), np.abs(below))

    return _best([_extrapolate(difference, step, 2, noise) for step in steps])


def one_sided(line: Line, steps: Sequence[float], noise: Values, side: int) -> Estimate:
    """Differentiate from one side: ``side`` is +1 for the right and −1 for the left.

    A component that jumps has an infinite derivative.
    """
    here = line(0.0)

    def difference(step: float) -> tuple[Values, Values]:
        there = line(side * step)
        return side * (there - here) / step, np.maximum(np.abs(there), np.abs(here))

    best = _best([_extrapolate(difference, step, 1, noise) for step in steps])
    small = min(steps) / SHRINK**LEVELS
    rises = [line(side * step) - here for step in (max(steps), small)]
    across = np.maximum(np.abs(line(max(steps)) - here), np.abs(line(-max(steps)) - here))
    least = 100 * noise + 1e-9 * across
    jumps = (np.abs(rises[1]) > 0.5 * np.abs(rises[0])) & (np.abs(rises[1]) > least)
    infinite = np.copysign(np.inf, side * rises[1])
    return Estimate(
        np.where(jumps, infinite, best.value), np.where(jumps, 0.0, best.error), best.step
    )


def _best(found: Sequence[Estimate]) -> Estimate:
    best = found[0]
    for each in found[1:]:
        best = best.better_of(each)
    return best


def _extrapolate(
    difference: Callable[[float], tuple[Values, Values]], step: float, power: int, noise: Values
) -> Estimate:
    """Extrapolate differences whose error is a series in powers of step**power."""
    earlier: list[Values] = []
    earlier_rounding: list[Values] = []
    best = error = used = np.zeros(0)
    for level in range(LEVELS):
        first, size = difference(step)
        row = [first]
        rounding = [2 * (EPSILON * size + noise) / step]
        if level == 0:
            best, error = first, np.full(first.shape, np.inf)
            used = np.full(first.shape, step)
        factor = 1.0
        for before, before_rounding in zip(earlier, earlier_rounding, strict=True):
            factor *= SHRINK**power
            row.append((row[-1] * factor - before) / (factor - 1))
            rounding.append((rounding[-1] * factor + before_rounding) / (factor - 1))
            spread = np.maximum(np.abs(row[-1] - row[-2]), np.abs(row[-1] - before))
            spread = spread + rounding[-1]
            better = np.isfinite(spread) & (spread < error)
            best = np.where(better, row[-1], best)
            error = np.where(better, spread, error)
            used = np.where(better, step, used)
        # Two finite levels that get worse mean that rounding has taken over.
        if level > 2 and np.all(np.abs(row[-1] - earlier[-1]) >= 2 * error):
            break
        earlier, earlier_rounding = row, rounding
        step /= SHRINK
    return Estimate(best, error, used)
