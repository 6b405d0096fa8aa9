"""Trigonometric and hyperbolic functions and their inverses, entry by entry."""

from __future__ import annotations

import math

from backlight.graph.notation import function
from backlight.graph.primitive import Kink, Operand, Primitive
from backlight.ops.arithmetic import HYPOT, safe_quotient
from backlight.ops.exponential import SQRT
from backlight.ops.rules import elementwise

INF = math.inf
NAN = math.nan


def _one_less_square(x: Operand) -> Operand:
    """1 − x² as a product, which keeps its digits where x is close to ±1."""
    return (1.0 - x) * (1.0 + x)


SIN = elementwise(
    "sin",
    lambda xp, x: xp.sin(x),
    lambda y, x: COS(x),
    formula=function("sin", r"\sin"),
    domain="a finite angle",
    special=(((0.0,), 0.0), ((INF,), NAN)),
    onnx="Sin",
    lower=lambda e, x: e.sin(x),
    description="The sine of an angle in radians.",
)

COS: Primitive = elementwise(
    "cos",
    lambda xp, x: xp.cos(x),
    lambda y, x: -SIN(x),
    formula=function("cos", r"\cos"),
    domain="a finite angle",
    special=(((0.0,), 1.0), ((INF,), NAN)),
    onnx="Cos",
    lower=lambda e, x: e.cos(x),
    description="The cosine of an angle in radians.",
)

TAN = elementwise(
    "tan",
    lambda xp, x: xp.tan(x),
    lambda y, x: 1.0 + y**2.0,
    formula=function("tan", r"\tan"),
    domain="a finite angle",
    special=(((0.0,), 0.0), ((INF,), NAN)),
    onnx="Tan",
    lower=lambda e, x: e.tan(x),
    description="The tangent of an angle in radians.",
)

ASIN = elementwise(
    "asin",
    lambda xp, x: xp.asin(x),
    lambda y, x: 1.0 / SQRT(_one_less_square(x)),
    formula=function("arcsin", r"\arcsin"),
    domain="−1 ≤ x ≤ 1",
    special=(((0.0,), 0.0), ((2.0,), NAN)),
    onnx="Asin",
    lower=lambda e, x: e.asin(x),
    description="The inverse of the sine, in radians.",
)

ACOS = elementwise(
    "acos",
    lambda xp, x: xp.acos(x),
    lambda y, x: -1.0 / SQRT(_one_less_square(x)),
    formula=function("arccos", r"\arccos"),
    domain="−1 ≤ x ≤ 1",
    special=(((1.0,), 0.0), ((2.0,), NAN)),
    onnx="Acos",
    lower=lambda e, x: e.acos(x),
    description="The inverse of the cosine, in radians.",
)

ATAN = elementwise(
    "atan",
    lambda xp, x: xp.atan(x),
    lambda y, x: 1.0 / (1.0 + x**2.0),
    formula=function("arctan", r"\arctan"),
    special=(((0.0,), 0.0), ((INF,), math.pi / 2)),
    onnx="Atan",
    lower=lambda e, x: e.atan(x),
    description="The inverse of the tangent, in radians.",
)


def _over_length_twice(part: Operand, a: Operand, b: Operand) -> Operand:
    """part/(a² + b²), and 0 at the origin."""
    length = HYPOT(a, b)
    return safe_quotient(safe_quotient(part, length), length)


ATAN2 = elementwise(
    "atan2",
    lambda xp, a, b: xp.atan2(a, b),
    # b/(a² + b²) without squares that overflow or vanish.
    lambda y, a, b: _over_length_twice(b, a, b),
    lambda y, a, b: -_over_length_twice(a, a, b),
    formula=function("atan2"),
    special=(((1.0, 0.0), math.pi / 2), ((0.0, -1.0), math.pi)),
    kink=Kink(
        lambda xp, a, b: xp.logical_and(a == 0, b <= 0),
        "where the angle jumps by 2π the derivatives are those of both sides; at the origin they "
        "are taken as 0",
    ),
    lower=lambda e, a, b: e.atan2(a, b),
    description="The angle of the point (b, a), in radians.",
)

SINH = elementwise(
    "sinh",
    lambda xp, x: xp.sinh(x),
    lambda y, x: COSH(x),
    formula=function("sinh", r"\sinh"),
    overflows=True,
    special=(((0.0,), 0.0), ((-INF,), -INF)),
    onnx="Sinh",
    lower=lambda e, x: e.sinh(x),
    description="The hyperbolic sine.",
)

COSH: Primitive = elementwise(
    "cosh",
    lambda xp, x: xp.cosh(x),
    lambda y, x: SINH(x),
    formula=function("cosh", r"\cosh"),
    overflows=True,
    special=(((0.0,), 1.0), ((-INF,), INF)),
    onnx="Cosh",
    lower=lambda e, x: e.cosh(x),
    description="The hyperbolic cosine.",
)

TANH = elementwise(
    "tanh",
    lambda xp, x: xp.tanh(x),
    lambda y, x: 1.0 - y**2.0,
    formula=function("tanh", r"\tanh"),
    symbol="a",
    special=(((0.0,), 0.0), ((INF,), 1.0), ((-INF,), -1.0), ((NAN,), NAN)),
    onnx="Tanh",
    lower=lambda e, x: e.tanh(x),
    description="The hyperbolic tangent, whose derivative is 1 − tanh².",
)

ASINH = elementwise(
    "asinh",
    lambda xp, x: xp.asinh(x),
    lambda y, x: 1.0 / HYPOT(x, 1.0),
    formula=function("arsinh"),
    special=(((0.0,), 0.0), ((INF,), INF)),
    onnx="Asinh",
    lower=lambda e, x: e.asinh(x),
    description="The inverse of the hyperbolic sine.",
)

ACOSH = elementwise(
    "acosh",
    lambda xp, x: xp.acosh(x),
    lambda y, x: 1.0 / (SQRT(x - 1.0) * SQRT(x + 1.0)),
    formula=function("arcosh"),
    domain="x ≥ 1",
    special=(((1.0,), 0.0), ((0.5,), NAN)),
    onnx="Acosh",
    lower=lambda e, x: e.acosh(x),
    description="The inverse of the hyperbolic cosine.",
)

ATANH = elementwise(
    "atanh",
    lambda xp, x: xp.atanh(x),
    lambda y, x: 1.0 / _one_less_square(x),
    formula=function("artanh"),
    domain="−1 < x < 1",
    special=(((0.0,), 0.0), ((1.0,), INF), ((2.0,), NAN)),
    onnx="Atanh",
    lower=lambda e, x: e.atanh(x),
    description="The inverse of the hyperbolic tangent.",
)
