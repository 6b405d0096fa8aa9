"""Trigonometric functions and their inverses, as straight-line code.

The angle is multiplied by 2/π with as many digits as it takes, whole turns left out beforehand
(M. H. Payne and R. N. Hanek, "Radian reduction for trigonometric functions", SIGNUM Newsletter 18,
1983), so results are right for all finite angles.  The rows of 2/π are in `coefficients`.
"""

from __future__ import annotations

import math

from llvmlite import ir

from backlight.execute.native import coefficients as table
from backlight.execute.native.arithmetic import Arithmetic
from backlight.execute.native.doubled import ordered_total, product, times, total
from backlight.execute.native.exponentials import nearest, polynomial
from backlight.execute.native.number import FLOAT32, FLOAT64, INT32, Number

PI = {FLOAT32: table.S_PI, FLOAT64: table.D_PI}
SIN = {FLOAT32: table.S_SIN, FLOAT64: table.D_SIN}
COS = {FLOAT32: table.S_COS, FLOAT64: table.D_COS}
ASIN = {FLOAT32: table.S_ASIN, FLOAT64: table.D_ASIN}
ATAN = {FLOAT32: table.S_ATAN, FLOAT64: table.D_ATAN}
HALF_PI = PI[FLOAT64][0] / 2, PI[FLOAT64][1] / 2


# ---- reduction of the angle ----------------------------------------------------------------------


def _row(e: Arithmetic, x: Number, step: int, last: int) -> Number:
    """Return which row of 2/π serves an angle, by its exponent."""
    form = x.format
    exponent = e.shift_right(e.bits(e.abs(x)), form.fraction)
    above = exponent - (form.bias + form.fraction + 2)
    above = e.select(above < 0, 0, above)
    if step & (step - 1) == 0:
        row = e.shift_right(above, step.bit_length() - 1)
        return e.select(row > last, last, row)
    row = e.like(0, above)
    for each in range(1, last + 1):
        row = e.select(above >= each * step, each, row)
    return row


def _reduce_single(e: Arithmetic, x: Number) -> tuple[Number, Number]:
    """Return the quadrant and the rest of a float32 angle, the rest in float64."""
    row = _row(e, x, table.S_TURNS_STEP, len(table.S_TURNS) - 1)
    wide = e.cast(x, FLOAT64)
    parts = []
    for values in zip(*table.S_TURNS, strict=True):
        part = e.like(values[0], wide)
        for number, value in enumerate(values[1:], start=1):
            part = e.select(row >= number, value, part)
        parts.append(part)
    # The first two products are exact: 24 bits times 29.
    first, second = (_mod4(e, wide * part) for part in parts[:2])
    whole, k = nearest(e, first + second)
    rest = ((first - k) + second) + wide * parts[2]
    return e.cast(whole, INT32), rest * HALF_PI[0]


def _mod4(e: Arithmetic, x: Number) -> Number:
    """Return x without a multiple of 4, exactly."""
    return x - 4.0 * e.round(x * 0.25)


def _look_up(e: Arithmetic, row: Number, columns: int) -> list[Number]:
    """Return the parts of 2/π in a row of the table for float64."""
    kind = ir.ArrayType(ir.DoubleType(), columns * len(table.D_TURNS))
    found = e.module.globals.get("backlight.turns")
    if found is None:
        found = ir.GlobalVariable(e.module, kind, "backlight.turns")
        found.global_constant, found.linkage = True, "internal"
        found.initializer = ir.Constant(kind, [each for line in table.D_TURNS for each in line])
    return [e.gather(found, row * columns + column, FLOAT64) for column in range(columns)]


