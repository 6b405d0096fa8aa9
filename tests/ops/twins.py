"""Independent answers for scalar functions: values and derivatives from many-digit arithmetic.

A twin is a function of mpmath numbers that says what a primitive means; derivatives come from
central differences of the twin at several hundred digits, whose error is far below float64's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mpmath
import numpy as np

DIGITS = 450
STEP = mpmath.mpf(10) ** -40
NOISE = mpmath.mpf(10) ** -(DIGITS - 20)
SMALLEST_NORMAL = float(np.finfo(np.float64).tiny)

Twin = Callable[..., mpmath.mpf]


@dataclass(frozen=True)
class Derivatives:
    """Gradient and Hessian of a twin at one point, rounded to float64."""

    gradient: tuple[float, ...]
    hessian: tuple[tuple[float, ...], ...]


def value(twin: Twin, point: Sequence[float]) -> float:
    """Evaluate a twin at a point, rounded to float64."""
    with mpmath.workdps(50):
        return float(twin(*map(mpmath.mpf, point)))


def derivatives(twin: Twin, point: Sequence[float]) -> Derivatives:
    """Differentiate a twin twice at a point where it is smooth."""
    with mpmath.workdps(DIGITS):
        at = [mpmath.mpf(each) for each in point]
        largest = max(map(abs, at)) or mpmath.mpf(1)
        steps = [STEP * (abs(each) or largest) for each in at]
        count = range(len(at))

        def f(*moves: tuple[int, int]) -> mpmath.mpf:
            moved = list(at)
            for position, sign in moves:
                moved[position] += sign * steps[position]
            return twin(*moved)

        middle = f()
        gradient = tuple(_clean(f((i, 1)), -f((i, -1)), by=2 * steps[i]) for i in count)
        hessian = tuple(
            tuple(
                _clean(f((i, 1)), -2 * middle, f((i, -1)), by=steps[i] ** 2)
                if i == j
                else _clean(
                    f((i, 1), (j, 1)), -f((i, 1), (j, -1)), -f((i, -1), (j, 1)),
                    f((i, -1), (j, -1)), by=4 * steps[i] * steps[j],
                )
                for j in count
            )
            for i in count
        )  # fmt: skip
        return Derivatives(gradient, hessian)


def _clean(*terms: mpmath.mpf, by: mpmath.mpf) -> float:
    """Add terms and divide; a sum that is nothing but rounding is zero."""
    total = mpmath.fsum(terms)
    largest = max(map(abs, terms))
    return 0.0 if abs(total) <= NOISE * largest else float(total / by)


def relative_error(got: float, want: float) -> float:
    """Relative error; 0 for equal or both NaN, or when both are below the normal range."""
    if got == want or (math.isnan(got) and math.isnan(want)):
        return 0.0
    if abs(got) < SMALLEST_NORMAL and abs(want) < SMALLEST_NORMAL:
        return 0.0
    return abs(got - want) / abs(want) if want else math.inf


# ── the functions that mpmath lacks, or has under another meaning ────────────────────────────────


def sigmoid(x: mpmath.mpf) -> mpmath.mpf:
    return 1 / (1 + mpmath.exp(-x))


def logaddexp(a: mpmath.mpf, b: mpmath.mpf) -> mpmath.mpf:
    return mpmath.log(mpmath.exp(a) + mpmath.exp(b))


def floor_divide(a: mpmath.mpf, b: mpmath.mpf) -> mpmath.mpf:
    return mpmath.floor(mpmath.mpf(a) / b)


def remainder(a: mpmath.mpf, b: mpmath.mpf) -> mpmath.mpf:
    return a - b * floor_divide(a, b)


def trunc(x: mpmath.mpf) -> mpmath.mpf:
    return mpmath.floor(x) if x >= 0 else mpmath.ceil(x)


def copysign(a: mpmath.mpf, b: mpmath.mpf) -> mpmath.mpf:
    return abs(a) if b > 0 else -abs(a)


def next_after(a: float, b: float, dtype: np.dtype) -> float:
    """The neighbour of a finite number, found by counting the bit patterns up or down."""
    if a == b:
        return b
    if a == 0.0:
        return math.copysign(float(np.finfo(dtype).smallest_subnormal), b)
    bits = np.array(a, dtype).view(np.int64 if dtype.itemsize == 8 else np.int32)
    return float((bits + (1 if (b > a) == (a > 0) else -1)).view(dtype))
