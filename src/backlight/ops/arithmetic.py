"""Arithmetic: sums, products, quotients, powers and remainders, entry by entry."""

from __future__ import annotations

import math
from typing import Any

from backlight.errors import DtypeError
from backlight.graph import notation
from backlight.graph.notation import function, power
from backlight.graph.primitive import Facts, Kink, Operand, Primitive
from backlight.ops.exponential import LOG
from backlight.ops.logical import EQUAL, LOGICAL_AND
from backlight.ops.piecewise import WHERE
from backlight.ops.rules import elementwise

INF = math.inf
NAN = math.nan

ADD = elementwise(
    "add",
    lambda xp, a, b: a + b,
    lambda y, a, b: 1.0,
    lambda y, a, b: 1.0,
    takes="numeric",
    formula=notation.ADD,
    symbol="s",
    special=(((INF, -INF), NAN), ((INF, 1.0), INF), ((NAN, 1.0), NAN)),
    # Only −0 leaves every operand as it is: −0 + 0 is 0.
    facts=Facts(commutative=True, associative=True, left_identity=-0.0, right_identity=-0.0),
    onnx="Add",
    lower=lambda e, a, b: e.add(a, b),
    description="The sum of two operands.",
)

SUB = elementwise(
    "sub",
    lambda xp, a, b: a - b,
    lambda y, a, b: 1.0,
    lambda y, a, b: -1.0,
    takes="numeric",
    formula=notation.SUBTRACT,
    symbol="s",
    special=(((INF, INF), NAN), ((1.0, INF), -INF)),
    facts=Facts(right_identity=0.0),
    onnx="Sub",
    lower=lambda e, a, b: e.sub(a, b),
    description="The difference of two operands.",
)

MUL = elementwise(
    "mul",
    lambda xp, a, b: a * b,
    lambda y, a, b: b,
    lambda y, a, b: a,
    takes="numeric",
    formula=notation.MULTIPLY,
    symbol="p",
    special=(((0.0, INF), NAN), ((-2.0, INF), -INF)),
    facts=Facts(commutative=True, associative=True, left_identity=1.0, right_identity=1.0),
    onnx="Mul",
    lower=lambda e, a, b: e.mul(a, b),
    description="The product of two operands.",
)

DIV = elementwise(
    "div",
    lambda xp, a, b: a / b,
    lambda y, a, b: 1.0 / b,
    lambda y, a, b: -y / b,
    formula=notation.DIVIDE,
    symbol="q",
    domain="a divisor other than 0",
    special=(((1.0, 0.0), INF), ((-1.0, 0.0), -INF), ((0.0, 0.0), NAN), ((1.0, INF), 0.0)),
    facts=Facts(right_identity=1.0),
    onnx="Div",
    lower=lambda e, a, b: e.div(a, b),
    description="The quotient of two operands.",
)

NEG = elementwise(
    "neg",
    lambda xp, x: -x,
    lambda y, x: -1.0,
    takes="numeric",
    formula=notation.NEGATE,
    symbol="n",
    special=(((INF,), -INF),),
    facts=Facts(involution=True),
    onnx="Neg",
    lower=lambda e, x: e.neg(x),
    description="The operand with its sign turned.",
)


def _power_by_base(y: Operand, base: Operand, exponent: Operand) -> Operand | float:
    """d(bᵉ)/db = e·bᵉ⁻¹, written without a superfluous power for the exponents 0, 1 and 2."""
    constant = exponent.constant
    if constant is not None and constant in (0.0, 1.0):
        return constant
    if constant == 2.0:
        return 2.0 * base
    if constant is not None:
        return constant * base ** (constant - 1.0)
    # At e = 0 the rule must give 0 even where b = 0 makes bᵉ⁻¹ infinite.  Elsewhere e stays in
    # it, so that its own derivative with respect to e is right at e = 0.
    corner = LOGICAL_AND(EQUAL(exponent, 0.0), EQUAL(base, 0.0))
    result: Operand = exponent * WHERE(corner, 1.0, base) ** (exponent - 1.0)
    return result


def _power_by_exponent(y: Operand, base: Operand, exponent: Operand) -> Operand:
    """d(bᵉ)/de = bᵉ·ln b; 0 at b = 0 for e ≥ 0, the limit from the right."""
    zero = EQUAL(base, 0.0)
    result: Operand = WHERE(zero, 0.0 * y, y * LOG(WHERE(zero, 1.0, base)))
    return result


def _power(xp: Any, base: Any, exponent: Any) -> Any:
    try:
        return base**exponent
    except ValueError:
        if exponent.dtype.kind == "i" and xp.any(exponent < 0):
            raise DtypeError(
                "pow: an integer has no negative integer powers; convert the base with "
                "bl.astype(x, float) first."
            ) from None
        raise


