"""Logarithms and what is made from them, as straight-line code.

x = 2ᵏ·(1 + f) with √½ ≤ 1 + f < √2.  In float32 ln(1 + f) is a polynomial in f; in float64 it is
2·artanh(s) with s = f/(2 + f), whose series converges faster (Cody and Waite, 1980).
"""

from __future__ import annotations

import math

from backlight.execute.native import coefficients as table
from backlight.execute.native.arithmetic import Arithmetic
from backlight.execute.native.doubled import Pair, ordered_total, product, times
from backlight.execute.native.exponentials import LN2, LN2_PARTS, exp, is_tiny, polynomial
from backlight.execute.native.number import FLOAT32, FLOAT64, Number


def split(e: Arithmetic, x: Number) -> Pair:
    """Return k and m = 1 + f with x = 2ᵏ·m and √½ ≤ m < √2, for positive finite x."""
    form = x.format
    up = form.fraction + 1
    subnormal = x < form.smallest_normal
    bits = e.bits(e.select(subnormal, x * 2.0**up, x))
    k = e.shift_right(bits - e.bits(e.like(math.sqrt(0.5), x)), form.fraction)
    m = e.reinterpret(bits - e.shift_left(k, form.fraction), form.dtype)
    # A small integer becomes a floating-point number in the low bits of 1.5·2^(p−1).
    magic = e.like(1.5 * 2.0**form.fraction, x)
    plain = e.reinterpret(e.bits(magic) + k, form.dtype) - magic
    return e.select(subnormal, plain - float(up), plain), m


def positive_log(e: Arithmetic, x: Number, extra: Number | None = None) -> Number:
    """Return ln x + extra for positive finite x and a small extra."""
    high, low = LN2_PARTS[x.dtype]
    k, m = split(e, x)
    f = m - 1.0
    rest = k * low if extra is None else e.fma(k, low, extra)
    if x.dtype == FLOAT32:
        square = f * f
        rest = e.fma(f * square, polynomial(e, f, table.S_LOG), rest)
        rest = e.fma(-0.5, square, rest)
    else:
        s = f / (f + 2.0)
        z = s * s
        # 2s = f − s·f, so that the large part of the result is exact.
        rest = rest - s * (f - 2.0 * (z * polynomial(e, z, table.D_ATANH)))
    return e.fma(k, high, f + rest)


def edges(e: Arithmetic, x: Number, result: Number) -> Number:
    """Put in the values of a logarithm where x is 0, negative, infinite or NaN."""
    result = e.select(x < math.inf, result, x)
    result = e.select(x < 0.0, math.nan, result)
    return e.select(e.equal(x, 0.0), -math.inf, result)


def log(e: Arithmetic, x: Number) -> Number:
    """ln x."""
    return edges(e, x, positive_log(e, x))


def log1p(e: Arithmetic, x: Number) -> Number:
    """ln(1 + x) = ln u + c/u, where u is 1 + x rounded and c what the rounding lost."""
    u = x + 1.0
    lost = e.select(x < 1.0, x - (u - 1.0), 1.0 - (u - x))
    return e.select(is_tiny(e, x), x, edges(e, u, positive_log(e, u, lost / u)))


def precise_log(e: Arithmetic, m: Number) -> Pair:
    """Return ln m in two float64 numbers, for √½ ≤ m < √2, to about 64 bits.

    ln m = 2s·(1 + s²/3 + s⁴·tail(s²)); s and the first two terms are kept in two numbers.
    """
    f = m - 1.0
    below, below_low = ordered_total(e, 1.0, m)
    inverse = 1.0 / below
    s = f * inverse
    s_low = (e.fma(-s, below, f) - s * below_low) * inverse
    z, z_low = product(e, s, s)
    z_low = e.fma(2.0 * s, s_low, z_low)
    third, third_low = times(e, (z, z_low), *table.D_THIRD)
    third_low = e.fma(z * z, polynomial(e, z, table.D_ATANH_TAIL), third_low)
    series, series_low = ordered_total(e, 1.0, third)
    high, low = times(e, (s, s_low), series, series_low + third_low)
    return 2.0 * high, 2.0 * low


def precise_log2(e: Arithmetic, x: Number) -> Pair:
    """Return log₂ x in two float64 numbers, for positive finite x, to about 64 bits."""
    k, m = split(e, x)
    fraction, fraction_low = times(e, precise_log(e, m), *table.D_LOG2_E)
    high, low = ordered_total(e, k, fraction)
    # With k = 0 the order is the other way round, and the sum is exact anyway.
    return high, low + fraction_low


def log2(e: Arithmetic, x: Number) -> Number:
    """log₂ x; whole for powers of two."""
    if x.dtype == FLOAT32:
        wide = e.cast(x, FLOAT64)
        return edges(e, x, e.cast(positive_log(e, wide) * table.D_LOG2_E[0], FLOAT32))
    high, low = precise_log2(e, x)
    return edges(e, x, high + low)


def log10(e: Arithmetic, x: Number) -> Number:
    """log₁₀ x; whole for powers of ten."""
    if x.dtype == FLOAT32:
        wide = e.cast(x, FLOAT64)
        return edges(e, x, e.cast(positive_log(e, wide) * table.D_LOG10_E[0], FLOAT32))
    k, m = split(e, x)
    fraction, fraction_low = times(e, precise_log(e, m), *table.D_LOG10_E)
    high, low = ordered_total(e, k * table.D_LOG10_2[0], fraction)
    return edges(e, x, high + (low + e.fma(k, table.D_LOG10_2[1], fraction_low)))


def logaddexp(e: Arithmetic, a: Number, b: Number) -> Number:
    """max(a, b) + ln(1 + e^−|a − b|); equal operands, infinite ones too, give a + ln 2."""
    far = e.maximum(a, b) + log1p(e, exp(e, -e.abs(a - b)))
    return e.select(e.equal(a, b), a + LN2, far)


def asinh(e: Arithmetic, x: Number) -> Number:
    """With a = |x|: ln(1 + a + a²/(1 + √(1 + a²))); for huge a, ln a + ln 2."""
    size = e.abs(x)
    huge = size > 2.0 ** (x.format.fraction + 2)
    square = size * size
    y = size + square / (1.0 + e.sqrt(square + 1.0))
    result = log1p(e, e.select(huge, size, y)) + e.select(huge, e.like(LN2, x), 0.0)
    return e.copysign(result, x)


def acosh(e: Arithmetic, x: Number) -> Number:
    """With t = x − 1: ln(1 + t + √(t·(t + 2))); for huge x, ln x + ln 2."""
    huge = x > 2.0 ** (x.format.fraction + 2)
    t = x - 1.0
    y = t + e.sqrt(t * (t + 2.0))
    result = log1p(e, e.select(huge, x, y)) + e.select(huge, e.like(LN2, x), 0.0)
    return e.select(x < 1.0, math.nan, result)


def atanh(e: Arithmetic, x: Number) -> Number:
    """With a = |x|: ½·ln(1 + 2a/(1 − a)), and 2a + 2a·a/(1 − a) inside for a below ½."""
    size = e.abs(x)
    twice, rest = size + size, 1.0 - size
    small = size < 0.5
    quotient = e.select(small, twice * size, twice) / rest
    y = e.select(small, twice + quotient, quotient)
    return e.copysign(0.5 * log1p(e, y), x)
