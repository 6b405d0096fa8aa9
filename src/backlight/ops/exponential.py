"""Exponentials, logarithms, roots and the sigmoid, entry by entry."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from backlight.graph.notation import exponential, function, root
from backlight.graph.primitive import Facts, Primitive
from backlight.ops.rules import elementwise

INF = math.inf
NAN = math.nan
LN2 = math.log(2.0)
LN10 = math.log(10.0)

EXP = elementwise(
    "exp",
    lambda xp, x: xp.exp(x),
    lambda y, x: y,
    formula=exponential(),
    overflows=True,
    special=(((0.0,), 1.0), ((-INF,), 0.0), ((INF,), INF), ((NAN,), NAN)),
    onnx="Exp",
    lower=lambda e, x: e.exp(x),
    description="The exponential function.",
)

EXPM1 = elementwise(
    "expm1",
    lambda xp, x: xp.expm1(x),
    lambda y, x: EXP(x),
    formula=function("expm1"),
    overflows=True,
    special=(((0.0,), 0.0), ((-INF,), -1.0), ((INF,), INF)),
    lower=lambda e, x: e.expm1(x),
    description="exp(x) − 1, accurate near 0.",
)

LOG = elementwise(
    "log",
    lambda xp, x: xp.log(x),
    lambda y, x: 1.0 / x,
    formula=function("ln", r"\ln"),
    domain="x > 0",
    special=(((1.0,), 0.0), ((0.0,), -INF), ((-1.0,), NAN), ((INF,), INF)),
    facts=Facts(inverse="exp"),
    onnx="Log",
    lower=lambda e, x: e.log(x),
    description="The natural logarithm.",
)

LOG1P = elementwise(
    "log1p",
    lambda xp, x: xp.log1p(x),
    lambda y, x: 1.0 / (1.0 + x),
    formula=function("log1p"),
    domain="x > −1",
    special=(((0.0,), 0.0), ((-1.0,), -INF), ((-2.0,), NAN), ((INF,), INF)),
    facts=Facts(inverse="expm1"),
    lower=lambda e, x: e.log1p(x),
    description="ln(1 + x), accurate near 0.",
)

LOG2 = elementwise(
    "log2",
    lambda xp, x: xp.log2(x),
    lambda y, x: 1.0 / (x * LN2),
    formula=function("log₂", r"\log_2"),
    domain="x > 0",
    special=(((8.0,), 3.0), ((0.0,), -INF), ((-1.0,), NAN), ((INF,), INF)),
    lower=lambda e, x: e.log2(x),
    description="The logarithm to base 2.",
)

LOG10 = elementwise(
    "log10",
    lambda xp, x: xp.log10(x),
    lambda y, x: 1.0 / (x * LN10),
    formula=function("log₁₀", r"\log_{10}"),
    domain="x > 0",
    special=(((1000.0,), 3.0), ((0.0,), -INF), ((-1.0,), NAN), ((INF,), INF)),
    lower=lambda e, x: e.log10(x),
    description="The logarithm to base 10.",
)

SQRT = elementwise(
    "sqrt",
    lambda xp, x: xp.sqrt(x),
    lambda y, x: 0.5 / y,
    formula=root(),
    domain="x ≥ 0",
    special=(((4.0,), 2.0), ((0.0,), 0.0), ((-1.0,), NAN), ((INF,), INF)),
    onnx="Sqrt",
    lower=lambda e, x: e.sqrt(x),
    description="The square root.",
)

RSQRT = elementwise(
    "rsqrt",
    lambda xp, x: 1.0 / xp.sqrt(x),
    lambda y, x: -0.5 * y / x,
    formula=function("rsqrt"),
    domain="x > 0",
    special=(((4.0,), 0.5), ((0.0,), INF), ((-1.0,), NAN), ((INF,), 0.0)),
    lower=lambda e, x: e.rsqrt(x),
    description="One over the square root.",
)


def _logaddexp(xp: Any, a: Any, b: Any) -> Any:
    return xp.logaddexp(a, b)


LOGADDEXP = elementwise(
    "logaddexp",
    _logaddexp,
    lambda y, a, b: SIGMOID(a - b),
    lambda y, a, b: SIGMOID(b - a),
    formula=function("logaddexp"),
    overflows=True,
    special=(((-INF, 1.0), 1.0), ((INF, 1.0), INF), ((-INF, -INF), -INF)),
    facts=Facts(commutative=True),
    lower=lambda e, a, b: e.logaddexp(a, b),
    description="ln(eᵃ + eᵇ) without overflow.",
)


def _sigmoid(xp: Any, x: Any) -> Any:
    """1/(1 + e⁻ˣ), with exponentials of negative numbers only, which cannot overflow."""
    return xp.exp(xp.minimum(x, 0.0)) / (1 + xp.exp(-abs(x)))


SIGMOID: Primitive = elementwise(
    "sigmoid",
    _sigmoid,
    lambda y, x: y * (1.0 - y),
    formula=function("σ", r"\sigma"),
    symbol="a",
    special=(((0.0,), 0.5), ((INF,), 1.0), ((-INF,), 0.0), ((NAN,), NAN), ((-1000.0,), 0.0)),
    onnx="Sigmoid",
    lower=lambda e, x: e.sigmoid(x),
    description="The logistic function 1/(1 + e⁻ˣ), whose derivative is σ(1 − σ).",
)


def _erf(xp: Any, x: Any) -> Any:
    """The error function of the C library, entry by entry: the standard has no erf of its own."""
    values = np.asarray(x)
    result = np.frompyfunc(math.erf, 1, 1)(values.astype(np.float64))
    return np.asarray(result, dtype=np.float64).astype(values.dtype)


ERF = elementwise(
    "erf",
    _erf,
    lambda y, x: (2.0 / math.sqrt(math.pi)) * EXP(-(x**2.0)),
    formula=function("erf"),
    special=(((0.0,), 0.0), ((INF,), 1.0), ((-INF,), -1.0), ((NAN,), NAN)),
    onnx="Erf",
    lower=lambda e, x: e.erf(x),
    description="The error function, 2/√π · ∫₀ˣ exp(−t²) dt.",
)