def _reduce_double(e: Arithmetic, x: Number) -> tuple[Number, Number, Number]:
    """Return the quadrant of a float64 angle, and the rest in two numbers."""
    parts = _look_up(e, _row(e, x, table.D_TURNS_STEP, len(table.D_TURNS) - 1), 4)
    scaled = x * 2.0**-512
    products = [product(e, scaled, part) for part in parts[:3]]
    a, b, c = (_mod4(e, each) for each in (products[0][0], products[0][1], products[1][0]))
    ab, ab_low = total(e, a, b)
    abc, abc_low = total(e, ab, c)
    whole, k = nearest(e, abc)
    rest, low = abc - k, e.fma(scaled, parts[3], products[2][1])
    for term in (ab_low, abc_low, products[1][1], products[2][0]):
        rest, lost = total(e, rest, term)
        low = low + lost
    rest, low = ordered_total(e, rest, low)
    high, low = times(e, (rest, low), *HALF_PI)
    high, low = ordered_total(e, high, low)
    # Small angles need no reduction, and products of tiny ones would lose digits.
    small = e.abs(x) < math.pi / 4
    return (
        e.select(small, 0, whole),
        e.select(small, x, high),
        e.select(small, e.like(0.0, x), low),
    )


# ---- sine, cosine, tangent -----------------------------------------------------------------------


def _sine(e: Arithmetic, r: Number, low: Number | None, coefficients: tuple[float, ...]) -> Number:
    """sin(r + low) for |r| ≤ π/4."""
    z = r * r
    tail = z * r * polynomial(e, z, coefficients)
    if low is not None:
        tail = e.fma(low, e.fma(z, -0.5, 1.0), tail)
    return r + tail


def _cosine(
    e: Arithmetic, r: Number, low: Number | None, coefficients: tuple[float, ...]
) -> Number:
    """cos(r + low) for |r| ≤ π/4."""
    z = r * r
    half = 0.5 * z
    near = 1.0 - half
    tail = e.fma(z * z, polynomial(e, z, coefficients), (1.0 - near) - half)
    return near + (tail if low is None else e.fma(-r, low, tail))


def _sine_and_cosine(e: Arithmetic, x: Number) -> tuple[Number, Number, Number]:
    """Return the quadrant, and sine and cosine of the rest."""
    if x.dtype == FLOAT32:
        quadrant, wide = _reduce_single(e, x)
        r = e.select(e.abs(x) < math.pi / 4, x, e.cast(wide, FLOAT32))
        quadrant = e.select(e.abs(x) < math.pi / 4, 0, quadrant)
        return quadrant, _sine(e, r, None, table.S_SIN), _cosine(e, r, None, table.S_COS)
    quadrant, r, low = _reduce_double(e, x)
    return quadrant, _sine(e, r, low, table.D_SIN), _cosine(e, r, low, table.D_COS)


def _finite(e: Arithmetic, x: Number, result: Number) -> Number:
    """NaN where the angle is infinite or NaN."""
    return e.select(e.abs(x) < math.inf, result, math.nan)


def sin(e: Arithmetic, x: Number) -> Number:
    """sin x: ± the sine or cosine of the rest, by the quadrant."""
    quadrant, sine, cosine = _sine_and_cosine(e, x)
    result = e.select(e.equal(quadrant & 1, 0), sine, cosine)
    result = e.select(e.equal(quadrant & 2, 0), result, -result)
    return _finite(e, x, e.select(e.equal(x, 0.0), x, result))


def cos(e: Arithmetic, x: Number) -> Number:
    """cos x: ± the cosine or sine of the rest, by the quadrant."""
    quadrant, sine, cosine = _sine_and_cosine(e, x)
    result = e.select(e.equal(quadrant & 1, 0), cosine, sine)
    result = e.select(e.equal((quadrant + 1) & 2, 0), result, -result)
    return _finite(e, x, result)


def tan(e: Arithmetic, x: Number) -> Number:
    """tan x: sine over cosine of the rest, or minus the inverse of that in odd quadrants."""
    if x.dtype == FLOAT32:
        quadrant, wide = _reduce_single(e, x)
        sine = _sine(e, wide, None, table.S_SIN)
        cosine = _cosine(e, wide, None, table.S_COS)
    else:
        quadrant, sine, cosine = _sine_and_cosine(e, x)
    even = e.equal(quadrant & 1, 0)
    result = e.select(even, sine, -cosine) / e.select(even, cosine, sine)
    return _finite(e, x, e.select(e.equal(x, 0.0), x, e.cast(result, x.dtype)))


