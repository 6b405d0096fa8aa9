"""Integer division, powers and shifts with NumPy's meaning, as straight-line code."""

from __future__ import annotations

from backlight.execute.native.arithmetic import Arithmetic
from backlight.execute.native.number import Number


def _divide(e: Arithmetic, a: Number, b: Number) -> tuple[Number, Number]:
    """Return the floored quotient and the remainder; both 0 for b = 0."""
    zero = e.equal(b, 0)
    safe = e.select(zero, 1, b)
    if a.dtype.kind == "u":
        quotient, rest = e.truncated_division(a, safe)
    else:
        # The hardware traps on the most negative number divided by −1.
        negative = e.equal(b, -1)
        quotient, rest = e.truncated_division(a, e.select(negative, 1, safe))
        quotient = e.select(negative, -quotient, quotient)
        turn = e.not_equal(rest, 0) & ((rest < 0) ^ (b < 0))
        quotient, rest = e.select(turn, quotient - 1, quotient), e.select(turn, rest + b, rest)
    return e.select(zero, 0, quotient), e.select(zero, 0, rest)


def floor_divide(e: Arithmetic, a: Number, b: Number) -> Number:
    """The quotient rounded down; 0 for b = 0."""
    return _divide(e, a, b)[0]


def remainder(e: Arithmetic, a: Number, b: Number) -> Number:
    """The remainder with the divisor's sign; 0 for b = 0."""
    return _divide(e, a, b)[1]


def pow(e: Arithmetic, base: Number, exponent: Number) -> Number:
    """baseⁿ by repeated squaring, for n ≥ 0; it wraps where it does not fit."""
    bits = 8 * base.dtype.itemsize
    result = e.like(1, base)
    for place in range(bits - (base.dtype.kind == "i")):
        used = e.not_equal(e.shift_right(exponent, place) & 1, 0)
        result = e.select(used, result * base, result)
        base = base * base
    return result


def left_shift(e: Arithmetic, a: Number, b: Number) -> Number:
    """a·2ᵇ in the low bits; 0 where b is negative or not less than the width."""
    inside, places = _places(e, b)
    return e.select(inside, e.number(e.builder.shl(a.value, places.value), a.dtype), 0)


def right_shift(e: Arithmetic, a: Number, b: Number) -> Number:
    """⌊a/2ᵇ⌋; 0 or −1 where b is negative or not less than the width."""
    inside, places = _places(e, b)
    shift = e.builder.lshr if a.dtype.kind == "u" else e.builder.ashr
    far = e.shift_right(a, 8 * a.dtype.itemsize - 1) if a.dtype.kind == "i" else e.like(0, a)
    return e.select(inside, e.number(shift(a.value, places.value), a.dtype), far)


def _places(e: Arithmetic, b: Number) -> tuple[Number, Number]:
    """Return whether a shift is less than the width, and one that is."""
    inside = (b >= 0) & (b < 8 * b.dtype.itemsize)
    return inside, e.select(inside, b, 0)
