"""Unevaluated sums of two floating-point numbers, for intermediate results with twice the digits.

T. J. Dekker, "A floating-point technique for extending the available precision", Numerische
Mathematik 18 (1971); D. E. Knuth, "The Art of Computer Programming", volume 2, section 4.2.2.
"""

from __future__ import annotations

from backlight.execute.native.arithmetic import Arithmetic, Operand
from backlight.execute.native.number import Number

Pair = tuple[Number, Number]
"""A number and a much smaller correction to it."""


def product(e: Arithmetic, a: Number, b: Operand) -> Pair:
    """Return a·b exactly."""
    high = a * b
    return high, e.fma(a, b, -high)


def total(e: Arithmetic, a: Number, b: Number) -> Pair:
    """Return a + b exactly (Knuth)."""
    high = a + b
    other = high - a
    return high, (a - (high - other)) + (b - other)


def ordered_total(e: Arithmetic, a: Operand, b: Number) -> Pair:
    """Return a + b exactly, for |a| ≥ |b| (Dekker)."""
    high = e.add(a, b)
    return high, b - e.sub(high, a)


def times(e: Arithmetic, a: Pair, b_high: Operand, b_low: Operand) -> Pair:
    """Return a·b to about twice the digits."""
    high, low = product(e, a[0], b_high)
    return high, e.fma(a[0], b_low, e.fma(a[1], b_high, low))