# ---- inverses ------------------------------------------------------------------------------------


def _half_angle(e: Arithmetic, x: Number) -> tuple[Number, Number, Number]:
    """Return |x| ≥ ½, and s and s·R with arcsin s = s + s·R, s = |x| or √((1 − |x|)/2)."""
    size = e.abs(x)
    large = size >= 0.5
    z = e.select(large, 0.5 - 0.5 * size, size * size)
    s = e.select(large, e.sqrt(z), size)
    return large, s, s * (z * polynomial(e, z, ASIN[x.dtype]))


def asin(e: Arithmetic, x: Number) -> Number:
    """arcsin x; for |x| ≥ ½ it is π/2 − 2·arcsin √((1 − |x|)/2)."""
    high, low = (each / 2 for each in PI[x.dtype])
    large, s, rest = _half_angle(e, x)
    far, lost = ordered_total(e, high, -2.0 * s)
    far = far + (lost + (low - 2.0 * rest))
    return e.copysign(e.select(large, far, s + rest), x)


def acos(e: Arithmetic, x: Number) -> Number:
    """arccos x = π/2 − arcsin x; for |x| ≥ ½, 2·arcsin √((1 − |x|)/2), or π minus that."""
    pi, pi_low = PI[x.dtype]
    large, s, rest = _half_angle(e, x)
    negative = e.signbit(x)
    zero = e.like(0.0, x)
    base = e.select(large, e.select(negative, e.like(pi, x), zero), pi / 2)
    base_low = e.select(large, e.select(negative, e.like(pi_low, x), zero), pi_low / 2)
    sign = e.select(large, e.like(2.0, x), -1.0)
    sign = e.select(negative, -sign, sign)
    step = sign * s
    high, lost = total(e, base, step)
    return high + (lost + e.fma(sign, rest, base_low))


def _angle(e: Arithmetic, y: Number, x: Number) -> Number:
    """arctan(y/x) for y, x ≥ 0 of moderate size, not both 0.

    The quotient is brought below tan(π/8) by turning the point by 0, π/4 or π/2.
    """
    pi, pi_low = PI[x.dtype]
    steep, middle = y > 2.414213562373095 * x, y > 0.41421356237309503 * x
    above = e.select(steep, -x, e.select(middle, y - x, y))
    below = e.select(steep, y, e.select(middle, y + x, x))
    zero = e.like(0.0, x)
    base = e.select(steep, e.like(pi / 2, x), e.select(middle, e.like(pi / 4, x), zero))
    low = e.select(steep, e.like(pi_low / 2, x), e.select(middle, e.like(pi_low / 4, x), zero))
    t = above / below
    z = t * t
    return base + (t + e.fma(t * z, polynomial(e, z, ATAN[x.dtype]), low))


def atan(e: Arithmetic, x: Number) -> Number:
    """arctan x."""
    return e.copysign(_angle(e, e.abs(x), e.like(1.0, x)), x)


def atan2(e: Arithmetic, y: Number, x: Number) -> Number:
    """The angle of the point (x, y), −π … π."""
    form = x.format
    pi, pi_low = PI[x.dtype]
    up, across = e.abs(y), e.abs(x)
    # Infinite in both directions is a diagonal; the origin has the angle of its signs.
    both = e.equal(up, math.inf) & e.equal(across, math.inf)
    up, across = (e.select(both, 1.0, each) for each in (up, across))
    across = e.select(e.equal(up, 0.0) & e.equal(across, 0.0), 1.0, across)
    larger = e.select(up > across, up, across)
    factor = e.select(larger > 2.0 ** (form.bias - 2), e.like(0.25, x), 1.0)
    small = larger < 2.0 ** -(form.bias - form.fraction - 8)
    factor = e.select(small, 2.0 ** (form.fraction + 8), factor)
    angle = _angle(e, up * factor, across * factor)
    angle = e.select(e.signbit(x), pi - (angle - pi_low), angle)
    return e.copysign(angle, y)
