"""Powers, the hypotenuse, and division with remainder, as straight-line code."""

from __future__ import annotations

import math

from backlight.execute.native import coefficients as table
from backlight.execute.native.arithmetic import Arithmetic
from backlight.execute.native.doubled import product
from backlight.execute.native.exponentials import (
    LN2,
    clamp,
    nearest,
    polynomial,
    scale,
    small_expm1,
)
from backlight.execute.native.logarithms import positive_log, precise_log2
from backlight.execute.native.number import FLOAT32, FLOAT64, Number

EXP2_RANGE = (-1080.0, 1026.0)


def pow(e: Arithmetic, x: Number, y: Number) -> Number:
    """xʸ = ± 2^(y·log₂|x|), and the cases that IEEE 754 lists for the function pow."""
    size = e.abs(x)
    result = _single_power(e, size, y) if x.dtype == FLOAT32 else _double_power(e, size, y)
    whole = e.equal(e.trunc(y), y)
    half = 0.5 * y
    odd = whole & e.not_equal(e.trunc(half), half)
    result = e.select(e.signbit(x) & odd, -result, result)
    result = e.select((x < 0.0) & (x > -math.inf) & ~whole, math.nan, result)
    one = e.equal(x, 1.0) | e.equal(y, 0.0)
    one = one | (e.equal(size, 1.0) & e.equal(e.abs(y), math.inf))
    return e.select(one, 1.0, result)


def _ends(e: Arithmetic, size: Number, logarithm: Number) -> Number:
    """The logarithm at 0 and infinity, where everything else follows from it."""
    logarithm = e.select(size < math.inf, logarithm, size)
    return e.select(e.equal(size, 0.0), -math.inf, logarithm)


def _single_power(e: Arithmetic, size: Number, y: Number) -> Number:
    """float32 by way of float64, whose digits are more than enough."""
    wide = e.cast(size, FLOAT64)
    logarithm = _ends(e, wide, positive_log(e, wide) * table.D_LOG2_E[0])
    exponent = clamp(e, e.cast(y, FLOAT64) * logarithm, *EXP2_RANGE)
    whole, k = nearest(e, exponent)
    r = (exponent - k) * LN2
    near = e.fma(r * r, polynomial(e, r, table.S_EXP), r) + 1.0
    return e.cast(scale(e, near, whole), FLOAT32)


def _double_power(e: Arithmetic, size: Number, y: Number) -> Number:
    """float64 with the logarithm, and its product with y, in two numbers."""
    logarithm, low = precise_log2(e, size)
    logarithm = _ends(e, size, logarithm)
    exponent, lost = product(e, y, logarithm)
    lost = e.fma(y, low, lost)
    # Where the power overflows or vanishes, the correction may be NaN and does not matter.
    inside = e.abs(exponent) < 1100.0
    lost = e.select(inside, lost, 0.0)
    exponent = clamp(e, exponent, *EXP2_RANGE)
    whole, k = nearest(e, exponent)
    r = ((exponent - k) + lost) * LN2
    return scale(e, small_expm1(e, r) + 1.0, whole)


def hypot(e: Arithmetic, a: Number, b: Number) -> Number:
    """√(a² + b²), with the squares kept from overflow and underflow by a power of two."""
    form = a.format
    a, b = e.abs(a), e.abs(b)
    larger, smaller = e.select(a > b, a, b), e.select(a > b, b, a)
    infinite = e.equal(a, math.inf) | e.equal(b, math.inf)
    shift = 2.0 ** (form.bias // 2 + form.fraction)
    huge, small = larger > 2.0 ** (form.bias // 2 - 1), larger < 2.0 ** (-(form.bias // 2) + 30)
    down = e.select(huge, e.like(1.0 / shift, a), e.select(small, e.like(shift, a), 1.0))
    up = e.select(huge, e.like(shift, a), e.select(small, e.like(1.0 / shift, a), 1.0))
    larger, smaller = larger * down, smaller * down
    length = e.sqrt(e.fma(larger, larger, smaller * smaller)) * up
    return e.select(infinite, math.inf, length)


def _divide(e: Arithmetic, a: Number, b: Number) -> tuple[Number, Number]:
    """Return the floored quotient and the remainder of numbers with b ≠ 0, both as NumPy does."""
    rest = e.fmod(a, b)
    quotient = (a - rest) / b
    turn = e.not_equal(rest, 0.0) & ((b < 0.0) ^ (rest < 0.0))
    remainder = e.select(turn, rest + b, rest)
    remainder = e.select(e.equal(remainder, 0.0), e.copysign(0.0, b), remainder)
    quotient = e.select(turn, quotient - 1.0, quotient)
    floor = e.floor(quotient)
    floor = e.select(quotient - floor > 0.5, floor + 1.0, floor)
    zero = e.copysign(0.0, a / b)
    return e.select(e.equal(quotient, 0.0), zero, floor), remainder


def remainder(e: Arithmetic, a: Number, b: Number) -> Number:
    """The remainder of the floored division; NaN for b = 0."""
    return e.select(e.equal(b, 0.0), math.nan, _divide(e, a, b)[1])


def floor_divide(e: Arithmetic, a: Number, b: Number) -> Number:
    """The floored quotient; ± infinity or NaN for b = 0."""
    return e.select(e.equal(b, 0.0), a / b, _divide(e, a, b)[0])