POW = elementwise(
    "pow",
    _power,
    _power_by_base,
    _power_by_exponent,
    takes="numeric",
    formula=power(),
    symbol="u",
    domain="a positive base, or an integer exponent",
    careful=lambda base, exponent: (
        not (exponent.ndim == 0 and 0 <= exponent < INF and exponent % 1 == 0)
    ),
    special=(
        ((0.0, 0.0), 1.0),
        ((NAN, 0.0), 1.0),
        ((1.0, NAN), 1.0),
        ((-1.0, 0.5), NAN),
        ((0.0, -1.0), INF),
        ((2.0, INF), INF),
    ),
    facts=Facts(right_identity=1.0),
    onnx="Pow",
    lower=lambda e, a, b: e.pow(a, b),
    description="The first operand raised to the second.",
)


def _remainder_nodes(e: Any, a: Any, b: Any) -> Any:
    """The remainder with the divisor's sign; ONNX has C's ``fmod`` for floating-point numbers."""
    a, b = e.alike(a, b)
    if a.dtype.kind != "f":
        return e.node("Mod", a, b, fmod=0)
    rest = e.node("Mod", a, b, fmod=1)
    turned = e.node("Xor", rest < 0.0, b < 0.0)
    whole = rest.equals(0.0)
    return e.where(e.node("And", turned, e.node("Not", whole)), rest + b, rest)


def _floor_divide_nodes(e: Any, a: Any, b: Any) -> Any:
    """(a − a mod b)/b, which is whole but for rounding."""
    a, b = e.alike(a, b)
    quotient = (a - _remainder_nodes(e, a, b)) / b
    if a.dtype.kind != "f":
        return quotient
    return e.where(b.equals(0.0), a / b, e.node("Round", quotient))


REMAINDER = elementwise(
    "remainder",
    lambda xp, a, b: xp.remainder(a, b),
    lambda y, a, b: 1.0,
    lambda y, a, b: -FLOOR_DIVIDE(a, b),
    takes="numeric",
    formula=function("mod"),
    domain="a divisor other than 0",
    kink=Kink(
        lambda xp, a, b: xp.remainder(a, b) == 0,
        "at a multiple of the divisor, where it jumps, the derivative is that of the branch above",
    ),
    onnx="Mod",
    to_onnx=_remainder_nodes,
    lower=lambda e, a, b: e.remainder(a, b),
    description="The remainder of the floored division, with the divisor's sign.",
)

FLOOR_DIVIDE: Primitive = elementwise(
    "floor_divide",
    lambda xp, a, b: xp.floor_divide(a, b),
    lambda y, a, b: 0.0,
    lambda y, a, b: 0.0,
    takes="numeric",
    formula=function("floor_divide"),
    domain="a divisor other than 0",
    kink=Kink(
        lambda xp, a, b: xp.remainder(a, b) == 0,
        "the derivative is 0, also at a multiple of the divisor, where it jumps",
    ),
    to_onnx=_floor_divide_nodes,
    lower=lambda e, a, b: e.floor_divide(a, b),
    description="The quotient rounded down.",
)


def _hypot_nodes(e: Any, a: Any, b: Any) -> Any:
    """m·√(1 + (n/m)²) of the larger magnitude m and the smaller one n, without overflow."""
    a, b = (e.node("Abs", each) for each in e.alike(a, b))
    large, small = e.node("Max", a, b), e.node("Min", a, b)
    ratio = small / e.where(large.equals(0.0), e.constant(a.dtype.type(1)), large)
    length = large * e.node("Sqrt", ratio * ratio + 1.0)
    infinite = e.node("Or", a.equals(INF), b.equals(INF))
    return e.where(infinite, e.constant(a.dtype.type(INF)), length)


HYPOT = elementwise(
    "hypot",
    lambda xp, a, b: xp.hypot(a, b),
    lambda y, a, b: safe_quotient(a, y),
    lambda y, a, b: safe_quotient(b, y),
    formula=function("hypot"),
    overflows=True,
    special=(((INF, NAN), INF), ((3.0, 4.0), 5.0)),
    kink=Kink(
        lambda xp, a, b: xp.logical_and(a == 0, b == 0),
        "both derivatives at the origin are taken as 0",
    ),
    facts=Facts(commutative=True),
    to_onnx=_hypot_nodes,
    lower=lambda e, a, b: e.hypot(a, b),
    description="The length of the hypotenuse, √(a² + b²).",
)


def safe_quotient(a: Operand, y: Operand) -> Operand:
    """a/y, and 0 where both vanish."""
    quotient: Operand = a / WHERE(EQUAL(y, 0.0), 1.0, y)
    return quotient
