"""Steps from one floating-point number to the next."""

from __future__ import annotations

from backlight.execute.native.arithmetic import Arithmetic
from backlight.execute.native.number import Number


def nextafter(e: Arithmetic, a: Number, b: Number) -> Number:
    """The next number after a in the direction of b: one step of the bits as an integer."""
    bits = e.bits(a)
    # Away from zero the bits count up.
    away = (a < b) ^ (a < 0.0)
    step = e.reinterpret(e.select(away, bits + 1, bits - 1), a.dtype)
    smallest = e.reinterpret(e.like(1, bits), a.dtype)
    step = e.select(e.equal(a, 0.0), e.copysign(smallest, b), step)
    step = e.select(e.equal(a, b), b, step)
    return e.select(e.isnan(a) | e.isnan(b), a + b, step)
