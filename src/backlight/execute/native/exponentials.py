"""The exponential function and what is made from it, as straight-line code.

x = k·ln 2 + r with |r| ≤ ½ ln 2, and eˣ = 2ᵏ·eʳ with eʳ by a polynomial: the reduction of W. J.
Cody and W. Waite, "Software Manual for the Elementary Functions" (1980).  k is rounded by adding
and subtracting 1.5·2^(p−1), which leaves k in the low bits of the sum; unlike a conversion to an
integer that is defined for NaN too.
"""

from __future__ import annotations

import math

from backlight.execute.native import coefficients as table
from backlight.execute.native.arithmetic import Arithmetic
from backlight.execute.native.number import FLOAT32, FLOAT64, Number

LN2 = math.log(2.0)
# ln 2 = high + low; the high part has few bits, so that its product with k is exact.
LN2_PARTS = {FLOAT32: table.S_LN2, FLOAT64: table.D_LN2}
EXP = {FLOAT32: table.S_EXP, FLOAT64: table.D_EXP}
ERF = {FLOAT32: table.S_ERF, FLOAT64: table.D_ERF}
ERFC = {FLOAT32: table.S_ERFC, FLOAT64: table.D_ERFC}
ERFC_END = {FLOAT32: 3.95, FLOAT64: 5.95}
# Beyond these eˣ/2 overflows, or eˣ is less than half the smallest number.
EXP_RANGE = {FLOAT32: (-104.5, 89.6), FLOAT64: (-746.0, 710.7)}


def polynomial(e: Arithmetic, x: Number, coefficients: tuple[float, ...]) -> Number:
    """Evaluate by Horner's rule, lowest power first."""
    total = e.like(coefficients[-1], x)
    for each in reversed(coefficients[:-1]):
        total = e.fma(total, x, each)
    return total


def clamp(e: Arithmetic, x: Number, low: float, high: float) -> Number:
    """Bring x into a range; NaN passes."""
    x = e.select(x > high, high, x)
    return e.select(x < low, low, x)


def power_of_two(e: Arithmetic, k: Number, model: Number) -> Number:
    """Return 2ᵏ for an exponent of the normal numbers."""
    form = model.format
    return e.reinterpret(e.shift_left(k + form.bias, form.fraction), form.dtype)


def scale(e: Arithmetic, x: Number, k: Number) -> Number:
    """Return x·2ᵏ, rounded once, also where it overflows or underflows."""
    half = e.shift_right(k, 1)
    return x * power_of_two(e, half, x) * power_of_two(e, k - half, x)


def nearest(e: Arithmetic, x: Number, factor: float = 1.0) -> tuple[Number, Number]:
    """Return the integer nearest to x·factor, as an integer and as a floating-point number."""
    magic = 1.5 * 2.0**x.format.fraction
    shifted = e.fma(x, factor, magic)
    whole = e.bits(shifted) - e.bits(e.like(magic, x))
    return whole, shifted - magic


def reduce(e: Arithmetic, x: Number) -> tuple[Number, Number]:
    """Return k and r with x = k·ln 2 + r."""
    high, low = LN2_PARTS[x.dtype]
    whole, k = nearest(e, x, 1.0 / LN2)
    return whole, e.fma(k, -low, e.fma(k, -high, x))


def small_expm1(e: Arithmetic, r: Number) -> Number:
    """eʳ − 1 for |r| ≤ ½ ln 2."""
    return e.fma(r * r, polynomial(e, r, EXP[r.dtype]), r)


def exp(e: Arithmetic, x: Number, halvings: int = 0) -> Number:
    """eˣ/2ʰ."""
    whole, r = reduce(e, clamp(e, x, *EXP_RANGE[x.dtype]))
    if halvings:
        whole = whole - halvings
    return scale(e, small_expm1(e, r) + 1.0, whole)


def quarter_expm1(e: Arithmetic, x: Number) -> Number:
    """(eˣ − 1)/4 for |x| that is not tiny: 2^(k−2)·(eʳ − 1) + (2^(k−2) − ¼)."""
    lowest = -(x.format.fraction + 4) * LN2
    whole, r = reduce(e, clamp(e, x, lowest, EXP_RANGE[x.dtype][1]))
    quarter = power_of_two(e, whole - 2, x)
    return e.fma(quarter, small_expm1(e, r), quarter - 0.25)


def is_tiny(e: Arithmetic, x: Number) -> Number:
    """Whether |x| is so small that functions like sinh(x) = x + O(x²) round to x."""
    return e.abs(x) < 2.0 ** -(x.format.fraction + 2)


def expm1(e: Arithmetic, x: Number) -> Number:
    """eˣ − 1."""
    return e.select(is_tiny(e, x), x, 4.0 * quarter_expm1(e, x))


def tanh(e: Arithmetic, x: Number) -> Number:
    """With y = e^(−2|x|): tanh |x| = (1 − y)/(1 + y) near 0, and 1 − 2y/(1 + y) further out."""
    size = e.abs(x)
    lowest = -(x.format.fraction + 4) * LN2
    whole, r = reduce(e, clamp(e, -2.0 * size, lowest, 0.0))
    power, near = power_of_two(e, whole, x), small_expm1(e, r)
    # 2ᵏ·(eʳ − 1) + (2ᵏ − 1) keeps the digits of y − 1 near 0.
    y, less_one = e.fma(power, near, power), e.fma(power, near, power - 1.0)
    far = size > 0.6
    quotient = e.select(far, y + y, less_one) / (1.0 + y)
    result = e.copysign(e.select(far, 1.0 - quotient, quotient), x)
    return e.select(is_tiny(e, x), x, result)


def sinh(e: Arithmetic, x: Number) -> Number:
    """With t = e^|x| − 1: sinh |x| = t/2 + (t/2)/(t + 1)."""
    half = 2.0 * quarter_expm1(e, e.abs(x))
    t = 2.0 * half
    # Far out the second term is nothing, and t is already infinite where t/2 is not.
    limit = 2.0 ** (x.format.fraction + 4)
    result = e.select(t < limit, half + half / (t + 1.0), half)
    return e.select(is_tiny(e, x), x, e.copysign(result, x))


def cosh(e: Arithmetic, x: Number) -> Number:
    """With h = e^|x|/2: cosh x = h + ¼/h."""
    half = exp(e, e.abs(x), 1)
    return half + 0.25 / half


def sigmoid(e: Arithmetic, x: Number) -> Number:
    """1/(1 + e⁻ˣ), with the exponential of a negative number only."""
    small = exp(e, -e.abs(x))
    return e.select(x >= 0.0, 1.0, small) / (1.0 + small)


def erf(e: Arithmetic, x: Number) -> Number:
    """Near 0 an odd polynomial; further out 1 − e^g(|x|) with a polynomial g for ln erfc."""
    size = e.abs(x)
    near = e.fma(x, polynomial(e, x * x, ERF[x.dtype]), x)
    inside = clamp(e, size, 1.0, ERFC_END[x.dtype])
    far = 1.0 - exp(e, polynomial(e, inside - 1.0, ERFC[x.dtype]))
    return e.select(size < 1.0, near, e.copysign(far, x))
